# SPDX-License-Identifier: LGPL-2.1-or-later
"""What driver/bitmap takes for granted of QEMU: bitmaps that it has begun to send are never stored,
and the commands that repair them, while the guest runs, have them stored again.

The commands are those of tests/golden/bitmaps/repair.txt, which the code is compared with. The
guest is a machine without a processor; its disk is written to by QEMU itself.
"""
import json
import pathlib
import subprocess
import time

import pytest

GOLDEN = pathlib.Path(__file__).parent.parent / "golden" / "bitmaps"
NODE = "libvirt-1-format"
BITMAPS = {"monday": False, "tuesday": True}  # name: disabled
BLOCK = 65536
DEADLINE = 60


class Qemu:
    """A QEMU with one disk. `ask` gives an answer's "return"; what QEMU refuses raises."""

    def __init__(self, image):
        command = ["qemu-system-x86_64", "-machine", "none", "-nodefaults", "-display", "none",
                   "-blockdev", json.dumps({
                       "driver": "qcow2", "node-name": NODE, "discard": "unmap",
                       "file": {"driver": "file", "filename": str(image)}}),
                   "-qmp", "stdio"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.process.stdout.readline()
        self.ask("qmp_capabilities")

    def send(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        while True:
            answer = json.loads(self.process.stdout.readline())
            if "event" not in answer:
                assert "error" not in answer, (line, answer)
                return answer["return"]

    def ask(self, command, **arguments):
        return self.send(json.dumps({"execute": command, "arguments": {
            name.replace("_", "-"): value for name, value in arguments.items()}}))

    def write(self, tmp_path, block):
        """One block of the disk, over NBD: as a guest would."""
        address = tmp_path / "nbd"
        self.ask("nbd-server-start", addr={"type": "unix", "data": {"path": str(address)}})
        self.ask("block-export-add", type="nbd", id="export", node_name=NODE, name="disk",
                 writable=True)
        subprocess.run(["qemu-io", "-f", "raw", "-c", f"write -q {block * BLOCK} {BLOCK}",
                        f"nbd+unix:///disk?socket={address}"], check=True, capture_output=True,
                       timeout=DEADLINE)
        self.ask("nbd-server-stop")

    def bitmaps(self):
        nodes = self.ask("query-named-block-nodes", flat=True)
        return {each["name"]: each for node in nodes if node["node-name"] == NODE
                for each in node.get("dirty-bitmaps", [])}

    def wait_migration(self, *statuses):
        end = time.monotonic() + DEADLINE
        while self.ask("query-migrate").get("status") not in statuses:
            assert time.monotonic() < end, self.ask("query-migrate")
            time.sleep(0.01)

    def fail_a_migration(self):
        """One with the bitmaps on its stream that is cancelled while it is active."""
        self.ask("migrate-set-capabilities",
                 capabilities=[{"capability": "dirty-bitmaps", "state": True}])
        self.ask("migrate-set-parameters", block_bitmap_mapping=[
            {"node-name": NODE, "alias": "vda",
             "bitmaps": [{"name": name, "alias": name} for name in BITMAPS]}])
        # Reads nothing, and closes its end when it ends.
        self.ask("migrate", uri="exec:sleep 1")
        self.wait_migration("active")
        self.ask("migrate_cancel")
        self.wait_migration("cancelled", "failed")

    def end(self):
        """In order, so that it stores what it means to store."""
        self.ask("quit")
        self.process.stdin.close()
        assert self.process.wait(DEADLINE) == 0


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
    qemu.fail_a_migration()
    # It does not look like it.
    assert all(each["persistent"] for each in qemu.bitmaps().values())
    qemu.end()
    assert all("in-use" in flags for flags in stored(image).values())


def test_they_are_repaired(qemu, image, tmp_path):
    qemu.write(tmp_path, 2)
    qemu.fail_a_migration()
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
