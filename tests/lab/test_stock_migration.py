# SPDX-License-Identifier: LGPL-2.1-or-later
"""A migration without any fault behaves as libvirt's own, whichever module the daemons load."""
import pytest

from holdfast_lab import wait

PRECOPY = ()
# Without a limit: the guest's usual rate leaves enough for postcopy to have work.
POSTCOPY = ("--postcopy", "--postcopy-after-precopy", "--bandwidth", "50")

by_driver = pytest.mark.parametrize("p2p", [True, False], ids=["p2p", "client"])
by_mode = pytest.mark.parametrize("mode", [PRECOPY, POSTCOPY], ids=["precopy", "postcopy"])

SOURCE_EVENTS = {
    PRECOPY: ["Suspended Migrated", "Stopped Migrated"],
    POSTCOPY: ["Suspended Migrated", "Suspended Post-copy", "Stopped Migrated"],
}
DESTINATION_EVENTS = {
    PRECOPY: ["Started Migrated", "Resumed Migrated"],
    POSTCOPY: ["Started Migrated", "Resumed Post-copy", "Resumed Migrated"],
}
# QEMU's own word about the end of its process may or may not be heard before libvirt's.
INCIDENTAL = ("Shutdown On host request", "Defined Added", "Defined Updated", "Undefined Removed")


def events(host, since):
    return [text for text in host.events(since=since) if text not in INCIDENTAL]


def go(lab, guest, source, destination, mode, p2p, *flags):
    """One migration, and all that is the same for each."""
    since = lab.now()
    migration = lab.migrate(source, destination, *mode, *flags, p2p=p2p).succeed()
    if mode is POSTCOPY:
        assert migration.count("postcopy-active", source) == 1
        assert migration.count("postcopy-active", destination) == 1
    wait(lambda: events(source, since) == SOURCE_EVENTS[mode], 10,
         lambda: f"{SOURCE_EVENTS[mode]} on the source, seen: {events(source, since)}")
    wait(lambda: events(destination, since) == DESTINATION_EVENTS[mode], 10,
         lambda: f"{DESTINATION_EVENTS[mode]}, seen: {events(destination, since)}")
    assert destination.domain_state(guest, reason=True) == "running (migrated)"
    guest.witness_ok(destination)
    return since


@by_driver
@by_mode
def test_there_and_back(lab, guest, mode, p2p):
    since = go(lab, guest, lab.a, lab.b, mode, p2p, "--undefinesource", "--persistent")
    assert lab.a.domains() == []
    assert lab.b.is_persistent(guest)
    jobs = lab.a.records("job-completed", since)
    assert [(job["domain"], job["params"]["operation"]) for job in jobs] == [("guest", 5)]

    go(lab, guest, lab.b, lab.a, mode, p2p)
    assert lab.b.domain_state(guest, reason=True) == "shut off (migrated)"
    assert not lab.a.is_persistent(guest)
    left = lab.b.jobinfo(guest, completed=True)
    assert (left["Job type"], left["Operation"]) == ("Completed", "Outgoing migration")
    arrived = lab.a.jobinfo(guest, completed=True)
    if mode is PRECOPY:
        assert (arrived["Job type"], arrived["Operation"]) == ("Completed", "Incoming migration")
        assert arrived["Data total"] == left["Data total"]
    else:  # the source's figures come too late for the cookie
        assert arrived["Job type"] == "None"


@by_driver
def test_what_is_allowed_while_it_goes_on(lab, guest, p2p):
    migration = lab.postcopy(lab.a, lab.b, p2p=p2p, wait_active=False)
    migration.wait_status("active")
    refused = lab.a.virsh("domjobabort", "guest", "--postcopy", check=False)
    assert "current job is not outgoing migration in post-copy mode" in refused.stderr

    migration.wait_status("postcopy-active")
    job = lab.a.jobinfo(guest)
    assert (job["Job type"], job["Operation"]) == ("Unbounded", "Outgoing migration")
    assert "migration statistics are available only on the source host" \
        in lab.b.jobinfo(guest)["error"]
    refused = lab.a.virsh("domjobabort", "guest", check=False)
    assert "cannot abort migration in post-copy mode" in refused.stderr
    assert not lab.b.virsh("domjobabort", "guest", check=False).ok
    assert not lab.b.virsh("domjobabort", "guest", "--postcopy", check=False).ok
    migration.succeed()
    guest.witness_ok(lab.b)


@by_driver
def test_cancelled_in_precopy(lab, guest, p2p):
    migration = lab.migrate(lab.a, lab.b, "--bandwidth", "10", p2p=p2p)
    migration.wait_status("active")
    lab.a.virsh("domjobabort", "guest")
    migration.fail()
    assert "canceled by client" in migration.output
    wait(lambda: lab.b.domains() == [], 20, "the destination gone")
    assert lab.a.domain_state(guest) == "running"
    guest.witness_ok(lab.a)


@by_driver
def test_a_persons_pause_fails_the_call_and_lasts(lab, guest, p2p):
    since = lab.now()
    migration = lab.postcopy(lab.a, lab.b, p2p=p2p)
    lab.a.virsh("domjobabort", "guest", "--postcopy")
    migration.wait_status("postcopy-paused")
    migration.fail()
    lab.a.wait_event("Suspended Post-copy Error")
    lab.b.wait_event("Resumed Post-copy Error")
    assert events(lab.a, since) == ["Suspended Migrated", "Suspended Post-copy",
                                    "Suspended Post-copy Error"]
    assert events(lab.b, since) == ["Started Migrated", "Resumed Post-copy",
                                    "Resumed Post-copy Error"]
    assert lab.a.domain_state(guest, reason=True) == "paused (post-copy failed)"
    assert lab.b.domain_state(guest, reason=True) == "running (post-copy failed)"
    job = lab.a.jobinfo(guest)
    assert (job["Job type"], job["Operation"]) == ("Unbounded", "Outgoing migration")
    assert migration.status(lab.a) == migration.status(lab.b) == "postcopy-paused"


def test_resume_of_what_is_not_paused(lab, guest):
    for words in (["guest"], ["nobody"]):
        refused = lab.a.virsh("migrate", *words, lab.b.uri(), "--live", "--p2p", "--postcopy",
                              "--postcopy-resume", check=False)
        assert not refused.ok
    assert lab.b.domains() == []
    assert lab.a.domain_state(guest) == "running"
    guest.witness_ok(lab.a)


def test_options(lab, guest):
    """The guest goes there and back, each time with another option."""
    for p2p in (True, False):
        to_b = [lab.a, lab.b]
        steps = [
            (to_b, ["--migrateuri", lab.b.data_uri(port=49200), "--listen-address",
                    lab.b.address("migration")]),
            (to_b[::-1], ["--parallel", "--parallel-connections", "2"]),
            (to_b, ["--xml", guest.xml_file(), "--persistent", "--persistent-xml",
                    guest.xml_file()]),
            (to_b[::-1], ["--abort-on-error", "--auto-converge", "--bandwidth", "200"]),
        ]
        for (source, destination), flags in steps:
            lab.note(f"options {flags}")
            lab.migrate(source, destination, *flags, p2p=p2p).succeed()
            assert destination.domain_state(guest) == "running"
    lab.b.virsh("undefine", "guest")  # left shut off by the steps above
    lab.migrate(lab.a, lab.b, "--dname", "other").succeed()
    assert lab.b.domain_state("other") == "running"
    guest.witness_ok(lab.b)
