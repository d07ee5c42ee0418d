# SPDX-License-Identifier: LGPL-2.1-or-later
"""The witness finds what it is there to find: a lost or stale page, a lost or stale sector."""
import pytest

from holdfast_lab import wait


def test_a_guest_left_alone_is_clean(lab, guest):
    guest.set_rate(lab.a, pages=50000, sectors=50)
    wait(lambda: guest.heartbeats(lab.a)[-1][1]["passes"] >= 2, 60, "two passes over the memory")
    verified = guest.witness_ok(lab.a)
    assert verified.pages == 128 * 256
    assert verified.sectors >= 10


@pytest.mark.parametrize("how", ["corrupt", "stale"])
@pytest.mark.parametrize("what", ["page", "sector"])
def test_a_spoilt_one_is_found_by_a_verification(lab, guest, what, how):
    # Only what has been written can be spoilt.
    wait(lambda: guest.heartbeats(lab.a)[-1][1]["sectors"] >= 1, 60, "a sector written")
    guest.set_rate(lab.a, pages=0, sectors=0)
    number = guest.corrupt(lab.a, what, how)
    verified = guest.verify(lab.a)
    assert (verified.bad_pages, verified.bad_sectors) == ((1, 0) if what == "page" else (0, 1))
    assert f"a: BAD {what}={number} " in guest.bad()[0]
    with pytest.raises(AssertionError, match="BAD"):
        guest.witness_ok(lab.a)


@pytest.mark.parametrize("what", ["page", "sector"])
def test_a_spoilt_one_is_found_in_passing(lab, guest, what):
    guest.set_rate(lab.a, pages=50000, sectors=20)
    number = guest.corrupt(lab.a, what)
    guest.set_rate(lab.a, sectors=200)
    guest.wait_console(lab.a, rf"^BAD {what}={number} ", 60)
    wait(lambda: guest.heartbeats(lab.a)[-1][1]["errors"] >= 1, 10, "an error in the heartbeat")
