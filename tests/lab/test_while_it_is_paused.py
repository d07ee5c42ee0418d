# SPDX-License-Identifier: LGPL-2.1-or-later
"""While a migration is paused or recovers, both hosts answer whatever they answer in postcopy, at
once; nothing hangs, and nothing is changed by the asking."""
import pytest

from holdfast_lab import phases

SECONDS = 10
# What monitoring asks all the time. On the destination of a migration that goes on, libvirt lets
# only what needs no job pass; dumpxml, domblklist and the like wait half a minute for one.
WITHOUT_A_JOB = (
    ["list", "--all"], ["domstate", "guest", "--reason"], ["dominfo", "guest"],
    ["domjobinfo", "guest"], ["domstats", "guest", "--state", "--nowait"],
    ["domcontrol", "guest"], ["nodeinfo"],
)
# What an administrator and a manager ask and do besides, on the source.
ON_SOURCE = (
    *WITHOUT_A_JOB,
    ["dumpxml", "guest"], ["dumpxml", "guest", "--inactive"], ["dumpxml", "guest", "--migratable"],
    ["domstats"], ["domblklist", "guest"], ["vcpucount", "guest"], ["migrate-getspeed", "guest"],
    ["migrate-getspeed", "guest", "--postcopy"], ["migrate-setspeed", "guest", "20"],
    ["migrate-setspeed", "guest", "20", "--postcopy"], ["migrate-getmaxdowntime", "guest"],
    ["migrate-setmaxdowntime", "guest", "500"], ["migrate-postcopy", "guest"],
    ["migrate-compcache", "guest"],
)


def ask(host, queries):
    """{query: (whether it was answered, the error)}; one that hangs is killed and fails."""
    answers = {}
    for words in queries:
        result = host.virsh(*words, check=False, timeout=SECONDS)
        assert result.returncode != -1, f"{host.name}: {result}"
        answers[" ".join(words)] = (result.ok, result.stderr.strip())
        host.lab.note(f"{host.name}: {words}: {result.stderr.strip() or 'answered'}")
    return answers


@pytest.mark.parametrize("p2p", [True, False], ids=["p2p", "client"])
@pytest.mark.parametrize("phase", ["paused", "recovering"])
def test_nothing_hangs(lab, guest, phase, p2p):
    migration = phases.reach(lab, phase, "--undefinesource", "--persistent", p2p=p2p)
    on_a = ask(lab.a, ON_SOURCE)
    on_b = ask(lab.b, WITHOUT_A_JOB)
    job = lab.a.jobinfo("guest")
    assert (job["Job type"], job["Operation"]) == ("Unbounded", "Outgoing migration")
    assert "only on the source host" in on_b["domjobinfo guest"][1]
    for words in ("list --all", "domstate guest --reason", "dominfo guest"):
        assert on_a[words][0] and on_b[words][0], words
    assert on_a["dumpxml guest"][0] and on_a["dumpxml guest --inactive"][0]
    assert lab.a.domain_state(reason=True).startswith("paused (post-copy")
    assert lab.b.domain_state(reason=True).startswith("running (post-copy")
    phases.let_go(lab)
    migration.succeed(180)
    guest.witness_ok(lab.b)
    assert lab.a.domain_state() is None


def test_as_stock(lab, stock_lab):
    """The answers are libvirt's own in the same state, in which it stays after a person's pause."""
    answers = []
    for each in (stock_lab, lab):
        each.guest().start(each.a)
        migration = each.postcopy(each.a, each.b)
        each.a.virsh("domjobabort", "guest", "--postcopy")
        migration.wait_status("postcopy-paused")
        migration.fail()
        each.a.wait_event("Suspended Post-copy Error")
        each.b.wait_event("Resumed Post-copy Error")
        answers.append([ask(each.a, ON_SOURCE), ask(each.b, WITHOUT_A_JOB)])
    assert answers[0] == answers[1]
