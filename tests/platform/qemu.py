# SPDX-License-Identifier: LGPL-2.1-or-later
"""A QEMU with a disk and without a processor, for what we take for granted of QEMU."""
import json
import subprocess
import time

NODE = "libvirt-1-format"
FILE_NODE = "libvirt-1-storage"
BLOCK = 65536
DEADLINE = 60


class Qemu:
    """A QEMU with one disk. `ask` gives an answer's "return"; what QEMU refuses raises."""

    def __init__(self, image, *options):
        command = ["qemu-system-x86_64", "-machine", "none", "-nodefaults", "-display", "none",
                   "-blockdev", json.dumps({
                       "driver": "qcow2", "node-name": NODE, "discard": "unmap",
                       "file": {"driver": "file", "node-name": FILE_NODE, "filename": str(image)}}),
                   "-qmp", "stdio", *options]
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

    def refuses(self, command, **arguments):
        """Whether it does."""
        try:
            self.ask(command, **arguments)
        except AssertionError:
            return True
        return False

    def ask(self, command, **arguments):
        return self.send(json.dumps({"execute": command, "arguments": {
            name.replace("_", "-"): value for name, value in arguments.items()}}))

    def io(self, tmp_path, command):
        """A command of qemu-io on the disk, over NBD: as a guest would do it -> its exit status."""
        address = tmp_path / f"nbd-{self.process.pid}"
        self.ask("nbd-server-start", addr={"type": "unix", "data": {"path": str(address)}})
        self.ask("block-export-add", type="nbd", id="export", node_name=NODE, name="disk",
                 writable=True)
        done = subprocess.run(["qemu-io", "-f", "raw", "-c", command,
                               f"nbd+unix:///disk?socket={address}"], capture_output=True,
                              timeout=DEADLINE, check=False)
        self.ask("nbd-server-stop")
        return done.returncode

    def write(self, tmp_path, block, pattern=0xcd):
        assert self.io(tmp_path, f"write -q -P {pattern} {block * BLOCK} {BLOCK}") == 0

    def reads(self, tmp_path, block, pattern=0xcd):
        """Whether a block has that pattern."""
        return self.io(tmp_path, f"read -q -P {pattern} {block * BLOCK} {BLOCK}") == 0

    def wait_status(self, status):
        end = time.monotonic() + DEADLINE
        while self.ask("query-status")["status"] != status:
            assert time.monotonic() < end, self.ask("query-status")
            time.sleep(0.01)

    def active(self):
        """{name of a node: whether it is}"""
        return {node["node-name"]: node["active"]
                for node in self.ask("query-named-block-nodes", flat=True)}

    def bitmaps(self):
        nodes = self.ask("query-named-block-nodes", flat=True)
        return {each["name"]: each for node in nodes if node["node-name"] == NODE
                for each in node.get("dirty-bitmaps", [])}

    def wait_migration(self, *statuses):
        end = time.monotonic() + DEADLINE
        while self.ask("query-migrate").get("status") not in statuses:
            assert time.monotonic() < end, self.ask("query-migrate")
            time.sleep(0.01)

    def end(self):
        """In order, so that it stores what it means to store."""
        self.ask("quit")
        self.process.stdin.close()
        assert self.process.wait(DEADLINE) == 0
