# SPDX-License-Identifier: LGPL-2.1-or-later
"""What driver/bitmap takes for granted of QEMU: a source that has completed a migration can still
say what its bitmaps mark, and the destination makes them anew of that and of its own record.

The commands are those of tests/golden/bitmaps/rebuild.txt, which the code is compared with. The
guests are machines without a processor; what they write is written by QEMU itself.
"""
import json
import os
import pathlib
import subprocess

import pytest

from qemu import BLOCK, DEADLINE, NODE, Qemu

GOLDEN = pathlib.Path(__file__).parent.parent / "golden" / "bitmaps" / "rebuild.txt"
COMMANDS = {tuple(line.split(" ", 2)[:2]): line.split(" ", 2)[2]
            for line in GOLDEN.read_text(encoding="ascii").splitlines()}
BITMAPS = {"monday": False, "tuesday": True}  # name: disabled
NUMBERS = dict(zip(BITMAPS, "01"))
CONTEXT = "qemu:dirty-bitmap:holdfast-scratch"


def create(path):
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "64M"], check=True)
    return path


def nbdio(*words, ok=True):
    done = subprocess.run([os.environ["HOLDFAST_NBDIO"], *map(str, words)], capture_output=True,
                          text=True, timeout=2 * DEADLINE, check=False)
    assert (done.returncode == 0) == ok, done.stderr
    return done.stdout if ok else done.stderr


class Exporting:
    """A QEMU that serves its scratch nodes on a socket; the daemon passes it one by descriptor."""

    def __init__(self, qemu, tmp_path):
        self.qemu = qemu
        self.path = tmp_path / f"scratch-{qemu.process.pid}"

    def __enter__(self):
        assert '"fd"' in COMMANDS["listen", "0"]
        self.qemu.ask("nbd-server-start", addr={"type": "unix", "data": {"path": str(self.path)}})
        return self.path

    def __exit__(self, *_):
        self.qemu.send(COMMANDS["unlisten", "0"])
        for number in NUMBERS.values():
            self.qemu.send(COMMANDS["forget", number])


@pytest.fixture
def source(tmp_path):
    """It has sent everything, and its bitmaps, which nobody has got."""
    qemu = Qemu(create(tmp_path / "source.qcow2"))
    for name in BITMAPS:
        qemu.ask("block-dirty-bitmap-add", node=NODE, name=name, granularity=BLOCK,
                 persistent=True)
    for block in (1, 2, 40, 1023):
        qemu.write(tmp_path, block)
    qemu.ask("block-dirty-bitmap-disable", node=NODE, name="tuesday")
    qemu.write(tmp_path, 500)
    qemu.ask("migrate-set-capabilities",
             capabilities=[{"capability": "dirty-bitmaps", "state": True}])
    qemu.ask("migrate-set-parameters", block_bitmap_mapping=[
        {"node-name": NODE, "alias": "vda",
         "bitmaps": [{"name": name, "alias": name} for name in BITMAPS]}])
    qemu.ask("migrate", uri="exec:cat > /dev/null")
    qemu.wait_migration("completed")
    assert not qemu.active()[NODE]
    yield qemu
    qemu.process.kill()
    qemu.process.wait()


@pytest.fixture
def destination(tmp_path):
    qemu = Qemu(create(tmp_path / "destination.qcow2"))
    yield qemu
    qemu.process.kill()
    qemu.process.wait()


def read_source(source, tmp_path, maximum=100):
    """{name: ["OFFSET", "LENGTH", ...]}"""
    for number in NUMBERS.values():
        source.send(COMMANDS["scratch", number])
        source.send(COMMANDS["fill", number])
    with Exporting(source, tmp_path) as path:
        for number in NUMBERS.values():
            source.send(COMMANDS["read", number])
        return {name: nbdio("read", path, f"holdfast-scratch-{number}", CONTEXT, maximum).split()
                for name, number in NUMBERS.items()}


def marks(qemu, tmp_path, name):
    """The blocks that a bitmap marks, read as a backup client reads them."""
    path = tmp_path / f"marks-{qemu.process.pid}"
    qemu.ask("block-dirty-bitmap-add", node=NODE, name="frozen", disabled=True, granularity=BLOCK)
    qemu.ask("block-dirty-bitmap-merge", node=NODE, target="frozen", bitmaps=[name])
    qemu.ask("nbd-server-start", addr={"type": "unix", "data": {"path": str(path)}})
    qemu.ask("block-export-add", type="nbd", id="x", node_name=NODE, name="x", bitmaps=["frozen"])
    told = json.loads(subprocess.run(
        ["qemu-img", "map", "--output=json", "--image-opts",
         f"driver=nbd,export=x,server.type=unix,server.path={path},"
         "x-dirty-bitmap=qemu:dirty-bitmap:frozen"], capture_output=True, check=True).stdout)
    qemu.ask("nbd-server-stop")
    qemu.ask("block-dirty-bitmap-remove", node=NODE, name="frozen")
    return {block for each in told if not each["data"]
            for block in range(each["start"] // BLOCK, (each["start"] + each["length"]) // BLOCK)}


def test_what_the_source_says(source, tmp_path):
    extents = read_source(source, tmp_path)
    ranges = {name: [(int(o) // BLOCK, int(n) // BLOCK) for o, n in zip(e[::2], e[1::2])]
              for name, e in extents.items()}
    assert ranges == {"monday": [(1, 2), (40, 1), (500, 1), (1023, 1)],
                      "tuesday": [(1, 2), (40, 1), (1023, 1)]}
    # Nothing of it stays, and the images are as they were.
    assert not [name for name in source.active() if "holdfast" in name]
    assert not source.active()[NODE]


def test_it_says_no_more_than_is_wanted(source, tmp_path):
    for number in NUMBERS.values():
        source.send(COMMANDS["scratch", number])
        source.send(COMMANDS["fill", number])
    with Exporting(source, tmp_path) as path:
        source.send(COMMANDS["read", "0"])
        assert "places" in nbdio("read", path, "holdfast-scratch-0", CONTEXT, 3, ok=False)
        assert nbdio("read", path, "holdfast-scratch-0", CONTEXT, 4)
        assert nbdio("read", path, "holdfast-scratch-1", CONTEXT, 4, ok=False)
        assert nbdio("read", path, "holdfast-scratch-0", CONTEXT + "-not", 4, ok=False)


@pytest.mark.parametrize("tracked", [True, False], ids=["tracked", "without-the-record"])
def test_they_are_rebuilt(source, destination, tmp_path, tracked):
    """... and without the record of what the destination has written they would be wrong."""
    if tracked:
        destination.send(COMMANDS["track", "0"])
    destination.write(tmp_path, 700)
    extents = read_source(source, tmp_path)
    destination.write(tmp_path, 701)
    for number in NUMBERS.values():
        destination.send(COMMANDS["scratch", number])
        destination.send(COMMANDS["record", number])
    with Exporting(destination, tmp_path) as path:
        for name, number in NUMBERS.items():
            destination.send(COMMANDS["mark", number])
            nbdio("zero", path, f"holdfast-scratch-{number}", *extents[name])
        if not tracked:
            with pytest.raises(AssertionError):
                destination.send(COMMANDS["make", "0"])
            assert "monday" not in destination.bitmaps()
            return
        # The guest goes on; the one NBD server that a QEMU has is ours meanwhile.
        for number in NUMBERS.values():
            destination.send(COMMANDS["make", number])
    destination.send(COMMANDS["remove", "0"])
    destination.send(COMMANDS["end", "0"])
    destination.write(tmp_path, 702)
    assert marks(destination, tmp_path, "monday") == {1, 2, 40, 500, 1023, 700, 701, 702}
    assert marks(destination, tmp_path, "tuesday") == {1, 2, 40, 1023}
    assert set(destination.bitmaps()) == set(BITMAPS)
    assert destination.ask("query-migrate-parameters").get("block-bitmap-mapping", []) == []
    destination.end()
    told = json.loads(subprocess.run(
        ["qemu-img", "info", "--output=json", tmp_path / "destination.qcow2"], check=True,
        capture_output=True, text=True).stdout)
    stored = {each["name"]: each["flags"]
              for each in told["format-specific"]["data"]["bitmaps"]}
    assert stored == {"monday": ["auto"], "tuesday": []}
