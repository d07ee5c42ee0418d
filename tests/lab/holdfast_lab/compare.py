# SPDX-License-Identifier: LGPL-2.1-or-later
"""What Holdfast costs a daemon: one has it and the other HOLDFAST=off, side by side.

A machine is faster at one time than at another, one host than the other, and a process than the
next of the same program, by where its memory happens to lie. So the daemons are asked in short
turns; both start anew, with their parts changed, when there have been some; and what counts is the
ratio of such a pair of starts, in which the hosts cancel out, and of the pairs the median with the
interval that the sign test gives it.
"""
import dataclasses
import math
import statistics

CONFIDENCE = 0.95
# Logs would weigh on both and hide the difference; the hosts' own have every QMP command.
QUIET = {"LIBVIRT_DEBUG": "3", "LIBVIRT_LOG_FILTERS": "3:qemu", "LIBVIRT_LOG_OUTPUTS": "3:stderr"}


@dataclasses.dataclass
class Start:
    """What was measured between two starts of the daemons, of one call: a list of each."""
    with_holdfast: list
    without: list

    @property
    def ratio(self):
        """Round by round: what disturbed one has disturbed its neighbour."""
        return statistics.median(one / other for one, other
                                 in zip(self.with_holdfast, self.without))


def pairs(lab, screen, what, count, measure):
    """measure() -> {name: [[number of each host], ...]}, a row a round
    -> {name: [(Start, Start), ...]}, count pairs of starts"""
    found = {}
    for number in range(count):
        starts = {}
        with screen.progress(f"{what}, {number + 1} of {count}"):
            for off in (lab.b, lab.a):
                for host in lab.hosts:
                    host.daemon.restart(HOLDFAST="off" if host is off else "", **QUIET)
                one, other = lab.hosts.index(off) ^ 1, lab.hosts.index(off)
                for name, rows in measure().items():
                    starts.setdefault(name, []).append(
                        Start([row[one] for row in rows], [row[other] for row in rows]))
        for name, both in starts.items():
            found.setdefault(name, []).append(tuple(both))
    return found


def interval(values, confidence=CONFIDENCE):
    """Of the median, by the sign test: it lies between the k-th least and the k-th greatest of n
    values unless fewer than k of n throws of a coin are heads, or of tails -> (least, greatest).
    Of five values and fewer it is all of them, and less sure."""
    ordered, n = sorted(values), len(values)
    k = 1
    while 2 * sum(math.comb(n, i) for i in range(k + 1)) / 2 ** n <= 1 - confidence:
        k += 1
    return ordered[k - 1], ordered[n - k]


def figures(found):
    """{name: figures} of what pairs() has found; the numbers' unit is theirs."""
    rows = {}
    for name, of_pairs in found.items():
        ratios = [math.prod(start.ratio for start in pair) ** (1 / len(pair)) for pair in of_pairs]
        starts = [start for pair in of_pairs for start in pair]
        rows[name] = {
            "with": statistics.median(sum((start.with_holdfast for start in starts), [])),
            "without": statistics.median(sum((start.without for start in starts), [])),
            "ratio": statistics.median(ratios),
            "interval": interval(ratios),
            "ratios": ratios,
        }
    return rows
