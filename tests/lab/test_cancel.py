# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who wants to stop a migration is obeyed before postcopy and refused in it, as by libvirt itself;
what is refused changes nothing."""
import pytest

from holdfast_lab import phases, wait

SESSION = "org.holdfast.Migration1.Session"
REFUSED = "cannot abort migration in post-copy mode"

by_driver = pytest.mark.parametrize("p2p", [True, False], ids=["p2p", "client"])
in_postcopy = pytest.mark.parametrize("phase", phases.POSTCOPY)


def assert_moved(lab, guest, migration):
    migration.succeed(180)
    assert lab.a.domain_state() is None
    assert lab.b.is_persistent("guest")
    guest.witness_ok(lab.b)


@pytest.mark.parametrize("p2p,postcopy", [(True, True), (True, False), (False, True)],
                         ids=["p2p", "p2p-precopy-only", "client"])
@pytest.mark.parametrize("how", ["domjobabort", "ctrl-c"])
def test_in_precopy(lab, guest, how, p2p, postcopy):
    migration = phases.reach(lab, "precopy", p2p=p2p, postcopy=postcopy, terminal=how == "ctrl-c")
    if how == "ctrl-c":
        migration.interrupt()
    else:
        lab.a.virsh("domjobabort", "guest")
    migration.fail(30)
    assert "canceled by client" in migration.output
    wait(lambda: lab.b.domains() == [], 20, "the destination gone")
    assert lab.a.domain_state() == "running"
    guest.witness_ok(lab.a)
    # and nothing of it is left that would be in the way of the next
    lab.migrate(lab.a, lab.b, "--postcopy", p2p=p2p).succeed()
    guest.witness_ok(lab.b)


@by_driver
@in_postcopy
def test_domjobabort_is_refused(lab, guest, phase, p2p):
    migration = phases.reach(lab, phase, "--undefinesource", "--persistent", p2p=p2p)
    for _ in range(2):
        refused = lab.a.virsh("domjobabort", "guest", check=False, timeout=10)
        assert REFUSED in refused.stderr, refused
    phases.let_go(lab)
    assert_moved(lab, guest, migration)


@by_driver
@in_postcopy
def test_ctrl_c_is_refused(lab, guest, phase, p2p):
    migration = phases.reach(lab, phase, "--undefinesource", "--persistent", p2p=p2p,
                             terminal=True)
    migration.interrupt()
    phases.let_go(lab)
    assert_moved(lab, guest, migration)


def assert_paused_by_a_person(lab, guest):
    path = lab.a.wait_dbus_signal("Paused")["path"]
    assert lab.a.dbus_property(path, SESSION, "State") == "postcopy-paused"
    assert lab.a.dbus_property(path, SESSION, "Reason") == "operator"
    lab.a.virsh("migrate-recover", "guest", timeout=60)
    wait(lambda: lab.b.domain_state(reason=True) == "running (migrated)", 60, "the end on b")
    wait(lambda: lab.a.domain_state() is None, 60, "the guest gone from a")
    guest.witness_ok(lab.b)


@by_driver
def test_a_persons_pause_in_an_outage(lab, guest, p2p):
    """It becomes the person's: the call fails, and nothing resumes before the person says so."""
    migration = phases.reach(lab, "paused", "--undefinesource", "--persistent", p2p=p2p,
                             started=guest, asking=True)
    lab.a.virsh("domjobabort", "guest", "--postcopy", timeout=20)
    phases.let_go(lab)
    migration.fail(60)
    assert "cause is unknown" not in migration.output and "error: " in migration.output
    assert_paused_by_a_person(lab, guest)


@by_driver
def test_a_persons_pause_in_an_outage_that_lasts(lab, guest, p2p):
    """libvirt's own connection is whole: the client need not wait for the other network."""
    migration = phases.reach(lab, "paused", "--undefinesource", "--persistent", p2p=p2p,
                             started=guest, asking=True)
    asked = lab.now()
    lab.a.virsh("domjobabort", "guest", "--postcopy", timeout=20)
    migration.fail(10)
    print(f"the call ended {lab.now() - asked:.2f} s after the pause")
    assert "cause is unknown" not in migration.output and "error: " in migration.output
    phases.let_go(lab)
    assert_paused_by_a_person(lab, guest)
    assert lab.b.is_persistent("guest")


def reasons(host):
    path = host.wait_dbus_signal("Paused")["path"]
    return [reason for _, _, _, reason in host.dbus_property(path, SESSION, "History")]


@by_driver
def test_a_persons_pause_that_nobody_can_tell_of(lab, guest, p2p):
    """No network at all: the destination learns of it when one of them is back."""
    migration = phases.reach(lab, "paused", "--undefinesource", "--persistent", p2p=p2p,
                             started=guest, asking=True)
    lab.net.cut("management")
    lab.a.virsh("domjobabort", "guest", "--postcopy", timeout=20)
    assert "operator" not in reasons(lab.b)
    phases.let_go(lab)
    wait(lambda: "operator" in reasons(lab.b), 30, "the operator's pause on b")
    migration.fail(60)
    assert_paused_by_a_person(lab, guest)


def test_a_persons_pause_that_is_over_before_it_is_told(lab, guest):
    """... and does not, when the person has said otherwise by then."""
    migration = phases.reach(lab, "paused", "--undefinesource", "--persistent",
                             started=guest, asking=True)
    lab.net.cut("management")
    lab.a.virsh("domjobabort", "guest", "--postcopy", timeout=20)
    lab.a.virsh("migrate-recover", "guest", "--timeout", "2", timeout=20, check=False)
    phases.let_go(lab)
    assert_moved(lab, guest, migration)
    assert "operator" not in reasons(lab.b)


@by_driver
@pytest.mark.parametrize("how", ["domjobabort", "dbus"])
def test_a_persons_pause_of_a_recovery(lab, guest, how, p2p):
    """Also where QEMU refuses migrate-pause, as it is between two connections."""
    migration = phases.reach(lab, "recovering", "--undefinesource", "--persistent", p2p=p2p,
                             started=guest, asking=True)
    if how == "dbus":
        path = lab.a.wait_dbus_signal("Paused")["path"]
        lab.a.dbus_call("org.holdfast.Migration1", path, SESSION, "Pause")
    else:
        lab.a.virsh("domjobabort", "guest", "--postcopy", timeout=20)
    assert migration.status(lab.a) == "postcopy-paused"
    phases.let_go(lab)
    migration.fail(60)
    assert_paused_by_a_person(lab, guest)


@pytest.mark.parametrize("driver", ["stock_lab", "lab"])
def test_while_the_destination_does_not_answer(request, driver):
    """Peer-to-peer: there is a job from the beginning, which guards the domain and can be
    aborted."""
    lab = request.getfixturevalue(driver)
    guest = lab.guest().start(lab.a)
    lab.b.daemon.stop()
    migration = lab.migrate(lab.a, lab.b)
    wait(lambda: lab.a.jobinfo(guest).get("Job type") == "Unbounded", 10, "a job on the source")
    lab.a.virsh("domjobabort", "guest")
    lab.b.daemon.cont()
    migration.fail(60)
    assert "canceled by client" in migration.output
    wait(lambda: lab.b.domains() == [], 30, "no guest on b")
    guest.witness_ok(lab.a)
