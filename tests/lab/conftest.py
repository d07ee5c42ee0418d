# SPDX-License-Identifier: LGPL-2.1-or-later
"""One lab for the whole run, a new state for each test, and a bundle for each that fails."""
import itertools
import os
import re
import signal

import pytest

from holdfast_lab import Lab, LabError
from holdfast_lab.lab import default_prefix

HERE = os.path.dirname(os.path.abspath(__file__))
in_use = []  # the labs of the present test
spoilt = set()  # labs in which a test has failed
serial = itertools.count(2)


def pytest_configure(config):
    def interrupt(number, frame):
        raise KeyboardInterrupt(f"signal {number}")
    # As with Ctrl-C: pytest then takes every fixture down.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)


def artifacts(nodeid):
    root = os.environ.get("HOLDFAST_ARTIFACTS") or os.path.join(HERE, "artifacts")
    return os.path.join(root, re.sub(r"[^\w.-]+", "-", nodeid.split("/")[-1]).strip("-"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if not report.failed or report.when == "teardown":
        return
    for lab in in_use:
        spoilt.add(lab)
        try:
            text = lab.bundle(os.path.join(artifacts(item.nodeid), lab.prefix),
                              report.longreprtext)
        except Exception as error:  # the test's own failure must still be shown
            text = f"no bundle: {error!r}"
        report.sections.append((f"timeline of lab {lab.prefix}", text))


@pytest.fixture(scope="session")
def session_lab():
    with Lab() as lab:
        yield lab


@pytest.fixture
def lab(session_lab):
    """The lab, as new: whole networks, daemons alive, no domains.

    Daemons live on from test to test, which shows what one leaves behind for the next; but after
    a failure the lab is built anew, so that one failure is one failure.
    """
    try:
        if session_lab in spoilt:
            raise LabError("spoilt")
        session_lab.reset()
    except Exception:  # whatever the test before has done to it
        spoilt.discard(session_lab)
        session_lab.rebuild()
    in_use.append(session_lab)
    yield session_lab
    in_use.remove(session_lab)


@pytest.fixture
def new_lab():
    """A function that makes one more lab, of other parameters: new_lab(module_dir="")."""
    made = []

    def make(**parameters):
        one = Lab(prefix=f"{default_prefix()}.{next(serial)}", **parameters)
        one.up()
        made.append(one)
        in_use.append(one)
        return one
    yield make
    for one in made:
        in_use.remove(one)
        one.down()


@pytest.fixture
def guest(lab):
    """A persistent guest with the witness at work, on host a."""
    return lab.guest().start(lab.a)
