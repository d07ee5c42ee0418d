#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What Holdfast does, shown to a person: `./run demo`.

A guest is migrated with post-copy between two real libvirt hosts, there and back. On the way there
the network fails; on the way back a person pauses the migration. Everything is told while it
happens. The figures at the end are of this very run.
"""
import argparse
import dataclasses
import sys

from holdfast_lab import program, wait
from holdfast_lab.figures import environment, longest_silence, wait_arrivals
from holdfast_lab.live import Bus, Command, Heart, Live
from holdfast_lab.network import DATA_PORTS

DEFAULT_OUTAGE_SECONDS = 9
MAX_OUTAGE_SECONDS = 600
THINKING_SECONDS = 4     # of the person who has paused a migration
BEATS_BEFORE_FAULT = 5   # the guest is seen to run on the destination first
PAUSE_TIMEOUT = 20
RECOVERY_TIMEOUT = 60
MIGRATION_TIMEOUT = 120

# As an administrator would who wants the guest to be gone from here and to stay there. (The lab
# adds the limits of bandwidth that make a small guest's migration last long enough to be seen.)
MIGRATE_FLAGS = ("--undefinesource", "--persistent")

INTRODUCTION = """Two hosts, a and b, live in namespaces on this machine; each has a stock libvirt
daemon with Holdfast, a system bus, and addresses on two networks, one for management and one for
migrations. The guest runs one program, the witness: it rewrites and checks its memory all the time,
writes numbered records to its disk, and says five times a second that it is alive. A page or sector
that is lost, old or torn does not escape it."""

NETWORK_ACT = """The guest moves from {source} to {destination} with post-copy. As soon as it runs
on {destination}, while most of its memory is still on {source}, the migration network loses every
packet for {outage} seconds. Stock libvirt would leave a broken migration to you; here the call
should wait, go on by itself and return 0."""

PERSON_ACT = """The guest moves back from {source} to {destination}. A person pauses the migration
(the migrate call then fails, as it does in stock libvirt), thinks for {thinking} seconds, and takes
it up again with one command. Nothing should go on before that."""


@dataclasses.dataclass
class Act:
    """What an act has measured; times in seconds, source before destination."""
    name: str
    source: str
    destination: str
    outage: float = None           # the network was down; None: it was not
    paused_after: tuple = ()       # from the fault, or the person's command
    again_after: float = None      # from the network back, or migrate-recover, until both are active
    paused: float = None           # on the source
    silence: float = None          # the guest's longest
    migrate_exit_code: int = None
    migrate_seconds: float = None
    recover_exit_code: int = None
    pages: int = 0
    bad_pages: int = 0
    sectors: int = 0
    bad_sectors: int = 0


class Demo:
    def __init__(self, lab, screen, live, outage):
        self.lab = lab
        self.screen = screen
        self.live = live
        self.outage = outage
        self.guest = None
        self.acts = []

    # The parts of an act

    def boot(self):
        with self.screen.progress("the guest boots on host a"):
            self.guest = self.lab.guest().start(self.lab.a)
        self.live.add(Heart(self.guest, self.lab.hosts))
        for host in self.lab.hosts:
            self.live.add(Bus(host, self.lab.now()))

    def begin(self, name, source, destination, text):
        act = Act(name, source.name, destination.name)
        self.acts.append(act)
        self.live.flush()
        self.screen.heading(f"{len(self.acts)}. {name}")
        self.screen.paragraph(text.format(source=source.name, destination=destination.name,
                                          outage=self.outage, thinking=THINKING_SECONDS))
        self.screen.line()
        self.live.begin()
        return act

    def migrate(self, source, destination):
        """Returns the migration when the guest runs, and is seen to run, on the destination."""
        migration = self.lab.postcopy(source, destination, *MIGRATE_FLAGS, wait_active=False,
                                      uri=f"qemu+tcp://{destination.name}/system")
        self.follow(migration, source)
        with self.screen.progress(f"memory is copied while the guest runs on {source.name}"):
            migration.wait_status("postcopy-active")
            self.guest.wait_heartbeat(destination, BEATS_BEFORE_FAULT)
        return migration

    def follow(self, command, host):
        """Has what a virsh says in the timeline."""
        words = command.command[len(host.enter) + len(host.virsh_command):]
        self.live.add(Command(command, host, ["virsh", *words]))

    def pass_time(self, seconds, since, what):
        with self.screen.progress(what):
            wait(lambda: self.lab.now() - since >= seconds, seconds + 10, what)

    def cut(self):
        self.lab.net.cut("all", port=DATA_PORTS)
        return self.tell_network("CUT: every packet of migrations between a and b is lost from now on",
                                 "red")

    def restore(self):
        self.lab.net.restore()
        return self.tell_network("RESTORED", "green")

    def tell_network(self, text, style):
        when = self.lab.net.journal[-1][0]
        self.live.tell("network", "", text, style, when)
        return when

    def finish(self, act, since, source, destination):
        """The guest is where it should be, and the witness has found nothing missing."""
        with self.screen.progress(f"host {source.name} lets go of the guest"):
            wait(lambda: source.domain_state() is None, RECOVERY_TIMEOUT,
                 f"the guest gone from host {source.name}")
        state = destination.domain_state()
        assert state == "running", f"the guest is {state} on host {destination.name}"
        with self.screen.progress("the witness checks every page and every sector"):
            found = self.guest.witness_ok(destination)
        act.pages, act.bad_pages = found.pages, found.bad_pages
        act.sectors, act.bad_sectors = found.sectors, found.bad_sectors
        act.silence = longest_silence(self.guest, since)
        self.live.tell(f"host {destination.name}", "guest",
                       f"all {act.pages} pages and {act.sectors} sectors are right",
                       "green")
        self.live.flush()

    # The acts

    def network_fails(self, source, destination):
        act = self.begin("The network fails", source, destination, NETWORK_ACT)
        since = self.lab.now()
        migration = self.migrate(source, destination)
        cut = self.cut()
        with self.screen.progress("the network is down"):
            act.paused_after = wait_arrivals(migration, "postcopy-paused", cut, PAUSE_TIMEOUT)
        self.pass_time(self.outage, cut, "both hosts wait for the network")
        restored = self.restore()
        act.outage = restored - cut
        with self.screen.progress("both hosts look for each other"):
            again = wait_arrivals(migration, "postcopy-active", restored, RECOVERY_TIMEOUT)
        act.again_after = max(again)
        act.paused = act.outage + again[0] - act.paused_after[0]
        with self.screen.progress("the rest of the memory is copied"):
            migration.succeed(MIGRATION_TIMEOUT)
        act.migrate_exit_code, act.migrate_seconds = migration.returncode, migration.seconds
        self.finish(act, since, source, destination)

    def person_pauses(self, source, destination):
        act = self.begin("A person pauses", source, destination, PERSON_ACT)
        since = self.lab.now()
        migration = self.migrate(source, destination)
        abort = source.virsh_background("domjobabort", "guest", "--postcopy")
        self.follow(abort, source)
        abort.succeed(PAUSE_TIMEOUT)
        act.paused_after = wait_arrivals(migration, "postcopy-paused", abort.started,
                                         PAUSE_TIMEOUT)
        with self.screen.progress("the migrate call comes back"):
            migration.fail(PAUSE_TIMEOUT)
        act.migrate_exit_code, act.migrate_seconds = migration.returncode, migration.seconds
        paused = abort.started + act.paused_after[0]
        self.pass_time(THINKING_SECONDS, paused, "the person thinks, and nothing goes on")
        assert migration.status(source) == "postcopy-paused", \
            f"a person's pause ended by itself: {migration.states(source)}"
        recover = source.virsh_background("migrate-recover", "guest")
        self.follow(recover, source)
        with self.screen.progress("the migration is taken up again"):
            recover.succeed(RECOVERY_TIMEOUT)
            again = wait_arrivals(migration, "postcopy-active", recover.started, RECOVERY_TIMEOUT)
        act.recover_exit_code = recover.returncode
        act.again_after = max(again)
        act.paused = recover.started + again[0] - paused
        with self.screen.progress("the rest of the memory is copied"):
            migration.wait_status("completed", MIGRATION_TIMEOUT)
        self.finish(act, since, source, destination)

    def run(self):
        self.boot()
        self.network_fails(self.lab.a, self.lab.b)
        self.person_pauses(self.lab.b, self.lab.a)


# What is left when all is over

def show_summary(screen, acts, surroundings):
    def seconds(value):
        return "-" if value is None else f"{value:.2f} s"

    def call(code):
        return "-" if code is None else str(code) + ", as in stock" * bool(code)

    rows = [
        ("", [act.name for act in acts]),
        ("from host to host", [f"{act.source} to {act.destination}" for act in acts]),
        ("network down", [seconds(act.outage) for act in acts]),
        ("cut, or domjobabort, to paused: source", [seconds(act.paused_after[0]) for act in acts]),
        ("                           destination", [seconds(act.paused_after[1]) for act in acts]),
        ("network back, to postcopy-active", [seconds(act.again_after) if act.outage else "-"
                                              for act in acts]),
        ("migrate-recover, to postcopy-active", ["-" if act.outage else seconds(act.again_after)
                                                 for act in acts]),
        ("migration paused", [seconds(act.paused) for act in acts]),
        ("longest silence of the guest", [seconds(act.silence) for act in acts]),
        ("exit code of virsh migrate", [call(act.migrate_exit_code) for act in acts]),
        ("exit code of virsh migrate-recover", [call(act.recover_exit_code) for act in acts]),
        ("pages checked / bad", [f"{act.pages} / {act.bad_pages}" for act in acts]),
        ("sectors checked / bad", [f"{act.sectors} / {act.bad_sectors}" for act in acts]),
    ]
    screen.heading("Summary")
    for head, cells in rows:
        line = f"  {head:<38}" + "".join(f"{cell:>20}" for cell in cells)
        screen.line(screen.paint("bold", line) if not head else line)
    screen.line()
    screen.line("  " + ", ".join(f"{word} {text}" for word, text in surroundings.items()))
    screen.line("  " + screen.paint("green", "Result: both migrations ended well, and the guest "
                                             "lost nothing."))


def play(lab, screen, options):
    with Live(screen) as live:
        demo = Demo(lab, screen, live, options.outage)
        demo.run()
    surroundings = environment(lab.a)
    show_summary(screen, demo.acts, surroundings)
    return {"environment": surroundings, "acts": [dataclasses.asdict(act) for act in demo.acts]}


def parse(arguments):
    def outage(text):
        seconds = int(text)
        if not 3 <= seconds <= MAX_OUTAGE_SECONDS:
            raise argparse.ArgumentTypeError(f"3 to {MAX_OUTAGE_SECONDS} seconds, not {seconds}")
        return seconds
    parser = argparse.ArgumentParser(prog="run demo", description="Two hosts and a guest: migrate, "
                                     "cut the network, see it recover.")
    parser.add_argument("--outage", type=outage, metavar="SECONDS", default=DEFAULT_OUTAGE_SECONDS,
                        help="how long the network is down (%(default)s)")
    program.add_json_option(parser)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(program.main("demo", parse, play, INTRODUCTION))
