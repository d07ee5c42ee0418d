# SPDX-License-Identifier: LGPL-2.1-or-later
"""Method calls on a host's system bus, through its socket's path outside."""
from gi.repository import Gio, GLib


def connect(socket):
    return Gio.DBusConnection.new_for_address_sync(
        f"unix:path={socket}",
        Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT
        | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION, None, None)


def call(socket, destination, path, interface, method, signature=None, args=(), timeout=10):
    connection = connect(socket)
    try:
        parameters = GLib.Variant(signature, args) if signature else None
        reply = connection.call_sync(destination, path, interface, method, parameters, None,
                                     Gio.DBusCallFlags.NO_AUTO_START, int(timeout * 1000), None)
        return reply.unpack()
    finally:
        connection.close_sync(None)
