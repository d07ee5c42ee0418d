# SPDX-License-Identifier: LGPL-2.1-or-later
"""One lab for the whole run, a new state for each test, and a bundle for each that fails."""
import itertools
import os
import re
import signal
import threading
import zlib

import pytest

from holdfast_lab import Lab, LabError, clean, sanitizer
from holdfast_lab.lab import default_prefix

HERE = os.path.dirname(os.path.abspath(__file__))
in_use = []  # the labs of the present test
spoilt = set()  # labs in which a test has failed
serial = itertools.count(2)


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="the scenarios of not_each_time, too")


DRIVER = re.compile(r"(?<![a-z])(p2p|client)(?![a-z])")


def find_twins(items):
    """Of each scenario that is there peer-to-peer and driven by the client one of the two: the same
    engine goes through them. Which one is a matter of its name, so that it is always the same."""
    by_scenario = {}
    for item in items:
        by_scenario.setdefault(DRIVER.sub("*", item.nodeid), []).append(item)
    return [pair[zlib.crc32(name.encode()) % 2]
            for name, pair in by_scenario.items() if len(pair) == 2]


def pytest_collection_modifyitems(config, items):
    if config.getoption("all"):
        return
    left = [item for item in items if item.get_closest_marker("not_each_time")]
    # Who names scenarios gets those.
    if not config.getoption("keyword") and not any("::" in arg for arg in config.args):
        left += find_twins([item for item in items if item not in left])
    items[:] = [item for item in items if item not in left]
    config.hook.pytest_deselected(items=left)


def pytest_configure(config):
    config.addinivalue_line("markers", "not_each_time: run with --all alone; the code that it goes "
                            "through is gone through by another scenario each time")
    config.addinivalue_line("markers", "daemon_may_say(*expressions, reason): what health.py would "
                            "complain of, and a fault of this scenario makes unavoidable")

    def interrupt(number, frame):
        raise KeyboardInterrupt(f"signal {number}")
    # As with Ctrl-C: pytest then takes every fixture down.
    # A worker of xdist is at times not on its process's main thread, where alone that can be set;
    # its controller then ends it.
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, interrupt)
    if is_worker(config):
        os.environ["HOLDFAST_LAB_PREFIX"] = f"{default_prefix()}.{config.workerinput['workerid']}"


def is_worker(config):
    """One of several processes of `pytest -n`, each with labs of its own."""
    return hasattr(config, "workerinput")


def pytest_unconfigure(config):
    # xdist gives a worker ten seconds to end, and then kills it; what it left goes here.
    if not is_worker(config):
        for number in range(config.getoption("numprocesses", None) or 0):
            clean.clean_family(f"{default_prefix()}.gw{number}")


def artifacts(nodeid):
    root = os.environ.get("HOLDFAST_ARTIFACTS") or os.path.join(HERE, "artifacts")
    return os.path.join(root, re.sub(r"[^\w.-]+", "-", nodeid.split("/")[-1]).strip("-"))


@pytest.hookimpl(trylast=True)
def pytest_runtest_call(item):
    """After the test itself, when that has passed: its daemons have to be well, too."""
    allowed = []
    for mark in item.iter_markers("daemon_may_say"):
        assert mark.kwargs.get("reason"), "daemon_may_say needs a reason"
        allowed += mark.args
    found = [text for lab in in_use for text in lab.health.complaints(allowed)]
    assert not found, "not all is well in the daemons (health.py):\n" + "\n".join(found)


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


def check_memory(labs):
    """Where daemons look after their memory, they have found nothing."""
    found = [text for lab in labs for host in lab.hosts for text in sanitizer.take(host)]
    assert not found, "\n".join(found)


def check_ends(labs):
    """Daemons that are told to stop do so; not those of a lab in which a test has failed."""
    found = [text for lab in labs if lab not in spoilt
             for text in lab.health.complaints_of_the_end()]
    assert not found, "not all daemons end well (health.py):\n" + "\n".join(found)


def take_down(labs):
    try:
        check_ends(labs)
        if sanitizer.at_work():
            for each in labs:
                sanitizer.end_daemons(each)
            check_memory(labs)
    finally:
        for each in labs:
            each.down()


@pytest.fixture(scope="session")
def kept_labs():
    labs = {}
    yield labs
    take_down(labs.values())


@pytest.fixture
def kept_lab(kept_labs):
    """A function that gives a lab which lives to the end of the run, as new: whole networks,
    daemons alive, no domains. kept_lab("stock", module_dir="") is the same one in every test.

    Daemons live on from test to test, which shows what one leaves behind for the next; but after
    a failure the lab is built anew, so that one failure is one failure.
    """
    used = []

    def as_new(name, **parameters):
        if name not in kept_labs:
            one = Lab(prefix=default_prefix() + (f".{name}" if name else ""), **parameters)
            one.up()
            kept_labs[name] = one
        one = kept_labs[name]
        try:
            if one in spoilt:
                raise LabError("spoilt")
            one.reset()
        except Exception:  # whatever the test before has done to it
            spoilt.discard(one)
            one.rebuild()
        used.append(one)
        in_use.append(one)
        return one
    yield as_new
    for one in used:
        in_use.remove(one)
        try:
            one.rest()
        except Exception:  # whatever the test has done to it
            spoilt.add(one)
    check_memory(used)


@pytest.fixture
def lab(kept_lab):
    """The lab, as new."""
    return kept_lab("")


@pytest.fixture
def stock_lab(kept_lab):
    """Another, as new, whose daemons have only the stock driver: to compare with."""
    return kept_lab("stock", module_dir="")


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
    take_down(made)


@pytest.fixture
def guest(lab):
    """A persistent guest with the witness at work, on host a."""
    return lab.guest().start(lab.a)


@pytest.fixture
def impatient():
    """A function that has a lab's source look after its own connections more often than libvirt
    does, which gives one up after five times five seconds."""
    changed = []

    def make(lab, interval, count):
        changed.append((lab.a, lab.a.read("/etc/libvirt/qemu.conf")))
        lab.a.write("/etc/libvirt/qemu.conf", changed[-1][1]
                    + f"keepalive_interval = {interval}\nkeepalive_count = {count}\n")
        lab.a.daemon.restart()
        return lab
    yield make
    for host, text in changed:
        host.write("/etc/libvirt/qemu.conf", text)
        host.daemon.restart()
