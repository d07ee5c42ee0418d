# SPDX-License-Identifier: LGPL-2.1-or-later
"""A program for a person that runs in a lab of its own: the demo, the bench.

    sys.exit(program.main("demo", parse, play))

Hosts come up, play() does its work, hosts go down: after success, failure, Ctrl-C, SIGTERM and
SIGHUP alike. The exit code is 0; 1 after a failure, whose reason is printed and whose bundle is
kept; 128 and the signal's number after an interruption.
"""
import argparse
import contextlib
import json
import os
import signal
import sys

from .figures import holdfast_version
from .lab import Lab, LabError
from .screen import Screen

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Interrupted(BaseException):
    """By a signal, its number."""


def interrupt(number, _frame):
    raise Interrupted(number)


def on_signals(handler):
    for number in SIGNALS:
        signal.signal(number, handler)


def add_json_option(parser):
    parser.add_argument("--json", type=argparse.FileType("w"), metavar="FILE",
                        help="write the figures there too")


def write_json(options, result, figures):
    if options.json:
        json.dump({"result": result, **figures}, options.json, indent=2)
        options.json.write("\n")
        options.json.close()


def check_module(lab):
    """Fails, with what the daemon said, when Holdfast is not at work in it."""
    try:
        holdfast_version(lab.a)
    except Exception as error:
        said = [text for _, _, text in lab.a.log.entries() if "holdfast" in text.lower()]
        raise LabError("Holdfast is not at work in the hosts' daemons: "
                       + ("; ".join(said[-3:]) or f"{error} (is HOLDFAST_MODULE_DIR set? "
                          "`./run` does that)")) from error


def take_down(lab, screen):
    on_signals(signal.SIG_IGN)
    with screen.progress("the hosts are taken down"):
        lab.down()
    screen.line("Nothing is left of the hosts: no process, namespace or mount.")


def explain(name, lab, screen, error):
    reason = str(error) or repr(error)
    screen.line()
    screen.line(screen.paint("red", f"FAILED: {reason}"))
    if not lab.guests:
        return  # nothing has happened yet that could be looked at
    directory = os.path.join(os.environ.get("HOLDFAST_ARTIFACTS")
                             or os.path.join(TESTS, "artifacts"), name)
    try:
        with screen.progress("what was seen is being saved"):
            lab.bundle(directory, reason)
        screen.line(f"All that was seen (timeline, logs, QMP, console) is in {directory}")
    except Exception as failure:
        screen.line(f"What was seen could not be saved in {directory}: {failure}")


def run(name, options, play, introduction, screen):
    lab = Lab()
    with contextlib.ExitStack() as stack:
        try:
            screen.paragraph(introduction)
            screen.line()
            with screen.progress("the hosts come up; the first time QEMU is asked what it can do"):
                lab.up()  # leaves nothing when it fails
            stack.callback(take_down, lab, screen)
            check_module(lab)
            write_json(options, "ok", play(lab, screen, options))
            return 0
        except Interrupted as interruption:
            screen.line("\nInterrupted.")
            write_json(options, "interrupted", {})
            return 128 + interruption.args[0]
        except Exception as error:
            explain(name, lab, screen, error)
            write_json(options, "failed", {"reason": str(error) or repr(error)})
            return 1


def main(name, parse, play, introduction=""):
    """parse(arguments) -> options; play(lab, screen, options) -> figures for --json, a dictionary.
    Returns the exit code."""
    options = parse(sys.argv[1:])
    on_signals(interrupt)
    try:
        return run(name, options, play, introduction, Screen())
    except Interrupted as interruption:  # outside of all that there was to undo
        return 128 + interruption.args[0]
