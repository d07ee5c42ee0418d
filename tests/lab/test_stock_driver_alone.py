# SPDX-License-Identifier: LGPL-2.1-or-later
"""Switched off, or on a libvirt that it does not know, Holdfast leaves the daemon as it was."""
import pytest

from holdfast_lab.image import REPOSITORY


@pytest.mark.parametrize(
    "env", [{"HOLDFAST": "off"}, {"HOLDFAST_LIBVIRT_VERSION": "99.9.0"}],
    ids=["off", "unknown-libvirt"],
)
def test_the_stock_driver_serves(new_lab, env):
    lab = new_lab(env=env)
    guest = lab.guest().start(lab.a)
    # libvirt names the paths of modules that are not there, and a checkout may be called anything.
    lines = [text for _, level, text in lab.a.log.entries(lab.epoch)
             if "oldfast" in text.replace(REPOSITORY, "")]
    assert len(lines) == 1, lines
    assert "guest" in lab.a.virsh("list", "--name").stdout
    assert lab.a.is_persistent(guest)
    lab.migrate(lab.a, lab.b).succeed()
    guest.witness_ok(lab.b)
    lab.postcopy(lab.b, lab.a, p2p=False).succeed()
    guest.witness_ok(lab.a)
    assert lab.a.dbus_signals() == []
