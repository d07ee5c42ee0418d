# SPDX-License-Identifier: LGPL-2.1-or-later
"""A guest that has booted, kept in a file: guests go on from there, which is quicker than to boot.

    boot, until the witness says HELD  ->  virsh save  ->  the cache        once for each machine
    the cache  ->  a save image with the guest's own XML  ->  virsh restore  ->  begin PARAMETERS

A witness that is held has seen neither parameters nor memory nor disk; it gets its parameters over
its second serial port. So a guest of any name, uuid, metadata, disk and witness parameters can go
on from the same file, as long as the rest of its XML, its machine, is the same.

libvirt's save image (struct _virQEMUSaveHeader in qemu_saveimage.h, the same since 2010) is a
header, the domain's XML and QEMU's stream. The XML is replaced here and not by `virsh restore
--xml`, which refuses another name and uuid.
"""
import contextlib
import glob
import hashlib
import os
import shutil
import struct
import time
import uuid

from . import image
from .wait import wait

NAME = "template"
# magic, version, length of the XML, was running, format (0: raw), cookie's offset (0: none)
HEADER = struct.Struct("=16sIIIII56x")
MAGIC, VERSION = b"LibvirtQemudSave", 2
UNUSED_DAYS = 2


def restore(guest, host):
    """Has the guest, whose files are there, go on from a template on the host. The witness waits
    to be told `begin`."""
    path = _path(guest)
    if not os.path.exists(path):
        _make(guest, host, path)
    os.utime(path)
    saved = os.path.join(guest.lab.shared, f"{guest.name}.save")
    xml = guest.xml().encode() + b"\0"
    with open(saved, "wb") as out, open(path, "rb") as stream:
        out.write(HEADER.pack(MAGIC, VERSION, len(xml), True, 0, 0) + xml)
        shutil.copyfileobj(stream, out, 1 << 20)
    host.virsh("restore", saved)
    os.unlink(saved)


def _xml(guest, **changes):
    """The definition of a guest of the same machine that is nobody in particular."""
    return guest.xml(**{"name": NAME, "metadata": "", "disk_format": "raw",
                        "console": f"/var/log/libvirt/qemu/{NAME}.console",
                        "command": f"/run/{NAME}.command", "witness": "witness.hold=1", **changes})


def _path(guest):
    """Where the template for this machine is, or will be."""
    digest = hashlib.sha256(_xml(guest, uuid="", disk="").encode())
    for program in ("qemu-system-x86_64", "libvirtd"):
        found = os.stat(shutil.which(program))
        digest.update(f"{found.st_size} {found.st_mtime_ns}".encode())
    return os.path.join(image.cache_directory(), f"template-{digest.hexdigest()[:16]}")


def _make(guest, host, path):
    """Boots one, and keeps QEMU's stream."""
    _remove_unused()
    files = {name: os.path.join(guest.lab.shared, f"{NAME}.{name}")
             for name in ("raw", "xml", "save")}
    guest.lab.command("qemu-img", "create", "-q", "-f", "raw", files["raw"], "64M")
    with open(files["xml"], "w", encoding="utf-8") as f:
        f.write(_xml(guest, uuid=uuid.uuid4(), disk=files["raw"]))
    host.virsh("create", files["xml"])
    console = f"/var/log/libvirt/qemu/{NAME}.console"
    wait(lambda: "HELD" in host.read(console), 120, lambda: "the template to boot: "
         + host.read(console))
    host.virsh("save", NAME, files["save"])
    os.unlink(host.path(console))
    with open(files["save"], "rb") as saved, open(f"{path}.{os.getpid()}", "wb") as out:
        length = HEADER.unpack(saved.read(HEADER.size))[2]
        saved.seek(HEADER.size + length)
        shutil.copyfileobj(saved, out, 1 << 20)
    os.rename(f"{path}.{os.getpid()}", path)
    for each in files.values():
        os.unlink(each)


def _remove_unused():
    """Those of other witnesses and other versions; labs of other source trees may use the cache."""
    for path in glob.glob(os.path.join(glob.escape(image.cache_directory()), "template-*")):
        with contextlib.suppress(FileNotFoundError):
            if os.stat(path).st_mtime < time.time() - UNUSED_DAYS * 86400:
                os.unlink(path)
