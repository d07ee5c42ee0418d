# SPDX-License-Identifier: LGPL-2.1-or-later
"""With --tls a recovery goes over an address for which the destination has no certificate: it is
checked by the name, or the address, that the migration began with."""
import pytest

from holdfast_lab import certificates, wait


def names_checked(host, since):
    """What QEMU was told to look for in the destination's certificate."""
    names = [message.get("arguments", {}).get("tls-hostname") for _, kind, message
             in host.qmp_log(since) if kind == "send"]
    return [name for name in names if name]


@pytest.mark.parametrize("p2p,named", [(True, True), (False, False)],
                         ids=["p2p-by-name", "client-by-address"])
def test_over_another_network(lab, p2p, named):
    certificates.give(lab)
    guest = lab.guest().start(lab.a)
    flags = ["--migrateuri", "tcp://b-migration"] * named
    migration = lab.postcopy(lab.a, lab.b, "--tls", *flags, p2p=p2p)
    guest.wait_heartbeat(lab.b)
    cut = lab.now()
    lab.net.cut("migration")
    migration.succeed(timeout=120)
    assert migration.count("postcopy-recover", lab.a) >= 1
    assert set(names_checked(lab.a, cut)) == {"b-migration" if named
                                              else lab.b.address("migration")}
    guest.witness_ok(lab.b)


def test_over_a_network_that_a_person_names(lab):
    certificates.give(lab)
    guest = lab.guest().start(lab.a)
    migration = lab.postcopy(lab.a, lab.b, "--tls", "--tls-destination", "b")
    guest.wait_heartbeat(lab.b)
    lab.a.virsh("domjobabort", "guest", "--postcopy")
    migration.fail()
    lab.a.virsh("migrate-recover", "guest", "--uri", f"tcp://{lab.b.address('management')}",
                timeout=60)
    wait(lambda: lab.b.domain_state(reason=True) == "running (migrated)", 60, "the end on b")
    guest.witness_ok(lab.b)
