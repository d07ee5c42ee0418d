# SPDX-License-Identifier: LGPL-2.1-or-later
"""The lab: hosts, networks, guests and migrations, from nothing and back to nothing."""
import concurrent.futures
import json
import os
import shutil
import subprocess
import sys
import threading
import time

from . import bundle, clean, health, host, image, network, process
from .guest import Guest
from .migration import Migration
from .wait import POLL_SECONDS, wait

DIRECTORY = "/var/tmp"
STARTS_AT_ONCE = 4
BUS_POLICY = "packaging/dbus/org.holdfast.Migration1.conf"


class LabError(Exception):
    """Why there can be no lab here, and what to do."""


def default_prefix():
    return os.environ.get("HOLDFAST_LAB_PREFIX", "hflab")


class Lab:
    """
    prefix      names everything of this lab; two labs at a time need two prefixes
                (default: HOLDFAST_LAB_PREFIX, or hflab)
    module_dir  LIBVIRT_DRIVER_DIR of the daemons; '' is stock (default: HOLDFAST_MODULE_DIR);
                or one for each host by its name, {"a": DIRECTORY, "b": ""}
    env         more environment for the daemons, as {"HOLDFAST": "off"}
    hosts       the hosts' names; each is an attribute, lab.a
    daemon      the daemon's command
    keep        the lab outlives this process (`lab up`)
    """

    def __init__(self, prefix=None, module_dir=None, env=None, hosts=("a", "b"),
                 daemon=host.DAEMON, keep=False):
        self.prefix = prefix or default_prefix()
        self.module_dir = (os.environ.get("HOLDFAST_MODULE_DIR", "") if module_dir is None
                           else module_dir)
        self.env = dict(env or {})
        self.daemon = tuple(daemon)
        self.keep_after_exit = keep
        self.directory = os.path.join(DIRECTORY, self.prefix)
        self.shared = os.path.join(self.directory, "shared")
        self.bus_policy = self._find_bus_policy()
        self.net = network.Network(self.prefix)
        self.hosts = [host.Host(self, name, number) for number, name in enumerate(hosts, 1)]
        for each in self.hosts:
            setattr(self, each.name, each)
        self.epoch = self.now()
        self.health = health.Health(self)
        self.backgrounds = []
        self.guests = []
        self.started = {}  # a guest's name -> since when it is up
        self.notes = []
        self._reaper = None
        self._lock = threading.Lock()
        self._following = threading.Event()  # set: nobody reads the consoles
        self._following.set()

    @staticmethod
    def _find_bus_policy():
        named = os.environ.get("HOLDFAST_LAB_BUS_POLICY")
        path = named or os.path.join(image.REPOSITORY, BUS_POLICY)
        return path if named or os.path.exists(path) else None

    def daemon_env(self, host):
        """What a host's daemon gets on top of this process's environment."""
        env = dict(self.env)
        directory = self.module_dir
        if isinstance(directory, dict):
            directory = directory[host.name]
        if directory:
            env["LIBVIRT_DRIVER_DIR"] = directory
        return env

    # Life

    def __enter__(self):
        self.up()
        return self

    def __exit__(self, *_):
        self.down()

    def up(self):
        """Hosts up, daemons serving. If it fails nothing is left."""
        if os.geteuid() != 0:
            raise LabError("the lab needs root: namespaces, networks, libvirtd")
        owner = clean.owner_of(self.prefix)
        if owner:
            raise LabError(f"lab {self.prefix} is in use by process {owner}: wait for it, or set "
                           "HOLDFAST_LAB_PREFIX to another name")
        clean.clean(self.prefix)
        try:
            self._build()
        except BaseException:
            self.down()
            raise

    def _build(self):
        os.makedirs(self.shared)
        if not self.keep_after_exit:
            self._start_reaper()
        self.write_state()
        image.build()
        with open(os.path.join(self.directory, "hosts"), "w", encoding="ascii") as f:
            f.write("127.0.0.1 localhost\n")
            for each in self.hosts:
                f.write(f"{each.address('management')} {each.name}\n")
                f.write(f"{each.address('migration')} {each.name}-migration\n")
        self.net.up()
        for each in self.hosts:
            each.up()
            self.net.plug_in(each)
        for each in self.hosts:
            each.start()
        self.write_state()
        for each in self.hosts:
            each.wait_ready()
            each.keep_capabilities()
        self.health.begin()

    def _start_reaper(self):
        """Cleans up after us even when we are killed: it sees our end of the pipe close."""
        self._reaper = subprocess.Popen(
            [sys.executable, "-m", "holdfast_lab.reaper", self.prefix],
            stdin=subprocess.PIPE, start_new_session=True,
            cwd=os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

    def write_state(self):
        """What `clean` needs to know beyond the names."""
        helpers = [each.recorder.pid for each in self.hosts if each.recorder]
        state = {
            "owner": None if self.keep_after_exit else
                     [os.getpid(), process.start_time(os.getpid())],
            "helpers": [[pid, process.start_time(pid)] for pid in helpers],
            "hosts": {each.name: each.anchor for each in self.hosts},
            "module_dir": self.module_dir, "env": self.env, "daemon": self.daemon,
        }
        with open(os.path.join(self.directory, "lab.json"), "w", encoding="ascii") as f:
            json.dump(state, f)

    @classmethod
    def attach(cls, prefix=None):
        """A lab that `lab up` left running."""
        prefix = prefix or default_prefix()
        state = clean.read_state(prefix)
        if not state:
            raise LabError(f"no lab {prefix} is up")
        lab = cls(prefix, state["module_dir"], state["env"], tuple(state["hosts"]),
                  state["daemon"], keep=True)
        lab.net.hosts = lab.hosts
        lab.epoch = 0.0
        for each in lab.hosts:
            each.anchor = state["hosts"][each.name]
        return lab

    def down(self):
        """Everything of this lab goes, whatever state it is in."""
        self._following.set()
        for each in self.backgrounds:
            each.close()
        self.backgrounds = []
        clean.clean(self.prefix)
        if self._reaper:
            self._reaper.stdin.close()
            self._reaper.wait()
            self._reaper = None

    def rebuild(self):
        """A lab of the same name and parameters, from nothing; guests and host objects go."""
        self.down()
        self.__init__(self.prefix, self.module_dir, self.env,
                      tuple(each.name for each in self.hosts), self.daemon, self.keep_after_exit)
        self.up()

    def rest(self):
        """After a test: no command and no QEMU go on that would take the processors from others."""
        for each in self.backgrounds:
            each.close()
        self.backgrounds = []
        self.net.restore()
        for each in self.hosts:
            each.kill_qemus()

    def reset(self):
        """For the next test: networks whole, daemons alive, no domain, no command running."""
        self.rest()
        for each in self.hosts:
            each.reset()
        self._following.set()
        self.guests = []
        self.started = {}
        for name in os.listdir(self.shared):
            path = os.path.join(self.shared, name)
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
        self.notes = []
        self.net.journal = []
        self.epoch = self.now()
        self.health.begin()

    # Doing

    @staticmethod
    def now():
        """The time as a `since` for what is seen from now on; logs have milliseconds."""
        return int(time.time() * 1000) / 1000

    def command(self, *words, timeout=60):
        """A command outside the hosts."""
        return process.run(list(words), timeout=timeout)

    def note(self, text):
        """A line of the scenario's own for the timeline."""
        self.notes.append((time.time(), text))

    def keep(self, background):
        """Has a background command ended with the test, and its output in the timeline."""
        self.backgrounds.append(background)
        return background

    def guest(self, name="guest", **parameters):
        """A new guest, not yet started; see Guest for the parameters."""
        guest = Guest(self, name, **parameters)
        self.guests.append(guest)
        return guest

    def start_guests(self, host, count, **parameters):
        """Many guests side by side, guest-1 and so on, on the host -> [Guest], all at work.

        They share two processors: give them little memory and little to do.
        """
        guests = [self.guest(f"guest-{number}", **parameters) for number in range(1, count + 1)]
        guests[0].start(host)  # alone, because it may have to make the template
        with concurrent.futures.ThreadPoolExecutor(STARTS_AT_ONCE) as pool:
            list(pool.map(lambda guest: guest.start(host), guests[1:]))
        return guests

    def follow(self, guest):
        """Reads the guest's console all the time, so that its lines have their time."""
        with self._lock:
            if guest not in self.guests:
                self.guests.append(guest)
            if not self._following.is_set():
                return
            self._following = stop = threading.Event()

        def read():
            while not stop.wait(POLL_SECONDS):
                for each in self.guests:
                    for where in self.hosts:
                        each.console(where)
        threading.Thread(target=read, daemon=True).start()

    def migrate(self, source, destination, *flags, guest="guest", p2p=True, live=True,
                network="management", uri=None, terminal=False):
        """Starts `virsh migrate` on the source -> Migration, a Background.

        flags    more words for virsh, as they are
        network  the one libvirt's own connection goes over; the memory goes over `migration`
                 unless flags have a --migrateuri
        uri      the destination's URI instead
        """
        words = ["migrate", str(guest), uri or destination.uri(network)]
        words += ["--live"] * live + ["--p2p"] * p2p + list(flags)
        command = source.enter + source.virsh_command + words
        return self.keep(Migration(command, source, destination, terminal))

    def postcopy(self, source, destination, *flags, bandwidth=100, postcopy_bandwidth=4,
                 wait_active=True, guest="guest", **options):
        """A migration that goes to postcopy after one pass -> Migration, once both sides are
        postcopy-active. Bandwidths are MiB/s; the second makes postcopy last."""
        # With a switchover that may take no time QEMU cannot end in precopy, however late virsh
        # asks for postcopy.
        source.virsh("migrate-setmaxdowntime", str(guest), "1", check=False)
        migration = self.migrate(source, destination, "--postcopy", "--postcopy-after-precopy",
                                 "--bandwidth", str(bandwidth), "--postcopy-bandwidth",
                                 str(postcopy_bandwidth), *flags, guest=guest, **options)
        if wait_active:
            self.wait_postcopy(migration, guest)
        return migration

    @staticmethod
    def wait_postcopy(migration, guest="guest"):
        """Until both sides are postcopy-active, and the destination's libvirt knows."""
        destination = migration.destination
        migration.wait_status("postcopy-active")
        # QEMU's destination cannot pause before it has been told to run.
        destination.wait_event("Resumed Post-copy", guest=guest)
        # A libvirt that has not been answered may hang in an outage, which is a scenario of
        # its own (test_blocked_destination.py).
        wait(lambda: destination.qemu_has_answered("cont", migration.since), 30,
             f"the answer to `cont` on {destination.name}")

    # Telling

    def timeline(self, since=None):
        """Everything that was seen, merged: [(time, source, text)]."""
        return bundle.timeline(self, self.epoch if since is None else since)

    def bundle(self, directory, failure=""):
        """Writes all there is to know about this test -> the essential timeline as text."""
        return bundle.write(self, directory, failure)
