# SPDX-License-Identifier: LGPL-2.1-or-later
"""scripts/link-modules: the directory that LIBVIRT_DRIVER_DIR names."""
import os
import pathlib
import subprocess

SCRIPT = pathlib.Path(__file__).parents[2] / "scripts" / "link-modules"
SHIM = "libvirt_driver_qemu.so"


def link(*arguments):
    return subprocess.run([SCRIPT, *map(str, arguments)], capture_output=True, text=True,
                          check=False)


def folders(tmp_path):
    stock, ours = tmp_path / "stock", tmp_path / "ours"
    stock.mkdir()
    for name in (SHIM, "libvirt_driver_network.so", "libvirt_driver_storage.so"):
        (stock / name).touch()
    return stock, ours


def test_links_all_but_the_qemu_driver(tmp_path):
    stock, ours = folders(tmp_path)
    for _ in range(2):
        assert link(ours, stock).returncode == 0
        assert sorted(os.listdir(ours)) == ["libvirt_driver_network.so",
                                            "libvirt_driver_storage.so"]
        assert os.readlink(ours / "libvirt_driver_network.so") == str(
            stock / "libvirt_driver_network.so")


def test_follows_what_is_installed(tmp_path):
    stock, ours = folders(tmp_path)
    assert link(ours, stock).returncode == 0
    (ours / SHIM).write_text("ours", encoding="utf-8")
    (stock / "libvirt_driver_network.so").unlink()
    (stock / "libvirt_driver_lxc.so").touch()
    assert link(ours, stock).returncode == 0
    assert sorted(os.listdir(ours)) == ["libvirt_driver_lxc.so", SHIM, "libvirt_driver_storage.so"]
    assert (ours / SHIM).read_text(encoding="utf-8") == "ours"


def test_links_a_built_shim(tmp_path):
    stock, ours = folders(tmp_path)
    shim = tmp_path / "built.so"
    shim.touch()
    assert link("--shim", shim, ours, stock).returncode == 0
    assert os.readlink(ours / SHIM) == str(shim)


def test_refusals(tmp_path):
    stock, ours = folders(tmp_path)
    before = sorted(os.listdir(stock))
    for arguments, message in (
        ((), "usage"),
        ((ours,), "usage"),
        ((ours, tmp_path / "none"), "no such directory"),
        ((stock, stock), "name another one"),
    ):
        done = link(*arguments)
        assert done.returncode != 0
        assert message in done.stderr
    assert sorted(os.listdir(stock)) == before
    assert not ours.exists()
