# SPDX-License-Identifier: LGPL-2.1-or-later
"""One host: namespaces, files of its own, a system bus, a libvirt daemon, and what they say.

A host's /run, /etc/libvirt, /var/lib/libvirt, /var/log/libvirt and /var/cache/libvirt are
directories below the lab's; so its sockets and logs can be reached from outside by their path
(`Host.path`), while the processes inside believe to be alone.
"""
import contextlib
import os
import shlex
import socket
import subprocess
import sys
import uuid

from gi.repository import GLib

from . import bus, image, process
from .daemon import Daemon
from .logs import DaemonLog, Records
from .network import Network
from .process import Background, Process
from .wait import wait

# inside -> the directory's name below the host's own
MOUNTS = {
    "/run": "run",
    "/etc/libvirt": "etc",
    "/var/lib/libvirt": "lib",
    "/var/log/libvirt": "log",
    "/var/cache/libvirt": "cache",
}

PACKAGE_PARENT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

LIBVIRT_SOCKET = "/run/libvirt/libvirt-sock"  # libvirtd's, or virtproxyd's
BUS_SOCKET = "/run/dbus/system_bus_socket"
DAEMON = tuple(shlex.split(os.environ.get("HOLDFAST_LAB_DAEMON", "libvirtd --listen")))

JOURNALS = "/run/libvirt/holdfast"

# QMP traffic is logged at level info by qemu.qemu_monitor*; the object and event-loop traces
# would drown it.
LOG_FILTERS = "3:util.object 3:util.event 3:rpc 3:util.json 3:util.file 3:util.command"

DAEMON_CONF = """\
host_uuid = "{uuid}"
# A migration keeps one busy, on either host, until it has ended.
max_workers = 64
log_level = 2
log_filters = "{filters}"
log_outputs = "2:file:{log}"
"""

LISTEN_CONF = """\
listen_tls = 0
listen_tcp = 1
auth_tcp = "none"
"""

QEMU_CONF = """\
user = "root"
group = "root"
security_driver = "none"
remember_owner = 0
cgroup_controllers = []
namespaces = []
stdio_handler = "file"
migration_host = "{migration_host}"
# The hosts share this folder as they would an NFS export: no --unsafe is needed.
shared_filesystems = [ "{shared}" ]
"""

# The rules of dbus-daemon's own system.conf, so that a service's policy file counts as it does on
# a real host; without its user, activation and syslog.
BUS_CONF = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <auth>EXTERNAL</auth>
  <listen>unix:path={socket}</listen>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"/>
    <allow send_destination="org.freedesktop.DBus"
           send_interface="org.freedesktop.DBus.Introspectable"/>
    <allow send_destination="org.freedesktop.DBus"
           send_interface="org.freedesktop.DBus.Properties"/>
  </policy>
  <policy user="root">
    <allow send_destination="org.freedesktop.DBus"
           send_interface="org.freedesktop.DBus.Monitoring"/>
  </policy>
  <includedir>{policies}</includedir>
</busconfig>
"""

SETUP = """\
set -e
{mounts}
[ -e /etc/hosts ] || : >/etc/hosts
mount --bind {base}/hosts /etc/hosts
mount -t sysfs sysfs /sys
hostname {name}
touch {base}/{name}/ready
exec sleep infinity
"""


class Host:
    """`lab.a`, `lab.b`. Every command runs inside the host's namespaces."""

    def __init__(self, lab, name, number):
        self.lab = lab
        self.name = name
        self.number = number
        self.namespace = f"{lab.prefix}-{name}"
        self.base = os.path.join(lab.directory, name)
        self.anchor = None  # pid of the process that holds the namespaces
        self.recorder = None
        self._helpers = []
        self._records = Records(os.path.join(self.base, "records.jsonl"))
        self.virsh_command = shlex.split(os.environ.get("HOLDFAST_LAB_VIRSH", "virsh"))
        self.daemon = Daemon(self, "libvirt", lab.daemon, lab.daemon_env(self), self._daemon_serves)
        self.log = DaemonLog(self.path(self.log_file(self.daemon)))
        self.socket = LIBVIRT_SOCKET
        if self.daemon.server != "libvirtd":
            beside = os.path.dirname(self.daemon.program)
            self.daemon.proxy = Daemon(self, "proxy", [os.path.join(beside, "virtproxyd")],
                                       {}, self._proxy_serves, recorded=False)
            self.socket = f"/run/libvirt/{self.daemon.server}-sock"
        self.bus = Daemon(self, "dbus", ["dbus-daemon", "--config-file=/run/dbus/lab.conf",
                                         "--nofork", "--nopidfile", "--nosyslog"],
                          {}, self._bus_serves)

    # Places and names

    def path(self, inside):
        """Where a file of the host's own directories is for a process outside."""
        for mount, directory in MOUNTS.items():
            if inside == mount or inside.startswith(mount + "/"):
                return os.path.join(self.base, directory) + inside[len(mount):]
        return inside

    @staticmethod
    def log_file(daemon):
        return f"/var/log/libvirt/{daemon.server}.log"

    @staticmethod
    def conf_file(daemon):
        return f"/etc/libvirt/{daemon.server}.conf"

    def journals(self):
        """Names of the files of migrations that a restarted daemon would take up."""
        with contextlib.suppress(FileNotFoundError):
            return [name for name in os.listdir(self.path(JOURNALS)) if name.endswith(".journal")]
        return []

    def read(self, inside):
        """A file's text, '' if it is not there."""
        try:
            with open(self.path(inside), encoding="utf-8", errors="replace") as f:
                return f.read()
        except OSError:
            return ""

    def write(self, inside, text):
        os.makedirs(os.path.dirname(self.path(inside)), exist_ok=True)
        with open(self.path(inside), "w", encoding="utf-8") as f:
            f.write(text)

    def address(self, network):
        return Network.address(network, self.number)

    def uri(self, network="management", port=None):
        """The libvirt URI by which another host reaches this one."""
        return f"qemu+tcp://{self.address(network)}{f':{port}' if port else ''}/system"

    def data_uri(self, network="migration", port=None):
        """A --migrateuri: where the guest's memory goes."""
        return f"tcp://{self.address(network)}{f':{port}' if port else ''}"

    # Life

    @property
    def enter(self):
        return ["nsenter", "-t", str(self.anchor), "-n", "-m", "-u"]

    def up(self):
        """Namespaces and files. The networks are plugged in and the daemons started later."""
        process.run(["ip", "netns", "add", self.namespace])
        for directory in MOUNTS.values():
            os.makedirs(os.path.join(self.base, directory))
        process.run(["cp", "-a", "/etc/libvirt/.", os.path.join(self.base, "etc")])
        # What QEMU can do takes seconds to find out; libvirt itself checks that this still holds.
        os.makedirs(self._known_capabilities, exist_ok=True)
        process.run(["cp", "-a", self._known_capabilities, self.path("/var/cache/libvirt/qemu")])
        for inside in ("/run/libvirt", "/run/dbus/policies", "/run/lock", "/var/lib/libvirt/qemu",
                       "/var/lib/libvirt/images", "/var/log/libvirt/qemu"):
            os.makedirs(self.path(inside), exist_ok=True)
        self._write_daemon_conf()
        self.write("/etc/libvirt/qemu.conf", QEMU_CONF.format(
            migration_host=self.address("migration"), shared=self.lab.shared))
        self.write("/run/dbus/lab.conf", BUS_CONF.format(
            socket=BUS_SOCKET, policies="/run/dbus/policies"))
        if self.lab.bus_policy:
            process.run(["cp", self.lab.bus_policy, self.path("/run/dbus/policies/")])
        self._start_anchor()

    def _write_daemon_conf(self):
        listening = self.daemon.proxy or self.daemon
        host_uuid = uuid.uuid4()
        for daemon in {self.daemon, listening}:
            text = DAEMON_CONF.format(uuid=host_uuid, filters=LOG_FILTERS,
                                      log=self.log_file(daemon))
            self.write(self.conf_file(daemon),
                       (LISTEN_CONF if daemon is listening else "") + text)

    def _start_anchor(self):
        mounts = "\n".join(f"mount --bind {self.base}/{directory} {inside}"
                           for inside, directory in MOUNTS.items())
        script = SETUP.format(mounts=mounts, base=self.lab.directory, name=self.name)
        anchor = self._helper(
            "anchor", ["nsenter", f"--net=/run/netns/{self.namespace}", "unshare", "--mount",
                       "--uts", "--propagation", "private", "bash", "-c", script])
        self.anchor = anchor.pid

        def ready():
            if anchor.poll() is not None:
                raise process.CommandFailed(f"host {self.name} could not be set up: "
                                            + self.read(os.path.join(self.base, "anchor.out")))
            return os.path.exists(os.path.join(self.base, "ready"))
        wait(ready, 30, f"host {self.name}")

    def _helper(self, name, command):
        """A process of the lab's own. It keeps no terminal and no pipe of ours open."""
        with open(os.path.join(self.base, f"{name}.out"), "ab") as output:
            helper = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output,
                                      stderr=output, start_new_session=True, cwd=PACKAGE_PARENT)
        self._helpers.append(helper)  # referenced, so that it is reaped
        return helper

    def start(self):
        """Bus, daemon and recorder. `wait_ready` comes later, so that hosts start side by side."""
        self.bus.start()
        self.daemon.start(wait_ready=False)
        self.start_recorder()

    def start_recorder(self):
        self.recorder = self._helper(
            "recorder", [sys.executable, "-m", "holdfast_lab.recorder",
                         "--libvirt", self.path(self.socket), "--dbus", self.path(BUS_SOCKET),
                         "--output", self._records.path])

    @property
    def _known_capabilities(self):
        """libvirt takes them for out of date when it loads another driver module."""
        module = os.path.realpath(self.lab.daemon_env(self).get("LIBVIRT_DRIVER_DIR", "/stock"))
        return os.path.join(image.cache_directory(), "libvirt-qemu", module.replace("/", "-"))

    def keep_capabilities(self):
        """For the next lab."""
        process.run(["cp", "-a", self.path("/var/cache/libvirt/qemu/."),
                     self._known_capabilities])

    def wait_ready(self):
        if self.daemon.proxy:
            self.daemon.proxy.wait_ready()
        self.daemon.wait_ready()
        wait(lambda: {"libvirt", "dbus"} <= self.recorded_sources(), 60,
             lambda: f"the recorder of {self.name}: "
                     + self.read(os.path.join(self.base, "recorder.out")))

    def _bus_serves(self):
        try:
            bus.connect(self.path(BUS_SOCKET)).close_sync(None)
        except GLib.Error:
            return False
        return True

    def _proxy_serves(self):
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(self.path(LIBVIRT_SOCKET)) == 0

    def _daemon_serves(self):
        return os.path.exists(self.path(self.socket)) and self.virsh("version", check=False).ok

    # Commands

    def run(self, *command, timeout=30, check=True):
        """Runs a command inside to its end -> Result(returncode, stdout, stderr, ok)."""
        return process.run(self.enter + list(command), timeout=timeout, check=check)

    def background(self, *command, terminal=False):
        """Starts a command inside -> Background."""
        return self.lab.keep(Background(self.enter + list(command),
                                        f"{self.name}: {' '.join(command[:3])}", terminal))

    def virsh(self, *words, timeout=30, check=True):
        """virsh WORDS on this host -> Result; with check=False a failure is returned too."""
        return self.run(*self.virsh_command, "-q", *words, timeout=timeout, check=check)

    def virsh_background(self, *words, terminal=False):
        """virsh WORDS without waiting; `terminal` gives it one, for Ctrl-C."""
        return self.background(*self.virsh_command, *words, terminal=terminal)

    def domain_state(self, guest="guest", reason=False):
        """'running', 'paused', ..., or None for a domain that is not there. With `reason`:
        'paused (post-copy failed)'."""
        result = self.virsh("domstate", str(guest), "--reason", check=False)
        if not result.ok:
            return None
        text = result.stdout.strip()
        return text if reason else text.split(" (")[0]

    def domains(self):
        return self.virsh("list", "--all", "--name").stdout.split()

    def is_persistent(self, guest="guest"):
        info = self.virsh("dominfo", str(guest), check=False).stdout
        return "Persistent:     yes" in info

    def jobinfo(self, guest="guest", completed=False):
        """domjobinfo as a dictionary; {'error': text} if virsh failed."""
        words = ["domjobinfo", str(guest)] + (["--completed", "--keep-completed"] if completed
                                              else [])
        result = self.virsh(*words, check=False)
        if not result.ok:
            return {"error": result.stderr.strip()}
        pairs = (line.partition(":") for line in result.stdout.splitlines() if ":" in line)
        return {key.strip(): value.strip() for key, _, value in pairs}

    def qemu(self, guest="guest"):
        """The guest's QEMU on this host, to stop, cont and kill. None if there is none."""
        pid = self.read(f"/run/libvirt/qemu/{guest}.pid").strip()
        qemu = Process(int(pid), f"QEMU of {guest} on {self.name}") if pid else None
        return qemu if qemu and qemu.alive else None  # the file outlives a QEMU that was killed

    # What was seen, of the present test unless `since` says otherwise

    def qmp_log(self, since=None):
        """QMP as the daemon logged it: [(time, 'event'|'reply'|'send', dictionary)]."""
        return self.log.qmp(self.lab.epoch if since is None else since)

    def qemu_has_answered(self, command, since=None):
        """Whether libvirt has sent this command and has a reply to it."""
        log = self.qmp_log(since)
        sent = {message.get("id") for _, kind, message in log
                if kind == "send" and message.get("execute") == command}
        return any(kind == "reply" and message.get("id") in sent for _, kind, message in log)

    def migration_states(self, since=None):
        """[(time, status)] from QEMU's MIGRATION events."""
        return [(when, message["data"]["status"]) for when, kind, message in self.qmp_log(since)
                if kind == "event" and message.get("event") == "MIGRATION"]

    def wait_migration(self, status, timeout=60, since=None):
        """Waits for a MIGRATION event of this status (the latest must be it) -> its time."""
        def reached():
            states = self.migration_states(since)
            return states[-1][0] if states and states[-1][1] == status else None
        return wait(reached, timeout, lambda: f"{status} on {self.name}; seen: "
                    + " ".join(state for _, state in self.migration_states(since)))

    def saw_migration(self, status, timeout=60, since=None):
        """Like wait_migration, but the state may have passed already -> its first time."""
        def seen():
            return next((t for t, state in self.migration_states(since) if state == status), None)
        return wait(seen, timeout, lambda: f"{status} on {self.name}; seen: "
                    + " ".join(state for _, state in self.migration_states(since)))

    def records(self, kind=None, since=None):
        """What the recorder wrote: dictionaries with `time` and `kind` (lifecycle,
        job-completed, signal, recorder)."""
        since = self.lab.epoch if since is None else since
        return [r for r in self._records.all()
                if r["time"] >= since and kind in (None, r["kind"])]

    def recorded_sources(self):
        """Which of libvirt and dbus the recorder is connected to now."""
        state = {}
        for record in self.records("recorder", since=0):
            state[record["source"]] = record["connected"]
        return {source for source, connected in state.items() if connected}

    def recorder_connections(self, source):
        """How often the recorder has connected to it."""
        return sum(r["source"] == source and r["connected"]
                   for r in self.records("recorder", since=0))

    def events(self, guest="guest", since=None):
        """libvirt's lifecycle events since the guest was up: ['Suspended Post-copy', ...]."""
        if since is None:
            since = max(self.lab.epoch, self.lab.started.get(str(guest), 0.0))
        return [f"{r['event']} {r['detail']}" for r in self.records("lifecycle", since)
                if r["domain"] == str(guest)]

    def wait_event(self, text, timeout=60, guest="guest"):
        wait(lambda: text in self.events(guest), timeout,
             lambda: f"event '{text}' on {self.name}; seen: {self.events(guest)}")

    def dbus_signals(self, interface="org.holdfast.", member=None, since=None):
        """Signals of interfaces that begin so: dictionaries with time, path, interface, member,
        args (a list of plain Python values)."""
        return [r for r in self.records("signal", since) if r["interface"].startswith(interface)
                and member in (None, r["member"])]

    def wait_dbus_signal(self, member, timeout=60, since=None, **match):
        """The first signal of this name whose fields match."""
        def seen():
            return next((s for s in self.dbus_signals(member=member, since=since)
                         if all(s[key] == value for key, value in match.items())), None)
        return wait(seen, timeout, lambda: f"signal {member} on {self.name}; seen: "
                    + str([s["member"] for s in self.dbus_signals(since=since)]))

    def dbus_call(self, destination, path, interface, method, signature=None, args=(),
                  timeout=10):
        """Calls a method on this host's bus -> the reply's values as a tuple."""
        return bus.call(self.path(BUS_SOCKET), destination, path, interface, method, signature,
                        args, timeout)

    def dbus_property(self, path, interface, name, destination="org.holdfast.Migration1"):
        return self.dbus_call(destination, path, "org.freedesktop.DBus.Properties", "Get", "(ss)",
                              (interface, name))[0]

    def dbus_objects(self, destination="org.holdfast.Migration1", path="/org/holdfast/Migration1"):
        """The ObjectManager's {path: {interface: {property: value}}}."""
        return self.dbus_call(destination, path, "org.freedesktop.DBus.ObjectManager",
                              "GetManagedObjects")[0]

    # Back to nothing

    def kill_qemus(self):
        """Quicker than libvirt's polite way, and it also ends one that is stopped or stuck."""
        for pid in process.pids_in_network_namespace(f"/run/netns/{self.namespace}"):
            if process.name(pid).startswith("qemu-"):
                Process(pid, f"a QEMU on {self.name}").kill()

    def reset(self):
        """Daemons alive and listening, no domain left; whatever a test did."""
        for daemon in filter(None, (self.bus, self.daemon.proxy, self.daemon)):
            if daemon.alive:
                daemon.cont()
            else:
                daemon.start()
        for name in self._domains_to_remove():
            self._remove(name)
        if self.daemon.env != self.lab.daemon_env(self):
            self.daemon.env = self.lab.daemon_env(self)
            self.daemon.restart()
        self.wait_ready()

    def _domains_to_remove(self):
        listed = self.virsh("list", "--all", "--name", check=False, timeout=20)
        if listed.ok:
            return listed.stdout.split()
        self.daemon.restart(hard=True)
        return self.domains()

    def _remove(self, name):
        self._forget(name)
        if name in self.domains():
            # A job that hangs does not let go of it.
            self.daemon.restart(hard=True)
            self._forget(name)
            wait(lambda: name not in self.domains(), 30, f"{name} removed from {self.name}")

    def _forget(self, name):
        self.virsh("destroy", name, check=False, timeout=10)
        self.virsh("undefine", name, "--managed-save", "--snapshots-metadata",
                   "--checkpoints-metadata", "--nvram", check=False, timeout=10)
