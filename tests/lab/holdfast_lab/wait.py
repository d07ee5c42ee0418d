# SPDX-License-Identifier: LGPL-2.1-or-later
"""The only way in which the lab waits: for a condition, until a deadline."""
import time

POLL_SECONDS = 0.05


class WaitTimeout(AssertionError):
    """What was waited for did not come; a failed assertion in a test."""


def wait(condition, timeout, what):
    """Returns the first true value of condition(); fails with `what` after `timeout` seconds.

    `what` is a text, or a function that gives one when the wait has failed.
    """
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            text = what() if callable(what) else what
            raise WaitTimeout(f"not within {timeout:g} s: {text}")
        time.sleep(POLL_SECONDS)
