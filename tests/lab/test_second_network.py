# SPDX-License-Identifier: LGPL-2.1-or-later
"""The migration network stays down: the destination's other address is taken, unless only one may
be; and QEMU listens where the source comes, nowhere else."""
from holdfast_lab import wait
from holdfast_lab.network import DATA_PORTS

SESSION = "org.holdfast.Migration1.Session"


def listening(host):
    """Where something on a host listens on a migration port."""
    first, last = map(int, DATA_PORTS.split("-"))
    lines = host.run("ss", "-Hltn").stdout.splitlines()
    addresses = [line.split()[3].rsplit(":", 1) for line in lines]
    return sorted(address for address, port in addresses if first <= int(port) <= last)


def test_another_network_is_taken_without_a_word(lab, guest):
    migration = lab.postcopy(lab.a, lab.b)
    lab.net.cut("migration")
    migration.succeed(timeout=180)
    assert migration.count("postcopy-recover", lab.a) >= 1
    guest.witness_ok(lab.b)


def test_the_listen_address_alone_is_listened_on(lab, guest):
    address = lab.b.address("migration")
    migration = lab.postcopy(lab.a, lab.b, "--listen-address", address)
    lab.net.cut("migration")
    migration.wait_status("postcopy-paused", timeout=30)
    wait(lambda: address in listening(lab.b), 20, "QEMU on b to listen")
    # Beside Holdfast's own port, which is for all migrations to this host.
    assert set(listening(lab.b)) <= {address, "*", "0.0.0.0", "[::]"}
    since = lab.now()
    wait(lambda: lab.now() - since >= 4, 10, "four seconds")
    assert migration.status(lab.a) == "postcopy-paused"
    lab.net.restore()
    migration.succeed(timeout=180)
    guest.witness_ok(lab.b)


def test_the_ports_are_those_of_qemu_conf(lab, guest):
    path = "/etc/libvirt/qemu.conf"
    before = lab.b.run("cat", path).stdout
    lab.b.write(path, before + "\nmigration_port_min = 49160\nmigration_port_max = 49163\n")
    lab.b.daemon.restart()
    try:
        migration = lab.postcopy(lab.a, lab.b)
        lab.net.cut("all", port=DATA_PORTS)
        migration.wait_status("postcopy-paused", timeout=30)
        ports = [line.split()[3].rsplit(":", 1)[1]
                 for line in lab.b.run("ss", "-Hltn").stdout.splitlines()]
        of_libvirt = [int(port) for port in ports if 49152 <= int(port) <= 49215]
        assert of_libvirt and all(49160 <= port <= 49163 for port in of_libvirt), ports
        lab.net.restore()
        migration.succeed(timeout=180)
        guest.witness_ok(lab.b)
    finally:
        lab.b.write(path, before)
        lab.b.daemon.restart()
