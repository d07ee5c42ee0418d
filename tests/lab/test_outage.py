# SPDX-License-Identifier: LGPL-2.1-or-later
"""An outage of the network in postcopy: the client's call goes on, and so does the guest."""

import pytest

from holdfast_lab import wait


@pytest.mark.parametrize("p2p", [True, False], ids=["p2p", "client"])
def test_an_outage_of_five_seconds(lab, guest, p2p):
    migration = lab.postcopy(lab.a, lab.b, p2p=p2p)
    lab.net.cut("all")
    migration.wait_status("postcopy-paused", timeout=20)
    cut = lab.now()
    wait(lambda: lab.now() - cut >= 5, 10, "an outage of five seconds")
    lab.net.restore()
    migration.succeed()
    assert lab.a.domain_state() in (None, "shut off")
    assert lab.b.domain_state() == "running"
    guest.witness_ok(lab.b)
