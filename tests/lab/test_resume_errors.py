# SPDX-License-Identifier: LGPL-2.1-or-later
"""A resume of what is not paused: a clear error, and nothing is changed."""


def refused(host, *words):
    result = host.virsh(*words, check=False, timeout=60)
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert "cause is unknown" not in result.stderr
    return result.stderr


def test_nothing_paused(lab, guest):
    assert "nothing to recover" in refused(lab.a, "migrate-recover", "guest")
    words = ("migrate", "guest", lab.b.uri(), "--live", "--postcopy", "--postcopy-resume")
    refused(lab.a, *words)
    refused(lab.a, *words, "--p2p")
    for host in lab.hosts:
        assert host.daemon.alive
    assert lab.b.domains() == []
    guest.witness_ok(lab.a)


def test_in_the_middle_of_postcopy(lab, guest):
    migration = lab.postcopy(lab.a, lab.b)
    refused(lab.a, "migrate-recover", "guest")
    refused(lab.a, "migrate", "guest", lab.b.uri(), "--live", "--p2p", "--postcopy",
            "--postcopy-resume")
    migration.succeed()
    guest.witness_ok(lab.b)


def test_an_unknown_domain(lab):
    assert "nobody" in refused(lab.a, "migrate-recover", "nobody")


def test_on_the_wrong_host(lab, guest):
    migration = lab.postcopy(lab.a, lab.b)
    lab.a.virsh("domjobabort", "guest", "--postcopy")
    migration.fail(timeout=60)
    refused(lab.b, "migrate-recover", "guest")
    assert lab.b.daemon.alive
    lab.a.virsh("migrate-recover", "guest", timeout=60)
    guest.witness_ok(lab.b)
