# SPDX-License-Identifier: LGPL-2.1-or-later
"""A peer-to-peer migration is run by Holdfast itself: with every option it is, from outside and for
QEMU, the migration that libvirt's own driver makes; and in postcopy an outage in the middle changes
nothing of what it comes to."""
import os
import re

import pytest

from holdfast_lab import account, certificates, wait
from holdfast_lab.network import DATA_PORTS


def everything(lab, guest):
    """What the guest is called and is there, where its memory goes, and how."""
    live = guest.xml_file(metadata="<title>live</title>")
    other = os.path.join(lab.shared, "persistent.xml")
    with open(other, "w", encoding="utf-8") as f:
        f.write(guest.xml(name="other", metadata="<title>persistent</title>"))
    return ["--undefinesource", "--persistent", "--dname", "other", "--xml", live,
            "--persistent-xml", other,
            "--migrateuri", "tcp://b-migration:49200", "--listen-address",
            lab.b.address("migration"), "--graphicsuri", "vnc://b:5999",
            "--auto-converge", "--auto-converge-initial", "30", "--abort-on-error",
            "--compressed", "--comp-methods", "xbzrle"]


def unix(lab, guest):
    """libvirt's connection, memory and disk over UNIX sockets."""
    return ["--copy-storage-all", "--migrateuri", f"unix://{lab.shared}/data.sock", "--disks-uri",
            f"unix://{lab.shared}/nbd.sock"]


def tls(lab, guest):
    """Memory and disk."""
    return ["--tls", "--tls-destination", "b", "--copy-storage-inc", "--migrate-disks", "vda",
            "--disks-port", "49201"]


def a_bad_migration_uri(lab, guest):
    return ["--migrateuri", "tcp://no.such.host"]


def another_devices_xml(lab, guest):
    return ["--xml", guest.xml_file(vcpus=3)]


def parallel(lab, guest):
    """QEMU has no postcopy over several channels."""
    return ["--parallel", "--parallel-connections", "3"]


def tls_parallel(lab, guest):
    return [*tls(lab, guest), *parallel(lab, guest)]


def suspend(lab, guest):
    """... at the destination."""
    return ["--suspend", "--undefinesource", "--persistent"]


def not_live(lab, guest):
    """The guest stops while it moves."""
    return ["--persistent", "--bandwidth", "300"]


def paused(lab, guest):
    """It has been stopped before, and stays so."""
    lab.a.virsh("suspend", "guest")
    return ["--undefinesource", "--persistent"]


def tls_wrong_name(lab, guest):
    return ["--tls", "--tls-destination", "somebody.else"]


OPTIONS = [everything, unix, tls]
PRECOPY = [everything, unix, tls_parallel, suspend, not_live, paused]
REFUSED = [a_bad_migration_uri, another_devices_xml, parallel, tls_wrong_name]


def start(lab, option, precopy=False, **how):
    """A guest, and its migration with this option -> (guest, migration, since)."""
    if option in (tls, tls_parallel):
        certificates.give(lab)
    guest = lab.guest(own_disks=option in (unix, tls, tls_parallel)).start(lab.a)
    flags = option(lab, guest)
    if option is unix:
        how["uri"] = f"qemu+unix:///system?socket={lab.b.path('/run/libvirt/libvirt-sock')}"
    since = lab.now()
    if precopy:
        return guest, lab.migrate(lab.a, lab.b, *flags, live=option is not not_live, **how), since
    return guest, lab.postcopy(lab.a, lab.b, *flags, wait_active=False, **how), since


def name_on_b(option):
    return "other" if option is everything else "guest"


def cause(text):
    """What virsh said, without what the destination says of a failure at the source: if it has
    seen one itself by the time that it is told depends on who is faster."""
    joined = re.search(r"Message from the source host: (.*?)\. Message from the destination", text)
    return f"error: {joined[1]}\n" if joined else text


def ended(lab, guest, migration, since):
    """Its account, once it is over on both hosts."""
    migration.wait()
    lab.note(migration.output)
    wait(lambda: lab.a.jobinfo(guest).get("Job type") in (None, "None"), 20, "the job's end")
    wait(lambda: migration.returncode == 0 or lab.b.domains() == [], 20, "nothing left on b")
    told = account.account(migration, since)
    here = lab.b if migration.returncode == 0 else lab.a
    if "paused" in here.domain_state(here.domains()[0]):
        here.virsh("resume", here.domains()[0])
    guest.witness_ok(here)
    return {**told, "said": cause(told["said"])}


def run_through(lab, option, **how):
    guest, migration, since = start(lab, option, **how)
    migration.succeed()
    lab.a.wait_event("Stopped Migrated")
    if option not in (suspend, paused):
        lab.b.wait_event("Resumed Migrated", guest=name_on_b(option))
    return ended(lab, guest, migration, since)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.__name__)
def test_without_a_fault(lab, stock_lab, option):
    stock, ours = (run_through(one, option, postcopy_bandwidth=30) for one in (stock_lab, lab))
    assert not account.differences(stock, ours)


@pytest.mark.parametrize("option", PRECOPY, ids=lambda option: option.__name__)
def test_in_precopy_without_a_fault(lab, stock_lab, option):
    stock, ours = (run_through(one, option, precopy=True) for one in (stock_lab, lab))
    assert any("holdfast: migration" in text for _, _, text in lab.a.log.entries(lab.epoch))
    assert not account.differences(stock, ours)


PERFORM3 = """
import ctypes, libvirt, sys
dom = libvirt.open().lookupByName("guest")
perform = ctypes.CDLL("libvirt.so.0").virDomainMigratePerform3
text = lambda word: word.encode()
flags = (libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_PEER2PEER
         | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE | libvirt.VIR_MIGRATE_PERSIST_DEST)
get = ctypes.pythonapi.PyCapsule_GetPointer
get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
cookie, length = ctypes.c_char_p(), ctypes.c_int()
sys.exit(perform(ctypes.c_void_p(get(dom._o, b"virDomainPtr")), None, None, 0,
                 ctypes.byref(cookie), ctypes.byref(length), text(sys.argv[1]),
                 text(sys.argv[2]), ctypes.c_ulong(flags), text("other"), ctypes.c_ulong(100)))
"""


def test_by_a_client_without_parameters(lab, guest):
    """... as of libvirt before 1.1.0, or one that is no libvirt."""
    result = lab.a.run("/usr/bin/python3", "-c", PERFORM3, lab.b.uri(), lab.b.data_uri(port=49200))
    lab.note(result.stderr)
    assert any("holdfast: migration" in text for _, _, text in lab.a.log.entries(lab.epoch))
    assert lab.a.domains() == [] and lab.b.is_persistent("other")
    guest.witness_ok(lab.b)


def run_into(lab, guest, option):
    flags = option(lab, guest)
    since = lab.now()
    migration = lab.postcopy(lab.a, lab.b, *flags, wait_active=False)
    told = ended(lab, guest, migration, since)
    assert told["exit"] != 0, migration
    return told


def test_refused(lab, stock_lab):
    """For the same reason, and the guest goes on where it is; one after the other."""
    labs = [stock_lab, lab]
    for one in labs:
        certificates.give(one)
    guests = [one.guest().start(one.a) for one in labs]
    for option in REFUSED:
        stock, ours = (run_into(one, guest, option) for one, guest in zip(labs, guests))
        assert not account.differences(stock, ours), option.__name__


@pytest.mark.parametrize("option", [everything, tls], ids=lambda option: option.__name__)
def test_with_an_outage(lab, option):
    guest, migration, _ = start(lab, option)
    migration.wait_status("postcopy-active")
    lab.b.wait_event("Resumed Post-copy", guest=name_on_b(option))
    lab.net.cut("all", port=DATA_PORTS)
    migration.wait_status("postcopy-paused", hosts=[lab.a])
    lab.net.restore()
    migration.succeed()
    assert migration.output.strip() == ""
    assert migration.count("postcopy-recover", lab.a) >= 1
    guest.witness_ok(lab.b)
    on_a, on_b = account.domains(lab.a), account.domains(lab.b)
    if option is everything:
        assert on_a == {}
        assert on_b == {"other": ("running (migrated)", True, "live", "persistent")}
    else:
        assert on_a == {"guest": ("shut off (migrated)", True, "", "")}
        assert on_b == {"guest": ("running (migrated)", False, "", "")}
