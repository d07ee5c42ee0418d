#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What Holdfast costs and how fast it is: `./run bench`. docs/performance.md explains the figures.

A machine's speed must not matter, nor what else it does meanwhile: what is compared is measured in
turns in one run, and a ratio is what counts.
"""
import argparse
import dataclasses
import math
import statistics
import sys

from holdfast_lab import by_hand, calls, compare, crowd, many, program, wait
from holdfast_lab.bare import Pair
from holdfast_lab.figures import environment, wait_arrivals

DEFAULT_RUNS = 4
# The most first: a group is of those that have come over with it. One is what is compared with.
DEFAULT_GUESTS = (32, 32, 8, 8, 8, 1, 1, 1, 1, 1)
DEFAULT_PAIRS = 12  # of starts of two daemons
CALL_ROUNDS = 40    # of each start
CROWDS = (0, 1, 1, 0)
PARTS = ("recovery", "script", "guests", "calls", "clients")
# `--quick`: each part at work once, no figure to be trusted
QUICK_GUESTS = (2, 1)

BEATS_BEFORE_FAULT = 3
TIMEOUT = 60
# Whoever waits for the network looks for it at intervals, and an outage's length decides in which
# moment of an interval it ends: outages are spread over more than one.
OUTAGE_SECONDS = 4.0
OUTAGE_STEP_SECONDS = 1.37
OUTAGE_RANGE_SECONDS = 6.0
# MiB/s, when all that is to be measured has been
RUSH = "2000"

INTRODUCTION = """Measures how long it takes to notice a dead network and to get over it, against
two QEMUs without libvirt on the same hosts with the same guest, and against a script over stock
libvirt; the same with many guests at once; and what ordinary libvirt calls, and 200 clients, take
with Holdfast and with HOLDFAST=off, in turns."""


@dataclasses.dataclass
class Recoveries:
    """A figure a run, in seconds."""
    paused_source: list
    paused_destination: list
    holdfast: list  # network back to both postcopy-active
    bare: list      # the same with bare QMP
    outages: list


def outage_of(run):
    return OUTAGE_SECONDS + run * OUTAGE_STEP_SECONDS % OUTAGE_RANGE_SECONDS


def wait_outage(lab, screen, cut, seconds):
    with screen.progress("the network is down"):
        wait(lambda: lab.now() - cut >= seconds, seconds + 10, "the outage's end")


def cut(lab, source, destination):
    """-> (when, what of it to restore first): in the end it is a filter of one host that decides
    when the network is back."""
    first = lab.net.cut("all", at=source)
    lab.net.cut("all", at=destination)
    return lab.net.journal[-1][0], first


def prepare_restore(lab, first):
    """Once both have paused."""
    lab.net.restore(first)
    return lab.net.prepare_restore()


def recover_with_holdfast(lab, screen, guest, source, destination, outage, found):
    with screen.progress("Holdfast: the guest migrates"):
        migration = lab.postcopy(source, destination, "--undefinesource", "--persistent")
        guest.wait_heartbeat(destination, BEATS_BEFORE_FAULT)
    since, first = cut(lab, source, destination)
    with screen.progress("Holdfast: the network is down"):
        paused = wait_arrivals(migration, "postcopy-paused", since, TIMEOUT)
    restore = prepare_restore(lab, first)
    wait_outage(lab, screen, since, outage)
    back = restore()
    with screen.progress("Holdfast: recovery, and the migration's end"):
        again = wait_arrivals(migration, "postcopy-active", back, TIMEOUT)
        source.virsh("migrate-setspeed", "--postcopy", guest.name, RUSH)
        migration.succeed()
        guest.witness_ok(destination)
    found.outages.append(back - since)
    found.paused_source.append(paused[0])
    found.paused_destination.append(paused[1])
    found.holdfast.append(max(again))


def recover_bare(lab, screen, source, destination, outage, found):
    with Pair(lab, source, destination) as pair:
        with screen.progress("bare QEMU: the guest boots"):
            pair.wait_beats(source, BEATS_BEFORE_FAULT)
        with screen.progress("bare QEMU: the guest migrates"):
            pair.migrate()
            pair.wait_beats(destination, BEATS_BEFORE_FAULT)
        since, first = cut(lab, source, destination)
        pair.pause()
        restore = prepare_restore(lab, first)
        wait_outage(lab, screen, since, outage)
        back = restore()
        pair.recover()
        found.bare.append(pair.wait_active(back) - back)
        pair.wait_beats(destination, BEATS_BEFORE_FAULT)


def measure_recovery(lab, screen, runs):
    found = Recoveries([], [], [], [], [])
    source, destination = lab.a, lab.b
    with screen.progress("the guest boots"):
        guest = lab.guest().start(source)
    for run in range(runs):
        outage = outage_of(run)
        recover_with_holdfast(lab, screen, guest, source, destination, outage, found)
        # The guest of the other is not to take the CPU from this one.
        destination.virsh("suspend", guest.name)
        recover_bare(lab, screen, source, destination, outage, found)
        destination.virsh("resume", guest.name)
        screen.line(f"  run {run + 1} of {runs}: paused after {found.paused_source[-1]:.2f} s and "
                    f"{found.paused_destination[-1]:.2f} s; after {found.outages[-1]:.1f} s of "
                    f"outage active again in {found.holdfast[-1]:.3f} s, bare QMP in "
                    f"{found.bare[-1]:.3f} s")
        source, destination = destination, source
    return found


def recover_by_script(lab, screen, outage):
    """-> seconds from the network back to both postcopy-active; None: not in a minute"""
    source, destination = lab.a, lab.b
    with screen.progress("script over stock libvirt: the guest migrates"):
        guest = lab.guest().start(source)
        lab.postcopy(source, destination)
        guest.wait_heartbeat(destination, BEATS_BEFORE_FAULT)
    since, first = cut(lab, source, destination)
    by_hand.pause(source, guest)
    restore = prepare_restore(lab, first)
    wait_outage(lab, screen, since, outage)
    back = restore()
    with screen.progress("script over stock libvirt: recovery"):
        taken, tries = by_hand.recover(lab, guest, source, destination, back)
    screen.line(f"  script over stock libvirt: after {back - since:.1f} s of outage "
                + (f"active again in {taken:.3f} s" if taken else "not active in a minute")
                + f", tried {tries} times")
    lab.reset()
    return taken


def measure_script(screen, runs):
    with screen.progress("two more hosts come up, with stock libvirt"):
        lab = by_hand.make_lab()
    try:
        return [recover_by_script(lab, screen, outage_of(run)) for run in range(runs)]
    finally:
        with screen.progress("and are taken down"):
            lab.down()


def measure_guests(lab, screen, counts):
    """-> {how many: [sorted seconds from the network back to both postcopy-active of each run]}"""
    source, destination = lab.a, lab.b
    with screen.progress(f"{counts[0]} guests start"):
        guests = lab.start_guests(source, counts[0], **many.GUEST)
    found = {}
    for run, count in enumerate(counts):
        guests = guests[:count]
        with screen.progress(f"{count} guests migrate"):
            migrations = many.to_postcopy(lab, guests, source, destination)
        since, first = cut(lab, source, destination)
        with screen.progress(f"the network of {count} migrations is down"):
            many.wait_paused(guests, (source, destination))
        restore = prepare_restore(lab, first)
        wait_outage(lab, screen, since, outage_of(run))
        back = restore()
        with screen.progress(f"{count} migrations recover, and end"):
            taken = many.wait_recovered(guests, (source, destination), back)
            screen.line(f"  {count} paused at once: active again in {taken[0]:.3f} to "
                        f"{taken[-1]:.3f} s")
            many.finish(guests, migrations, source, destination, RUSH)
        found.setdefault(count, []).append(taken)
        source, destination = destination, source
    return found


def still_guests(lab, screen):
    """One on each host, which does nothing."""
    guests = []
    for host in lab.hosts:
        with screen.progress(f"a guest starts on host {host.name}"):
            guests.append(lab.guest(f"still-{host.name}").start(host))
        host.virsh("suspend", guests[-1].name)
    return guests


def measure_calls(lab, screen, pairs, rounds):
    """-> figures of wall and CPU time"""
    guests = still_guests(lab, screen)
    return wall_and_cpu(lab, screen, "ordinary calls", pairs,
                        lambda: calls.run(lab, lab.hosts, guests, rounds))


def measure_clients(lab, screen, pairs):
    still_guests(lab, screen)

    def crowds():
        found = [[], []]
        for index in CROWDS:
            host = lab.hosts[index]
            before = calls.cpu_seconds(host.daemon.pid)
            seen = crowd.run(host)
            if seen.errors:
                raise AssertionError("a client was refused: " + seen.errors[0])
            used = calls.cpu_seconds(host.daemon.pid) - before
            found[index].append([seen.seconds / seen.count, used / seen.count])
        return {f"a call of {crowd.CLIENTS} clients": list(zip(*found))}
    return wall_and_cpu(lab, screen, f"{crowd.CLIENTS} clients at once", pairs, crowds)


def wall_and_cpu(lab, screen, what, count, measure):
    """measure() -> {call: [[[wall, CPU] of each host] of each round]}
    -> {call: {"wall": figures, "cpu": figures}}"""
    kinds = ("wall", "cpu")

    def measure_apart():
        return {(name, kind): [[side[number] for side in row] for row in rows]
                for name, rows in measure().items() for number, kind in enumerate(kinds)}
    found = {}
    rows = compare.figures(compare.pairs(lab, screen, what, count, measure_apart))
    for (name, kind), row in rows.items():
        found.setdefault(name, {})[kind] = row
    return found


# The figures

def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values),
            "values": values}


def of_recoveries(found):
    figures = {name: spread(values) for name, values in dataclasses.asdict(found).items()}
    figures["ratio"] = figures["holdfast"]["median"] / figures["bare"]["median"]
    return figures


def show_recoveries(screen, figures):
    screen.heading(f"Recovery ({len(figures['bare']['values'])} runs; seconds)")
    screen.line(f"  {'':<52}{'median':>8}{'min':>8}{'max':>8}")
    for name, text in (
            ("paused_source", "network dead to postcopy-paused: source"),
            ("paused_destination", "                                 destination"),
            ("holdfast", "network back to postcopy-active on both: Holdfast"),
            ("bare", "                                         bare QMP")):
        row = figures[name]
        screen.line(f"  {text:<52}{row['median']:8.3f}{row['min']:8.3f}{row['max']:8.3f}")
    screen.line(f"  {'Holdfast / bare QMP':<52}{figures['ratio']:8.1f}")


def of_script(found):
    """The median, low of two, is None when most came to nothing."""
    median = statistics.median_low(math.inf if taken is None else taken for taken in found)
    return {"values": found, "median": None if median == math.inf else median}


def of_guests(found):
    """`last` is when all were there; `ratio` is what that took for each guest, by what it took for
    one alone."""
    figures = {}
    for count, runs in found.items():
        last = spread([taken[-1] for taken in runs])
        figures[str(count)] = {"runs": runs, "first": spread([taken[0] for taken in runs]),
                               "last": last, "each": last["median"] / count}
    for row in figures.values():
        row["ratio"] = row["each"] / figures["1"]["each"]
    return figures


def show_script(screen, figures, recovery):
    screen.heading("The same by a script over stock libvirt (seconds)")
    screen.line("  network back to postcopy-active on both: "
                + ", ".join("never" if taken is None else f"{taken:.3f}"
                            for taken in figures["values"]))
    if recovery and figures["median"]:
        ratio = figures["median"] / recovery["holdfast"]["median"]
        screen.line(f"  script / Holdfast, medians: {ratio:.1f}")


def show_guests(screen, figures):
    screen.heading("Guests that were paused at once: network back to postcopy-active on both "
                   "(medians in seconds)")
    screen.line(f"  {'guests':<10}{'runs':>6}{'first':>9}{'last':>9}{'last / guests':>15}"
                f"{'by one alone':>14}")
    for count, row in figures.items():
        screen.line(f"  {count:<10}{len(row['runs']):6}{row['first']['median']:9.3f}"
                    f"{row['last']['median']:9.3f}{row['each']:15.3f}{row['ratio']:14.2f}")


def show_calls(screen, heading, figures):
    pairs = len(next(iter(figures.values()))["cpu"]["ratios"])
    screen.heading(f"{heading}, {pairs} pairs of starts: medians in microseconds, ratio Holdfast / "
                   "off, and its interval")
    screen.line(f"  {'':<28}{'CPU':>7}{'off':>7}{'ratio':>8}{'':16}{'wall':>7}{'off':>7}"
                f"{'ratio':>8}")
    for name, kinds in figures.items():
        line = f"  {name:<28}"
        for row in (kinds["cpu"], kinds["wall"]):
            low, high = row["interval"]
            line += (f"{row['with'] * 1e6:7.0f}{row['without'] * 1e6:7.0f}{row['ratio']:8.3f}"
                     f"  {low:.3f}-{high:.3f}   ")
        screen.line(line.rstrip())


def play(lab, screen, options):
    figures = {"environment": environment(lab.a)}
    if "recovery" in options.parts:
        figures["recovery"] = of_recoveries(measure_recovery(lab, screen, options.runs))
        lab.reset()
    if "script" in options.parts:
        figures["script"] = of_script(measure_script(screen, max(options.runs // 2, 1)))
    if "guests" in options.parts:
        figures["guests"] = of_guests(measure_guests(lab, screen, options.guests))
        lab.reset()
    if "calls" in options.parts:
        figures["calls"] = measure_calls(lab, screen, options.pairs, options.rounds)
        lab.reset()
    if "clients" in options.parts:
        figures["clients"] = measure_clients(lab, screen, options.pairs)
    show(screen, figures)
    return figures


def show(screen, figures):
    if "recovery" in figures:
        show_recoveries(screen, figures["recovery"])
    if "script" in figures:
        show_script(screen, figures["script"], figures.get("recovery"))
    if "guests" in figures:
        show_guests(screen, figures["guests"])
    if "calls" in figures:
        show_calls(screen, "Ordinary calls", figures["calls"])
    if "clients" in figures:
        show_calls(screen, f"{crowd.CLIENTS} clients at once", figures["clients"])
    screen.line()
    screen.line("  " + ", ".join(f"{word} {text}" for word, text in figures["environment"].items()))


def parse(arguments):
    def number(text):
        value = int(text)
        if not 1 <= value <= 100000:
            raise argparse.ArgumentTypeError(f"1 to 100000, not {value}")
        return value
    parser = argparse.ArgumentParser(prog="run bench", description="Measure recovery, and what "
                                     "ordinary calls cost.")
    parser.add_argument("parts", nargs="*", metavar="PART",
                        help="what to measure: " + ", ".join(PARTS) + " (all)")
    parser.add_argument("--runs", type=number, default=DEFAULT_RUNS,
                        help="recoveries of each kind (%(default)s)")
    parser.add_argument("--pairs", type=number, default=DEFAULT_PAIRS,
                        help="pairs of starts of the daemons whose calls are compared (%(default)s)")
    parser.add_argument("--quick", action="store_true",
                        help="each part once, to see that it works: the figures mean nothing")
    program.add_json_option(parser)
    options = parser.parse_args(arguments)
    for part in options.parts:
        if part not in PARTS:
            parser.error(f"there is no part '{part}': " + ", ".join(PARTS))
    options.parts = options.parts or list(PARTS)
    options.guests, options.rounds = DEFAULT_GUESTS, CALL_ROUNDS
    if options.quick:
        options.runs = options.pairs = options.rounds = 1
        options.guests = QUICK_GUESTS
    return options


if __name__ == "__main__":
    sys.exit(program.main("bench", parse, play, INTRODUCTION))
