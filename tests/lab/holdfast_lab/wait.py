# SPDX-License-Identifier: LGPL-2.1-or-later
"""The only way in which the lab waits: for a condition, until a deadline."""
import time

POLL_SECONDS = 0.05


class WaitTimeout(AssertionError):
    """What was waited for did not come; a failed assertion in a test."""


def wait(condition, timeout, what):
    """Returns the first true value of condition(); fails with `what` after `timeout` seconds.

    `what` is a text, or a function that gives one when the wait has failed. A condition that
    costs much, as a virsh, is asked less often.
    """
    asked = time.monotonic()
    deadline = asked + timeout
    while True:
        value = condition()
        if value:
            return value
        answered = time.monotonic()
        if answered >= deadline:
            text = what() if callable(what) else what
            raise WaitTimeout(f"not within {timeout:g} s: {text}")
        time.sleep(max(POLL_SECONDS, min(2 * (answered - asked), 10 * POLL_SECONDS)))
        asked = time.monotonic()
