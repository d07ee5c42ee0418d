# SPDX-License-Identifier: LGPL-2.1-or-later
"""A peer-to-peer migration with postcopy is run by Holdfast itself: with every option it is, from
outside and for QEMU, the migration that libvirt's own driver makes; and an outage in the middle
changes nothing of what it comes to."""
import os

import pytest

from holdfast_lab import account, wait
from holdfast_lab.process import run

CA = "cn = lab\nca\ncert_signing_key\n"
HOST = "cn = {name}\nip_address = {address}\ntls_www_server\ntls_www_client\nsigning_key\nencryption_key\n"
PKI = "/etc/libvirt/pki"


def nothing(lab, guest):
    return []


def identity(lab, guest):
    live = guest.xml_file(metadata="<title>live</title>")
    other = os.path.join(lab.shared, "persistent.xml")
    with open(other, "w", encoding="utf-8") as f:
        f.write(guest.xml(name="other", metadata="<title>persistent</title>"))
    return ["--undefinesource", "--persistent", "--dname", "other", "--xml", live,
            "--persistent-xml", other]


def addresses(lab, guest):
    return ["--migrateuri", lab.b.data_uri(port=49200), "--listen-address",
            lab.b.address("migration"), "--graphicsuri", "vnc://b:5999"]


def host_name(lab, guest):
    return ["--migrateuri", "tcp://b-migration", "--undefinesource"]


def a_bad_migration_uri(lab, guest):
    return ["--migrateuri", "tcp://no.such.host"]


def another_devices_xml(lab, guest):
    return ["--xml", guest.xml_file(vcpus=3)]


def parallel(lab, guest):
    return ["--parallel", "--parallel-connections", "3"]


def tuning(lab, guest):
    return ["--auto-converge", "--auto-converge-initial", "30", "--abort-on-error",
            "--compressed", "--comp-methods", "xbzrle"]


def copy_all(lab, guest):
    return ["--copy-storage-all"]


def copy_inc(lab, guest):
    return ["--copy-storage-inc", "--migrate-disks", "vda"]


def unix(lab, guest):
    return ["--migrateuri", f"unix://{lab.shared}/data.sock", "--disks-uri",
            f"unix://{lab.shared}/nbd.sock"]


def tls(lab, guest):
    """Certificates of both hosts, of one authority."""
    if not lab.a.read(PKI + "/ca-cert.pem"):
        make_certificates(lab)
    return ["--tls"]


def tls_name(lab, guest):
    return tls(lab, guest) + ["--tls-destination", "b"]


def tls_wrong_name(lab, guest):
    return tls(lab, guest) + ["--tls-destination", "somebody.else"]


def make_certificates(lab):
    folder = os.path.join(lab.directory, "ca")
    os.makedirs(folder, exist_ok=True)

    def file(name, text=None):
        path = os.path.join(folder, name)
        if text is not None:
            with open(path, "w", encoding="ascii") as f:
                f.write(text)
        return path

    ca = ["--load-ca-privkey", file("ca-key.pem"), "--load-ca-certificate", file("ca-cert.pem")]
    run(["certtool", "--generate-privkey", "--rsa", "--bits", "2048", "--outfile", file("ca-key.pem")])
    run(["certtool", "--generate-self-signed", "--template", file("ca.info", CA),
         "--load-privkey", file("ca-key.pem"), "--outfile", file("ca-cert.pem")])
    for host in lab.hosts:
        info = file("host.info", HOST.format(name=host.name, address=host.address("migration")))
        key, certificate = file(f"{host.name}-key.pem"), file(f"{host.name}-cert.pem")
        run(["certtool", "--generate-privkey", "--rsa", "--bits", "2048", "--outfile", key])
        run(["certtool", "--generate-certificate", "--template", info, "--load-privkey", key,
             "--outfile", certificate, *ca])
        with open(file("ca-cert.pem"), encoding="ascii") as f:
            host.write(PKI + "/ca-cert.pem", f.read())
        for role in ("server", "client"):
            for kind, path in (("key", key), ("cert", certificate)):
                with open(path, encoding="ascii") as f:
                    host.write(f"{PKI}/{role}-{kind}.pem", f.read())
        host.write("/etc/libvirt/qemu.conf", host.read("/etc/libvirt/qemu.conf")
                   + f'migrate_tls_x509_cert_dir = "{PKI}"\n')
        host.daemon.restart()


OPTIONS = [nothing, identity, addresses, host_name, a_bad_migration_uri, another_devices_xml,
           parallel, tuning, copy_all, copy_inc, unix, tls, tls_name, tls_wrong_name]
# Those with which a migration of stock libvirt comes to an end at the destination.
FAIL = [a_bad_migration_uri, another_devices_xml, parallel, tls_wrong_name]


def start(lab, option, **how):
    """A guest, and its migration with this option -> (guest, migration, since)."""
    guest = lab.guest(own_disks=option in (copy_all, copy_inc)).start(lab.a)
    flags = option(lab, guest)
    if option is unix:
        how["uri"] = f"qemu+unix:///system?socket={lab.b.path('/run/libvirt/libvirt-sock')}"
    since = lab.now()
    return guest, lab.postcopy(lab.a, lab.b, *flags, **how), since


def arrived(lab, guest):
    """The guest as it is called on b."""
    return "other" if lab.b.domain_state("other") else str(guest)


def run_through(lab, option):
    guest, migration, since = start(lab, option, postcopy_bandwidth=30, wait_active=False)
    migration.wait()
    lab.note(f"{option.__name__}: {migration.output}")
    if migration.returncode == 0:
        name = arrived(lab, guest)
        lab.a.wait_event("Stopped Migrated")
        lab.b.wait_event("Resumed Migrated", guest=name)
    wait(lambda: lab.a.jobinfo(guest).get("Job type") in (None, "None"), 20, "the job's end")
    guest.witness_ok(lab.b if migration.returncode == 0 else lab.a)
    return account.account(migration, since)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.__name__)
def test_without_a_fault(lab, stock_lab, option):
    stock = run_through(stock_lab, option)
    ours = run_through(lab, option)
    assert (stock["exit"] != 0) == (option in FAIL), stock
    assert not account.differences(stock, ours)


@pytest.mark.parametrize("option", [option for option in OPTIONS if option not in (*FAIL, unix)],
                         ids=lambda option: option.__name__)
def test_with_an_outage(lab, option):
    guest, migration, _ = start(lab, option)
    lab.net.cut("migration")
    migration.wait_status("postcopy-paused", hosts=[lab.a])
    lab.net.restore()
    migration.succeed()
    assert migration.output.strip() == ""
    assert migration.count("postcopy-recover", lab.a) >= 1
    guest.witness_ok(lab.b)
    gone = option in (identity, host_name)
    assert account.domains(lab.a) == ({} if gone else {
        "guest": ("shut off (migrated)", True, "", "")})
    name, persistent, titles = ("other", True, ("live", "persistent")) if option is identity \
        else ("guest", False, ("", ""))
    assert account.domains(lab.b) == {name: ("running (migrated)", persistent, *titles)}
