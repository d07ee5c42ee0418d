# SPDX-License-Identifier: LGPL-2.1-or-later
"""What driver/bitmap takes for granted of QEMU: a `cont` at the source that is refused, since the
destination has the image, leaves the file's node active, and a later one that succeeds reads stale
data; with that node inactivated in between, it reads what the destination has written.
"""
import subprocess

import pytest

from qemu import FILE_NODE, NODE, Qemu

BLOCK_BEYOND = 800  # where the image's file is made longer


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "disk.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "64M"], check=True)
    return path


@pytest.fixture
def hosts(image, tmp_path):
    """Source and destination after a migration; the destination has the image."""
    source, destination = Qemu(image), Qemu(image, "-incoming", "defer")
    uri = f"unix:{tmp_path / 'migration'}"
    destination.ask("migrate-incoming", uri=uri)
    source.ask("migrate", uri=uri)
    source.wait_migration("completed")
    destination.wait_migration("completed")
    destination.wait_status("running")
    yield source, destination
    for each in (source, destination):
        each.process.kill()
        each.process.wait()


def come_back(source, destination, tmp_path, inactivate):
    """A resume that comes too early, and another one later -> whether the data are right."""
    assert source.refuses("cont")
    assert source.ask("query-status")["status"] == "postmigrate"
    assert source.active() == {NODE: False, FILE_NODE: True}
    if inactivate:
        source.ask("blockdev-set-active", node_name=FILE_NODE, active=False)
        assert not any(source.active().values())
    destination.write(tmp_path, BLOCK_BEYOND)
    destination.end()
    source.ask("cont")
    assert all(source.active().values())
    return source.reads(tmp_path, BLOCK_BEYOND)


def test_a_stray_node_reads_stale_data(hosts, tmp_path):
    assert not come_back(*hosts, tmp_path, inactivate=False)


def test_without_one_the_data_are_right(hosts, tmp_path):
    assert come_back(*hosts, tmp_path, inactivate=True)
