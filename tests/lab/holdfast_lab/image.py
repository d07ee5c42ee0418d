# SPDX-License-Identifier: LGPL-2.1-or-later
"""The guest's kernel and initramfs: Debian's cloud kernel, busybox and the witness.

Built once and kept in a cache under a name that is a hash of everything that goes in.
"""
import glob
import hashlib
import lzma
import os
import shutil
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
GUEST = os.path.join(os.path.dirname(HERE), "guest")
REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))

BUSYBOX = "/bin/busybox"
MODULES = ("virtio_pci", "virtio_blk")
CFLAGS = ("-O2", "-static", "-std=gnu11", "-Wall", "-Wextra", "-Werror")


class ImageError(Exception):
    """What is missing for the guest, and what to do."""


def cache_directory():
    return os.environ.get("HOLDFAST_LAB_CACHE") or os.path.join(REPOSITORY, ".cache", "lab")


def kernel_root():
    """Where boot/ and lib/modules/ of the guest's kernel are: an unpacked package, or the machine."""
    return os.environ.get("HOLDFAST_LAB_KERNEL") or "/"


def kernel_path():
    found = sorted(glob.glob(os.path.join(kernel_root(), "boot/vmlinuz-*-cloud-amd64")))
    if not found:
        raise ImageError("no cloud kernel in /boot: install linux-image-cloud-amd64, or name in "
                         "HOLDFAST_LAB_KERNEL a folder in which it is unpacked")
    return found[-1]


def module_files(kernel):
    """The .ko files MODULES need, dependencies first. Built-in ones have no file."""
    root = os.path.join(kernel_root(), "lib/modules",
                        os.path.basename(kernel).removeprefix("vmlinuz-"))
    table = {}
    with open(os.path.join(root, "modules.dep"), encoding="ascii") as dep:
        for line in dep:
            path, needs = line.split(":")
            name = os.path.basename(path).split(".")[0].replace("-", "_")
            table[name] = [path] + needs.split()
    ordered = []
    for name in MODULES:
        # modules.dep names the nearest dependency first
        for path in reversed(table.get(name, [])):
            if path not in ordered:
                ordered.append(path)
    return [os.path.join(root, path) for path in ordered]


def _content_key(files):
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.encode())
        with open(path, "rb") as f:
            digest.update(f.read())
    digest.update(" ".join(CFLAGS).encode())
    return digest.hexdigest()[:16]


def _copy_module(path, directory):
    name = os.path.basename(path)
    if not name.endswith(".xz"):
        shutil.copy(path, directory)
        return name
    name = name.removesuffix(".xz")
    with lzma.open(path) as packed, open(os.path.join(directory, name), "wb") as plain:
        shutil.copyfileobj(packed, plain)
    return name


def _fill_root(root, modules):
    for directory in ("bin", "dev", "proc", "sys", "modules"):
        os.mkdir(os.path.join(root, directory))
    shutil.copy(BUSYBOX, os.path.join(root, "bin", "busybox"))
    shutil.copy(os.path.join(GUEST, "init"), os.path.join(root, "init"))
    os.chmod(os.path.join(root, "init"), 0o755)
    with open(os.path.join(root, "modules", "order"), "w", encoding="ascii") as order:
        for path in modules:
            order.write(_copy_module(path, os.path.join(root, "modules")) + "\n")
    subprocess.run(["gcc", *CFLAGS, "-o", os.path.join(root, "witness"),
                    os.path.join(GUEST, "witness.c")], check=True)


def build():
    """Returns (kernel, initramfs), both paths that every host of a lab can see."""
    kernel = kernel_path()
    if not os.path.exists(BUSYBOX):
        raise ImageError("no /bin/busybox: install busybox-static")
    modules = module_files(kernel)
    inputs = [kernel, BUSYBOX, os.path.join(GUEST, "init"), os.path.join(GUEST, "witness.c")]
    cache = cache_directory()
    os.makedirs(cache, exist_ok=True)
    initramfs = os.path.join(cache, f"guest-{_content_key(inputs + modules)}.cpio")
    if os.path.exists(initramfs):
        return kernel, initramfs
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        root = os.path.join(scratch, "root")
        os.mkdir(root)
        _fill_root(root, modules)
        # Not compressed: unpacking costs an emulated guest more than loading.
        archive = os.path.join(scratch, "archive")
        subprocess.run(f"find . | sort | cpio --quiet -o -H newc -R 0:0 >{archive}",
                       shell=True, check=True, cwd=root)
        os.rename(archive, initramfs)
    return kernel, initramfs
