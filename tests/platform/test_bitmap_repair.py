# SPDX-License-Identifier: LGPL-2.1-or-later
"""What driver/bitmap takes for granted of QEMU: bitmaps that it has begun to send are never stored,
and the commands that repair them, while the guest runs, have them stored again.

The commands are those of tests/golden/bitmaps/repair.txt, which the code is compared with. The
guest is a machine without a processor; its disk is written to by QEMU itself.
"""
import json
import pathlib
import subprocess

import pytest

from qemu import BLOCK, NODE, Qemu

GOLDEN = pathlib.Path(__file__).parent.parent / "golden" / "bitmaps"
BITMAPS = {"monday": False, "tuesday": True}  # name: disabled


def fail_a_migration(qemu):
    """One with the bitmaps on its stream that is cancelled while it is active."""
    qemu.ask("migrate-set-capabilities",
             capabilities=[{"capability": "dirty-bitmaps", "state": True}])
    qemu.ask("migrate-set-parameters", block_bitmap_mapping=[
        {"node-name": NODE, "alias": "vda",
         "bitmaps": [{"name": name, "alias": name} for name in BITMAPS]}])
    # Reads nothing, and closes its end when it ends.
    qemu.ask("migrate", uri="exec:sleep 1")
    qemu.wait_migration("active")
    qemu.ask("migrate_cancel")
    qemu.wait_migration("cancelled", "failed")


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "disk.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "64M"], check=True)
    qemu = Qemu(path)
    for name, disabled in BITMAPS.items():
        qemu.ask("block-dirty-bitmap-add", node=NODE, name=name, granularity=BLOCK,
                 persistent=True, disabled=disabled)
    qemu.write(tmp_path, 1)
    qemu.end()
    return path


@pytest.fixture
def qemu(image):
    one = Qemu(image)
    yield one
    one.process.kill()
    one.process.wait()


def stored(image):
    """What the image says: {name: its flags}."""
    told = json.loads(subprocess.run(["qemu-img", "info", "--output=json", image], check=True,
                                     capture_output=True, text=True).stdout)
    return {each["name"]: set(each["flags"])
            for each in told["format-specific"]["data"].get("bitmaps", [])}


def test_they_are_lost(qemu, image):
    fail_a_migration(qemu)
    # It does not look like it.
    assert all(each["persistent"] for each in qemu.bitmaps().values())
    qemu.end()
    assert all("in-use" in flags for flags in stored(image).values())


def test_they_are_repaired(qemu, image, tmp_path):
    qemu.write(tmp_path, 2)
    fail_a_migration(qemu)
    qemu.write(tmp_path, 3)
    before = qemu.bitmaps()
    for number, line in enumerate((GOLDEN / "repair.txt").read_text().splitlines()):
        qemu.send(line)
        qemu.write(tmp_path, 10 + number)
    after = qemu.bitmaps()
    assert after.keys() == before.keys() == BITMAPS.keys()
    written = number + 1
    for name, disabled in BITMAPS.items():
        assert after[name]["granularity"] == before[name]["granularity"]
        assert after[name]["recording"] is not disabled
        expected = before[name]["count"] + (0 if disabled else written * BLOCK)
        assert after[name]["count"] == expected, (name, before, after)
    assert qemu.ask("query-migrate-parameters")["block-bitmap-mapping"] == []
    qemu.end()
    assert stored(image) == {"monday": {"auto"}, "tuesday": set()}
