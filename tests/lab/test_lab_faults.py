# SPDX-License-Identifier: LGPL-2.1-or-later
"""Each of the lab's faults does what it says, and is undone."""
import os
import signal
import subprocess
import sys

import pytest

from holdfast_lab import wait
from holdfast_lab.network import DATA_PORTS, RPC_PORT
from holdfast_lab.process import Process

CONNECT = """
import socket, sys
s = socket.socket()
s.settimeout(1.5)
try:
    s.connect((sys.argv[1], int(sys.argv[2])))
    print("open")
except (TimeoutError, socket.timeout):
    print("silent")
except ConnectionRefusedError:
    print("reset")
except OSError as e:
    print(e.strerror)
"""


# Its first thread ends, by exit(2) of x86-64, and is a zombie; another sleeps on.
OUTLIVED = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(600,)).start()
ctypes.CDLL(None).syscall(60, 0)
"""


def connect(source, destination, network, port=RPC_PORT):
    return source.run("/usr/bin/python3", "-c", CONNECT, destination.address(network),
                      str(port)).stdout.strip()


def carrier(host, interface="mig0"):
    return host.run("cat", f"/sys/class/net/{interface}/operstate").stdout.strip()


@pytest.mark.parametrize("network", ["migration", "management", "all"])
@pytest.mark.parametrize("how, seen", [("drop", "silent"), ("reset", "reset")])
def test_a_cut_hits_its_network_alone(lab, network, how, seen):
    lab.net.cut(network, how)
    for each in ("migration", "management"):
        expected = seen if network in (each, "all") else "open"
        assert connect(lab.a, lab.b, each) == expected
        assert connect(lab.b, lab.a, each) == expected
    lab.net.restore()
    assert connect(lab.a, lab.b, "migration") == "open"
    assert connect(lab.a, lab.b, "management") == "open"


def test_a_port_alone(lab):
    rpc = lab.net.cut("all", port=RPC_PORT)
    data = lab.net.cut("all", "reset", port=DATA_PORTS)
    assert connect(lab.a, lab.b, "management") == "silent"
    lab.net.restore(rpc)
    assert connect(lab.a, lab.b, "management") == "open"
    assert connect(lab.a, lab.b, "migration", 49152) == "reset"
    lab.net.restore(data)
    assert lab.net.cuts == []


@pytest.mark.parametrize("how", ["down", "unplug"])
def test_a_link_alone(lab, how):
    lab.net.cut("migration", how, at=lab.b)
    wait(lambda: carrier(lab.b) in ("down", "lowerlayerdown"), 5, "the link down")
    assert carrier(lab.a) == "up"
    assert connect(lab.a, lab.b, "management") == "open"
    lab.net.restore()
    wait(lambda: carrier(lab.b) == "up", 5, "the link up")
    wait(lambda: connect(lab.a, lab.b, "migration") == "open", 10, "the network back")


def test_one_direction(lab):
    listen = ("import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('', 9999)); "
              "print('bound', flush=True); print(s.recv(9).decode(), flush=True)")
    send = ("import socket, sys; socket.socket(type=socket.SOCK_DGRAM)"
            ".sendto(b'hello', (sys.argv[1], 9999))")
    lab.net.cut("migration", at=lab.a)
    listener = lab.b.background("/usr/bin/python3", "-c", listen)
    wait(lambda: "bound" in listener.output, 10, "the listener")
    lab.a.run("/usr/bin/python3", "-c", send, lab.b.address("migration"))
    wait(lambda: "hello" in listener.output, 10, "what a sends reaches b")
    assert connect(lab.b, lab.a, "migration") == "silent"


def test_a_third_host_and_a_cut_between_two(new_lab):
    lab = new_lab(module_dir="", hosts=("a", "b", "c"))
    lab.net.cut("management", between=(lab.b, lab.c))
    assert connect(lab.a, lab.b, "management") == "open"
    assert connect(lab.a, lab.c, "management") == "open"
    assert connect(lab.b, lab.c, "management") == "silent"
    assert connect(lab.c, lab.b, "management") == "silent"
    assert lab.c.run("hostname").stdout == "c\n"
    assert lab.c.run("getent", "hosts", "b").stdout.split()[0] == lab.b.address("management")


def test_a_stopped_daemon_is_silent_and_goes_on(lab):
    lab.b.daemon.stop()
    assert not lab.b.virsh("list", check=False, timeout=1).ok
    lab.b.daemon.cont()
    assert lab.b.virsh("list").ok


@pytest.mark.parametrize("hard", [False, True], ids=["SIGTERM", "SIGKILL"])
def test_a_restarted_daemon_keeps_its_guest(lab, guest, hard):
    before = lab.a.daemon.pid
    lab.a.daemon.restart(hard, HOLDFAST="off")
    assert lab.a.daemon.pid != before
    with open(f"/proc/{lab.a.daemon.pid}/environ", encoding="ascii") as f:
        assert "HOLDFAST=off" in f.read().split("\0")
    assert lab.a.domain_state(guest) == "running"
    guest.witness_ok(lab.a)
    lab.a.virsh("destroy", "guest")
    lab.a.wait_event("Stopped Destroyed")  # the recorder has come back too


def test_a_killed_process_is_gone_with_its_last_thread():
    """Until then it has its ports and its locks."""
    with subprocess.Popen([sys.executable, "-c", OUTLIVED]) as child:
        process = Process(child.pid, "child")
        wait(lambda: process.state == "Z", 20, "the first thread to end")
        assert process.alive
        process.kill()
        assert not process.alive and process.state == "Z", "reaped by nobody yet"


def test_a_qemu_stopped_and_killed(lab, guest):
    qemu = lab.a.qemu()
    qemu.stop()
    beats = len(guest.heartbeats(lab.a))
    qemu.cont()
    wait(lambda: len(guest.heartbeats(lab.a)) > beats + 2, 30, "the heart beating again")
    guest.witness_ok(lab.a)
    qemu.kill()
    wait(lambda: lab.a.domain_state(guest) == "shut off", 20, "libvirt to notice")
    lab.a.wait_event("Stopped Failed")


@pytest.mark.daemon_may_say(
    "left with 0 by itself", reason="libvirtd ends with the system bus: GDBus does that to whoever "
    "has its shared connection (virGDBusBusInit(), src/util/virgdbus.c, 11.3.0)")
def test_signals_are_recorded_also_after_the_bus_was_restarted(lab):
    lab.b.bus.restart()
    lab.b.run("dbus-send", "--system", "--type=signal", "/org/example", "org.holdfast.Lab.Said",
              "string:something", "int32:4")
    said = lab.b.wait_dbus_signal("Said")
    assert (said["path"], said["interface"], said["args"]) == \
        ("/org/example", "org.holdfast.Lab", ["something", 4])
    assert lab.a.dbus_signals() == []
    assert "org.freedesktop.DBus" in lab.b.dbus_call(
        "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "ListNames")[0]


def test_ctrl_c_on_a_terminal_cancels_a_migration(lab, guest):
    migration = lab.migrate(lab.a, lab.b, "--bandwidth", "10", terminal=True)
    migration.wait_status("active")
    migration.interrupt()
    migration.fail(30)
    guest.witness_ok(lab.a)


def test_after_a_reset_nothing_is_left_of_a_mess(lab, guest):
    lab.postcopy(lab.a, lab.b, postcopy_bandwidth=1)
    lab.net.cut("all", "drop")
    lab.net.cut("management", "unplug", at=lab.b)
    lab.a.daemon.kill()
    lab.b.daemon.stop()
    lab.b.qemu().stop()
    lab.reset()
    for host in lab.hosts:
        assert host.domains() == []
        assert host.qemu() is None
    assert connect(lab.a, lab.b, "management") == "open"
    guest = lab.guest().start(lab.a)
    lab.migrate(lab.a, lab.b).succeed()
    guest.witness_ok(lab.b)


def test_a_bundle_tells_the_whole_story(lab, guest, tmp_path):
    lab.net.cut("migration")
    lab.net.restore()
    lab.migrate(lab.a, lab.b).succeed()
    text = lab.bundle(str(tmp_path / "bundle"), "why it failed")
    for what in ("cut: drop migration", "restored: drop migration", "migration completed",
                 "Started Migrated", "READY pages="):
        assert what in text
    files = {name: (tmp_path / "bundle" / name).stat().st_size
             for name in os.listdir(tmp_path / "bundle")}
    for name in ("timeline.txt", "failure.txt", "a-daemon.log", "b-daemon.log", "a-qmp.log",
                 "b-qmp.log", "a-lifecycle.txt", "b-guest-console.txt", "a-network.txt",
                 "a-virsh.txt"):
        assert files[name] > 0, name


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT],
                         ids=lambda number: number.name)
def test_a_lab_goes_with_the_process_that_made_it(lab, number):
    prefix = f"{lab.prefix}.gone"
    script = ("import sys, signal\n"
              "signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))\n"
              "from holdfast_lab import Lab\n"
              f"with Lab(prefix={prefix!r}) as lab:\n"
              "    lab.guest().start(lab.a, wait_ready=False)\n"
              "    print('up', flush=True)\n"
              "    signal.pause()\n")
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, cwd=os.path.dirname(__file__),
                               # ignored in what a shell runs in the background
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    assert process.stdout.readline() == b"up\n"
    namespaces = [f"/run/netns/{prefix}-{name}" for name in ("a", "b", "switch")]
    assert all(os.path.exists(path) for path in namespaces)
    process.send_signal(number)
    process.wait(60)
    wait(lambda: not any(os.path.exists(path) for path in namespaces), 60, "namespaces gone")
    wait(lambda: not os.path.exists(f"/var/tmp/{prefix}"), 60, "its directory gone")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT],
                         ids=lambda number: number.name)
def test_the_labs_of_a_run_in_parallel_go_with_it(lab, number):
    prefix = f"{lab.prefix}.run"
    names = [f"{prefix}.gw{worker}-{host}" for worker in (0, 1) for host in ("a", "b", "switch")]
    run = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-n", "2", "-k", "restarted_daemon", __file__],
        env={**os.environ, "HOLDFAST_LAB_PREFIX": prefix}, cwd=os.path.dirname(__file__),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    wait(lambda: all(os.path.exists(f"/run/netns/{name}") for name in names), 60, "both labs")
    run.send_signal(number)
    run.wait(60)
    wait(lambda: not any(os.path.exists(f"/run/netns/{name}") for name in names), 60,
         "namespaces gone")
    wait(lambda: not any(os.path.exists(f"/var/tmp/{prefix}.gw{n}") for n in (0, 1)), 60,
         "directories gone")
