# SPDX-License-Identifier: LGPL-2.1-or-later
"""What driver/bitmap takes for granted of QEMU when a guest comes back to a source that has given
its images up: stray nodes, a look at an image that somebody has or has not, bitmaps that make QEMU
eject an image, and what a guard tells.

The commands are those of tests/golden/bitmaps/handback.txt, which the code is compared with.
"""
import pathlib
import subprocess

import pytest

from qemu import BLOCK, FILE_NODE, NODE, Qemu

GOLDEN = pathlib.Path(__file__).parent.parent / "golden" / "bitmaps" / "handback.txt"
COMMANDS = dict(line.split(" ", 1) for line in GOLDEN.read_text().splitlines())
GUARD = "holdfast-guard"
GRANULE = 1 << 20  # of the guard
BLOCK_BEFORE = 1  # written at the source
BLOCK_THERE = 100  # at the destination
BLOCK_BEYOND = 800  # where the image's file is made longer


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "disk.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "64M"], check=True)
    return path


class Hosts:
    """Source and destination after a migration; the destination has the image."""

    def __init__(self, image, tmp_path):
        self.image, self.path = image, tmp_path
        self.source = self.destination = None

    def tell(self, name):
        """One of our commands to the source -> whether QEMU took it."""
        line = COMMANDS[name].replace("/images/guest.qcow2", str(self.image))
        try:
            self.source.send(line)
        except AssertionError:
            return False
        return True

    def start_source(self, bitmap, stored):
        """With a bitmap that has a block; @stored: which is in the image already."""
        self.source = Qemu(self.image)
        if not bitmap:
            return
        self.source.ask("block-dirty-bitmap-add", node=NODE, name="monday", granularity=BLOCK,
                        persistent=True)
        self.source.write(self.path, BLOCK_BEFORE)
        if stored:
            self.source.end()
            self.source = Qemu(self.image)

    def migrate(self, on_stream=False, guarded=False, stored=False, run=True, bitmap=True):
        self.start_source(bitmap, stored)
        self.destination = Qemu(self.image, "-incoming", "defer", "-S")
        uri = f"unix:{self.path / 'migration'}"
        for each in (self.source, self.destination):
            each.ask("migrate-set-capabilities", capabilities=[
                {"capability": "dirty-bitmaps", "state": on_stream},
                {"capability": "pause-before-switchover", "state": True},
                {"capability": "late-block-activate", "state": True}])
            if on_stream:
                each.ask("migrate-set-parameters", block_bitmap_mapping=[
                    {"node-name": NODE, "alias": "vda",
                     "bitmaps": [{"name": "monday", "alias": "monday"}]}])
        self.destination.ask("migrate-incoming", uri=uri)
        self.source.ask("migrate", uri=uri)
        self.source.wait_migration("pre-switchover")
        if guarded:
            assert self.tell("guard")
        self.source.ask("migrate-continue", state="pre-switchover")
        self.source.wait_migration("completed")
        self.destination.wait_migration("completed")
        if run:
            self.destination.ask("cont")
            self.destination.wait_status("running")

    def kill_destination(self):
        self.destination.process.kill()
        self.destination.process.wait()

    def holds(self, how="alone"):
        """Whether the image holds the bitmap whole; None when it cannot be looked at so."""
        if not self.tell(how):
            return None
        assert self.tell("add")
        whole = self.tell("probe")
        assert self.tell("close")
        return whole

    def guard(self):
        """How much the guard marks; None for one in use, False for none."""
        guard = self.source.bitmaps().get(GUARD)
        return bool(guard) and (None if guard.get("inconsistent") else guard["count"])

    def marks(self):
        """What the source's bitmaps mark in the end, stored in order."""
        self.source.end()
        reader = Qemu(self.image)
        marks = {name: None if each.get("inconsistent") else each["count"]
                 for name, each in reader.bitmaps().items()}
        reader.end()
        return marks

    def stop(self):
        for each in (self.source, self.destination):
            if each:
                each.process.kill()
                each.process.wait()


@pytest.fixture
def hosts(image, tmp_path):
    both = Hosts(image, tmp_path)
    yield both
    both.stop()


# --- images ---

def come_back(hosts, inactivate):
    """A resume that comes too early, and another one later -> whether the data are right."""
    source = hosts.source
    assert source.refuses("cont")
    assert source.ask("query-status")["status"] == "postmigrate"
    assert source.active() == {NODE: False, FILE_NODE: True}
    if inactivate:
        assert hosts.tell("inactivate")
        assert not any(source.active().values())
    hosts.destination.write(hosts.path, BLOCK_BEYOND)
    hosts.destination.end()
    source.ask("cont")
    assert all(source.active().values())
    return source.reads(hosts.path, BLOCK_BEYOND)


def test_a_stray_node_reads_stale_data(hosts):
    hosts.migrate(bitmap=False)
    assert not come_back(hosts, inactivate=False)


def test_without_one_the_data_are_right(hosts):
    hosts.migrate(bitmap=False)
    assert come_back(hosts, inactivate=True)


@pytest.mark.parametrize("run", [True, False], ids=["ran", "never-ran"])
def test_a_look_tells_who_has_the_image(hosts, run):
    """Nothing is changed by it, on either host."""
    hosts.migrate(run=run)
    source = hosts.source
    assert hosts.holds("alone") is (None if run else True)
    assert hosts.holds("shared") is not run
    assert not any(source.active().values())
    if run:
        hosts.destination.write(hosts.path, BLOCK_THERE)
        hosts.kill_destination()
        assert hosts.holds() is False
    else:
        hosts.destination.ask("cont")
        hosts.destination.write(hosts.path, BLOCK_THERE)


# --- bitmaps ---

def test_what_the_image_holds_too_makes_qemu_eject_it(hosts):
    hosts.migrate(on_stream=True)
    hosts.destination.end()
    assert hosts.source.refuses("cont")
    assert hosts.source.refuses("query-named-block-nodes", flat=True)


@pytest.mark.parametrize("stored", [True, False], ids=["stored-before", "new"])
@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "unguarded"])
def test_adopt(hosts, stored, guarded):
    """The destination gave the image up in order: what it holds is right. The one in memory is
    removed, and the image is not touched by that."""
    hosts.migrate(on_stream=True, stored=stored, guarded=guarded)
    hosts.destination.write(hosts.path, BLOCK_THERE)
    hosts.destination.end()
    assert hosts.holds()
    assert hosts.tell("remove")
    assert hosts.holds()
    assert hosts.tell("activate")
    if guarded:
        assert hosts.guard() == GRANULE
        assert hosts.tell("unguard")
    hosts.source.ask("cont")
    hosts.source.write(hosts.path, BLOCK_BEYOND)
    assert hosts.marks() == {"monday": 3 * BLOCK}


def test_restore(hosts):
    """An empty guard, though the bitmap itself says nothing: nothing was written."""
    hosts.migrate(on_stream=True, guarded=True, stored=True, run=False)
    hosts.kill_destination()
    assert hosts.holds() is False
    assert hosts.tell("activate")
    assert hosts.guard() == 0
    assert hosts.tell("unguard")
    hosts.source.ask("cont")
    hosts.source.write(hosts.path, BLOCK_BEYOND)
    assert hosts.marks() == {"monday": 2 * BLOCK}


def lose_at_destination(hosts):
    """The destination has lost the bitmap, kept the guard, and given the image up in order."""
    hosts.migrate(on_stream=True, guarded=True, stored=True)
    hosts.destination.write(hosts.path, BLOCK_THERE)
    hosts.destination.ask("block-dirty-bitmap-remove", node=NODE, name="monday")
    hosts.destination.end()


def test_merge(hosts):
    """The guard tells what was written in its own granules: more than that is marked, and nothing
    less."""
    lose_at_destination(hosts)
    assert hosts.holds() is False
    assert hosts.tell("activate")
    assert hosts.guard() == GRANULE
    assert hosts.tell("merge") and hosts.tell("unguard")
    assert hosts.source.bitmaps()["monday"]["count"] == BLOCK + GRANULE
    hosts.source.ask("cont")
    assert hosts.marks() == {"monday": BLOCK + GRANULE}


def test_a_source_may_not_tell_of_its_nodes(hosts):
    """... before it is active: the image's bitmaps are not where they were. Their names it tells,
    and what is inactive can be inactivated once more."""
    lose_at_destination(hosts)
    source = hosts.source
    assert source.refuses("query-named-block-nodes", flat=True)
    names = {each["node-name"] for each in source.ask("query-blockstats", query_nodes=True)}
    assert names == {NODE, FILE_NODE}
    for name in names:
        source.ask("blockdev-set-active", node_name=name, active=False)
    assert hosts.tell("activate")
    assert all(source.active().values())


@pytest.mark.parametrize("wrote", [True, False], ids=["wrote", "did-not"])
def test_drop(hosts, wrote):
    """A destination that was killed leaves a guard in use, whatever it did."""
    hosts.migrate(on_stream=True, guarded=True, stored=True)
    if wrote:
        hosts.destination.write(hosts.path, BLOCK_THERE)
    hosts.kill_destination()
    assert hosts.holds() is False
    assert hosts.tell("activate")
    assert hosts.guard() is None
    assert hosts.tell("remove") and hosts.tell("unguard")
    hosts.source.ask("cont")
    assert hosts.marks() == {}


def test_somebody_removed_the_guard(hosts):
    hosts.migrate(on_stream=True, guarded=True, stored=True)
    hosts.destination.ask("block-dirty-bitmap-remove", node=NODE, name=GUARD)
    hosts.kill_destination()
    assert hosts.tell("activate")
    assert hosts.guard() is False


def test_the_guard_comes_with_the_image(hosts):
    """The destination has it when the guest has arrived, and can remove it while it runs."""
    hosts.migrate(guarded=True)
    hosts.destination.write(hosts.path, BLOCK_THERE)
    assert hosts.destination.bitmaps()[GUARD]["count"] == GRANULE
    hosts.destination.send(COMMANDS["unguard"])
    assert set(hosts.destination.bitmaps()) == {"monday"}
