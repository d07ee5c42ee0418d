# SPDX-License-Identifier: LGPL-2.1-or-later
"""A process beside each host that writes down libvirt's events and the bus's signals.

It stands outside the tests, so that a daemon that hangs cannot make a test hang, and comes back
by itself when a daemon or a bus is started again. One JSON object a line, with the time.
"""
import argparse
import json
import os
import threading
import time

import libvirt
from gi.repository import Gio, GLib

from . import bus

RETRY_SECONDS = 0.1

EVENTS = ["Defined", "Undefined", "Started", "Suspended", "Resumed", "Stopped", "Shutdown",
          "PMSuspended", "Crashed"]

# In the order of libvirt-domain.h, in the words of `virsh event`
DETAILS = [
    ["Added", "Updated", "Renamed", "From Snapshot"],
    ["Removed", "Renamed"],
    ["Booted", "Migrated", "Restored", "Snapshot", "Event wakeup", "Recovered"],
    ["Paused", "Migrated", "I/O Error", "Watchdog", "Restored", "Snapshot", "API error",
     "Post-copy", "Post-copy Error", "Guest shutdown"],
    ["Unpaused", "Migrated", "Snapshot", "Post-copy", "Post-copy Error"],
    ["Shutdown", "Destroyed", "Crashed", "Migrated", "Saved", "Failed", "Snapshot", "Recovered"],
    ["Finished", "On guest request", "On host request"],
    ["Memory", "Disk"],
    ["Panicked", "Crashloaded"],
]


def word(table, index):
    return table[index] if index < len(table) else str(index)


class Recorder:
    def __init__(self, path):
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(self, kind, **fields):
        line = json.dumps({"time": time.time(), "kind": kind, **fields}, default=str)
        os.write(self._fd, line.encode() + b"\n")  # one write: lines never mix

    def connected(self, source, yes):
        self.write("recorder", source=source, connected=yes)


def record_libvirt(recorder, socket):
    """Runs for ever in a thread of its own; the event loop runs in another."""
    while True:
        closed = threading.Event()
        try:
            connection = libvirt.open(f"qemu+unix:///system?socket={socket}")
            connection.registerCloseCallback(lambda *_: closed.set(), None)
            subscribe(recorder, connection)
        except libvirt.libvirtError:
            time.sleep(RETRY_SECONDS)
            continue
        recorder.connected("libvirt", True)
        closed.wait()
        recorder.connected("libvirt", False)


def subscribe(recorder, connection):
    def lifecycle(_connection, domain, event, detail, _opaque):
        details = DETAILS[event] if event < len(DETAILS) else []
        recorder.write("lifecycle", domain=domain.name(), event=word(EVENTS, event),
                       detail=word(details, detail))

    def job_completed(_connection, domain, params, _opaque):
        recorder.write("job-completed", domain=domain.name(), params=params)

    connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, lifecycle, None)
    connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_JOB_COMPLETED,
                                      job_completed, None)


class BusRecorder:
    """Lives in the GLib main loop."""

    def __init__(self, recorder, socket):
        self._recorder = recorder
        self._socket = socket
        self._connection = None
        self.connect()

    def connect(self):
        try:
            self._connection = bus.connect(self._socket)
        except GLib.Error:
            GLib.timeout_add(int(RETRY_SECONDS * 1000), self.connect)
            return GLib.SOURCE_REMOVE
        self._connection.connect("closed", self.closed)
        self._connection.signal_subscribe(None, None, None, None, None,
                                          Gio.DBusSignalFlags.NONE, self.signal)
        # Answered after the match rule above has been taken.
        self._connection.call_sync("org.freedesktop.DBus", "/org/freedesktop/DBus",
                                   "org.freedesktop.DBus", "GetId", None, None,
                                   Gio.DBusCallFlags.NONE, 5000, None)
        self._recorder.connected("dbus", True)
        return GLib.SOURCE_REMOVE

    def closed(self, *_):
        self._recorder.connected("dbus", False)
        self.connect()

    def signal(self, _connection, sender, path, interface, member, parameters):
        self._recorder.write("signal", sender=sender, path=path, interface=interface,
                             member=member, args=list(parameters.unpack()))


def event_loop():
    while True:
        libvirt.virEventRunDefaultImpl()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--libvirt", required=True)
    parser.add_argument("--dbus", required=True)
    parser.add_argument("--output", required=True)
    options = parser.parse_args()

    recorder = Recorder(options.output)
    libvirt.registerErrorHandler(lambda *_: None, None)  # said once, by exception
    libvirt.virEventRegisterDefaultImpl()
    for target, args in ((event_loop, ()), (record_libvirt, (recorder, options.libvirt))):
        threading.Thread(target=target, args=args, daemon=True).start()
    bus_recorder = BusRecorder(recorder, options.dbus)
    GLib.MainLoop().run()
    del bus_recorder


if __name__ == "__main__":
    main()
