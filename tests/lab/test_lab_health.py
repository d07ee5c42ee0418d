# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is asked of the daemons after each scenario is able to fail. Each test plants one thing."""
import datetime
import signal
import socket

import pytest

from holdfast_lab import health, wait

PLANTED = pytest.mark.daemon_may_say(r"", reason="it was planted")


def append(host, path, text):
    with open(host.path(path), "a", encoding="utf-8") as f:
        f.write(text + "\n")


def complaint(lab, *words):
    """There is one, it names host a, and it has all these words."""
    found = lab.health.complaints()
    assert len(found) == 1 and found[0].startswith("a: "), found
    assert all(word in found[0] for word in words), found
    return found[0]


def test_daemons_that_are_well(lab, guest):
    lab.migrate(lab.a, lab.b).succeed()
    assert lab.health.complaints() == []


@PLANTED
@pytest.mark.parametrize("text", [
    "error : virDomainObjBeginJobInternal:520 : Timed out during operation: cannot acquire state "
    "change lock (held by monitor=remoteDispatchDomainMigrateFinish3Params)",
    "warning : qemuDomainObjEnterMonitorInternal:6121 : This thread doesn't seem to be the async "
    "job owner: 7",
    "error : holdfast: GLib: g_hash_table_lookup: assertion 'hash_table != NULL' failed",
], ids=["lock", "owner", "assertion"])
def test_words_in_the_log(lab, text):
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    append(lab.a, lab.a.log_file(lab.a.daemon), f"{now}+0000: 1: {text}")
    said = complaint(lab, text.split(" : ")[-1])
    assert lab.health.complaints([said[10:20]]) == []


@PLANTED
def test_words_on_stderr(lab):
    append(lab.a, "/var/log/libvirt/libvirt.out", "free(): invalid pointer")
    complaint(lab, "printed", "invalid pointer")
    lab.reset()
    assert lab.health.complaints() == []


@PLANTED
@pytest.mark.parametrize("back", [True, False], ids=["started-again", "left"])
def test_a_crash(lab, back):
    lab.a.daemon.process.kill(signal.SIGSEGV)
    if back:
        lab.a.daemon.start()
    complaint(lab, "killed by signal 11 by itself")


@PLANTED
@pytest.mark.parametrize("hard", [False, True], ids=["SIGTERM", "SIGKILL"])
def test_an_end_that_was_asked_for(lab, hard):
    lab.a.daemon.restart(hard=hard)
    assert lab.health.complaints() == []


@PLANTED
def test_a_call_and_a_job_that_nobody_ends(lab, guest, monkeypatch):
    monkeypatch.setattr(health, "SETTLE_SECONDS", 1)
    monkeypatch.setattr(health, "JOB_SECONDS", 2)
    lab.a.qemu().stop()
    client = lab.a.virsh_background("domblkstat", "guest", "vda")
    wait(lambda: health.busy(lab.a) == 1, 10, "its call to be dispatched")
    client.send(signal.SIGKILL)
    client.wait()
    found = lab.health.complaints()
    assert any("calls are still dispatched" in text for text in found), found
    assert any("metadata guest" in text and "not done after 2 s" in text for text in found), found
    lab.a.qemu().cont()
    wait(lambda: lab.health.complaints() == [], 20, "no more complaints")


@PLANTED
def test_descriptors(lab, monkeypatch):
    monkeypatch.setattr(health, "SETTLE_SECONDS", 1)
    held = []
    for _ in range(health.FDS_TO_SPARE + 1):
        held.append(socket.socket(socket.AF_UNIX))
        held[-1].connect(lab.a.path(lab.a.socket))
    complaint(lab, "descriptors", "socket", f"'{lab.a.daemon.server} in ")
    for each in held:
        each.close()
    assert lab.health.complaints() == []
