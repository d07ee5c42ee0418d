# SPDX-License-Identifier: LGPL-2.1-or-later
"""A listener on the bus sees a pause and its end on both hosts, and may act on them."""
from holdfast_lab import wait
from holdfast_lab.network import DATA_PORTS

NAME = "org.holdfast.Migration1"
SESSION = "org.holdfast.Migration1.Session"
MANAGER = "org.holdfast.Migration1.Manager"


def test_signals_tell_the_whole_story(lab, guest):
    migration = lab.postcopy(lab.a, lab.b)
    lab.net.cut("all", port=DATA_PORTS)
    migration.wait_status("postcopy-paused", timeout=30)
    lab.net.restore()
    migration.succeed(timeout=180)
    states = {
        lab.a: ["precopy-active", "switchover", "postcopy-active", "postcopy-paused",
                "postcopy-recover-setup", "postcopy-recover", "postcopy-active", "completed"],
        lab.b: ["precopy-active", "postcopy-active", "postcopy-paused",
                "postcopy-recover", "postcopy-active", "completed"],
    }
    for host in lab.hosts:
        host.wait_dbus_signal("Finished")
        told = [signal["args"][1] for signal in host.dbus_signals(SESSION, "StateChanged")]
        assert told == states[host]
        for member in ("Paused", "Recovered", "Finished"):
            assert len(host.dbus_signals(SESSION, member)) == 1
        path = host.dbus_signals(SESSION, "Paused")[0]["path"]
        for member in ("MigrationPaused", "MigrationRecovered"):
            signals = host.dbus_signals(MANAGER, member)
            assert [signal["args"][0] for signal in signals] == [path]
            assert signals[0]["args"][2] == "guest"
            assert signals[0]["args"][3] == ("source" if host is lab.a else "destination")
        history = host.dbus_property(path, SESSION, "History")
        assert [step[2] for step in history] == ["setup"] + states[host]
        assert host.dbus_property(path, SESSION, "PausedUSec") > 0
    guest.witness_ok(lab.b)


def test_pause_and_recover_by_method(lab, guest):
    migration = lab.postcopy(lab.a, lab.b)
    path = lab.a.wait_dbus_signal("StateChanged")["path"]
    lab.a.dbus_call(NAME, path, SESSION, "Pause")
    migration.fail(timeout=60)
    assert lab.a.dbus_property(path, SESSION, "Reason") == "operator"
    lab.a.dbus_call(NAME, path, SESSION, "Recover", "(a{sv})", ({},))
    assert lab.a.dbus_property(path, SESSION, "Recoveries") == 1
    wait(lambda: lab.a.dbus_property(path, SESSION, "State") == "completed", 60, "the end")
    guest.witness_ok(lab.b)
