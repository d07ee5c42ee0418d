# SPDX-License-Identifier: LGPL-2.1-or-later
"""Does what a cell of bitmap_matrix.py says: a guest with a checkpoint, a migration from a to b that
is brought to a point, what happens there, and what a person does next.

With Holdfast or without: nothing here asks for anything that stock libvirt has not, but for
`person`, who says in which of the two ways a paused migration is resumed.
"""
import json

from .backup import Backups
from .bitmap_matrix import COPIED, EXACT, POSTCOPY, REFUSED, SUPERSET, WRONG
from .late import Late
from .migration import Migration
from .network import DATA_PORTS, RPC_PORT
from .process import CommandFailed
from .wait import wait

# Little memory, and a disk of which another cluster is written each half second.
GUEST = {"memory": 96, "arena": 16, "rate": 500, "disk_rate": 32, "disk_format": "qcow2"}
CHECKPOINT = "monday"
STREAM_PORT = 49200  # of those that libvirt does not give to the storage by itself


def plug_in_behind_libvirts_back(host, guest):
    """A device of which the next destination will not have its like: QEMU there refuses the state
    of the guest, when the source has given its images up."""
    said = host.virsh("qemu-monitor-command", str(guest), "--hmp",
                      "device_add virtio-rng-pci,id=stowaway").stdout
    assert not said.strip(), said


class Scenario:
    """One cell in a lab whose daemons may hear late (late.py). `run`, and all has happened."""

    def __init__(self, lab, cell, person):
        self.lab = lab
        self.cell = cell
        self.person = person
        self.postcopy = cell.mode == POSTCOPY
        # The one disk is so large for its bitmap alone, which QEMU sends a piece for each 512 MiB of,
        # and only what has been written of it is copied.
        large = cell.event == "operators-pause" or cell.point == "bitmaps"
        self.flags = ["--persistent"]
        if cell.storage == COPIED:
            self.flags.append("--copy-storage-inc" if large else "--copy-storage-all")
        self.guest = lab.guest(**GUEST, own_disks=cell.storage == COPIED,
                               disk_size="32G" if large else "16M")
        self.backups = Backups(lab, self.guest)
        self.migration = None
        self.late = None
        self.reached = False  # the point; what fails later is what came of it

    def run(self):
        self.guest.start(self.lab.a)
        self.backups.full(self.lab.a, CHECKPOINT)
        self.guest.wait_heartbeat(self.lab.a)
        self.lab.note("the checkpoint is there")
        getattr(self, "_" + self.cell.event.replace("-", "_"))()

    # To a point

    def _start(self, *words):
        """A migration that goes to the other host as soon as it can, by its mode."""
        words = [*self.flags, *words]
        if not self.postcopy:
            return self.lab.migrate(self.lab.a, self.lab.b, *words)
        migration = self.lab.migrate(self.lab.a, self.lab.b, *words, "--postcopy", "--bandwidth",
                                     "40", "--postcopy-bandwidth", "1")
        # In time, or it would end in precopy: there is enough to copy for some seconds.
        migration.wait_status("active", hosts=[self.lab.a])
        self.lab.a.virsh("migrate-postcopy", str(self.guest))
        return migration

    def _reach_precopy(self):
        """It stays there: the guest would not be stopped for longer than for nothing."""
        self.lab.a.virsh("migrate-setmaxdowntime", str(self.guest), "1")
        words = ["--postcopy"] * self.postcopy
        self.migration = self.lab.migrate(self.lab.a, self.lab.b, *self.flags, *words,
                                          "--bandwidth", "40")
        self.migration.wait_status("active")
        wait(lambda: "MiB" in self.lab.a.jobinfo(self.guest).get("Data processed", ""), 60,
             "memory on its way")

    def _reach_pre_switchover(self, *words):
        self.late = Late(self.lab.a, "pre-switchover")
        self.migration = self._start(*words)
        self.late.wait()

    def _reach_device(self):
        """The stream is cut, so that a waits for an answer; not that of the storage, which libvirt
        ends first."""
        self._reach_pre_switchover("--migrateuri", self.lab.b.data_uri(port=STREAM_PORT))
        self.lab.net.cut("migration", port=STREAM_PORT)
        self.late.release()
        self.migration.wait_status("device", hosts=[self.lab.a])

    def _reach_arrived(self):
        """libvirt on b does not hear of Finish."""
        self._reach_pre_switchover()
        self.lab.b.daemon.stop()
        self.late.release()
        self.migration.wait_status("postcopy-active" if self.postcopy else "completed",
                                   hosts=[self.lab.a])

    def _reach_running(self):
        self.guest.set_rate(self.lab.a, sectors=0)
        self._run_at_b()

    def _reach_written(self):
        self._run_at_b()
        # Not what was written at a after its last heartbeat.
        before = self.guest.heartbeats(self.lab.a)[-1][1]["sectors"]
        wait(lambda: any(beat["sectors"] > before + GUEST["disk_rate"]
                         for _, beat in self.guest.heartbeats(self.lab.b)), 60, "b to have written")

    def _reach_postcopy(self):
        self.migration = self._start()
        self.lab.wait_postcopy(self.migration)

    def _run_at_b(self):
        """In precopy, so that a never hears that b has started it."""
        if self.postcopy:
            self._reach_postcopy()
            return
        self.late = Late(self.lab.a, "pre-switchover")
        # The client drives it, and asks every other second whether the connection is alive.
        words = ["-k", "2", "migrate", str(self.guest), self.lab.b.uri(), "--live",
                 *self.flags]
        self.migration = self.lab.keep(Migration(
            self.lab.a.enter + self.lab.a.virsh_command + words, self.lab.a, self.lab.b))
        self.late.wait()
        self.lab.net.cut("management", port=RPC_PORT, at=self.lab.a)
        self.late.release()
        self.lab.b.wait_event("Resumed Migrated")

    def _lose_the_answer(self):
        """The client's connection breaks, and nothing else does."""
        if not self.postcopy:
            lost = self.lab.net.cut("management", how="reset", port=RPC_PORT, at=self.lab.a)
            self.lab.net.restore([cut for cut in self.lab.net.cuts if cut not in lost])
            self.migration.wait(60)
            self.lab.net.restore()

    def _reach(self, point=None):
        getattr(self, "_reach_" + (point or self.cell.point).replace("-", "_"))()
        self.reached = True

    # What happens there

    def _success(self):
        self.migration = self._start()
        self.reached = True
        self.let_go()
        self.migration.succeed()

    def let_go(self):
        """What is left of a slow postcopy takes a moment."""
        if self.postcopy:
            self.migration.wait_status("postcopy-active")
            self.lab.a.virsh("migrate-setspeed", str(self.guest), "500", "--postcopy", check=False)

    def _cancel(self):
        self._reach()
        self.lab.a.virsh("domjobabort", str(self.guest))
        self.migration.fail()
        if self.late:
            self.late.forget()

    def _qemu_killed(self):
        self._reach()
        self.lab.b.qemu().kill()
        self._go_on_without()

    def _daemon_killed(self):
        self._reach()
        self.lab.b.daemon.kill()
        if self.cell.point == "device":
            self.lab.net.restore()
        self.lab.b.daemon.start()
        if self.postcopy and self.cell.point in ("running", "written"):
            self.let_go()
            self._resume_if_paused()
        else:
            self._go_on_without()

    def _go_on_without(self):
        """a learns that b has not done its part."""
        if self.cell.point == "pre-switchover":
            self.late.release()
        elif self.cell.point == "device":
            self.lab.net.restore()
        elif self.cell.point == "arrived" and self.cell.event == "qemu-killed":
            self.lab.b.daemon.cont()
        elif self.cell.point in ("running", "written"):
            self._lose_the_answer()
        if not (self.postcopy and self.cell.guest == "lost"):
            self.migration.wait(90)

    def _state_refused(self):
        """QEMU at b reads of a device that it has not, and ends."""
        plug_in_behind_libvirts_back(self.lab.a, self.guest)
        self.migration = self._start()
        self.migration.wait_status("postcopy-active" if self.postcopy else "device",
                                   hosts=[self.lab.a])
        self.reached = True
        if not self.postcopy:
            self.migration.fail(60)

    def _network_cut(self):
        if self.cell.point in ("precopy", "device"):
            self._reach()
            dropped = list(self.lab.net.cuts)
            self.lab.net.cut("migration", how="reset", port=DATA_PORTS)
            self.lab.net.restore(dropped)  # which the resets would not get through
            self.migration.fail(60)
            self.lab.net.restore()
            return
        self._reach(self.cell.point or "postcopy")
        self.lab.net.cut("all", how="drop" if self.cell.point else "reset", port=DATA_PORTS)
        # So near the end the destination leaves it to the source to break the channel.
        self.migration.wait_status("postcopy-paused", hosts=[self.lab.a] * bool(self.cell.point))
        self.lab.net.restore()
        self._resume_if_paused()

    def _ask_a(self, command, **arguments):
        reply = self.lab.a.virsh("qemu-monitor-command", str(self.guest), json.dumps(
            {"execute": command, "arguments": arguments}))
        return json.loads(reply.stdout)["return"]

    def _reach_bitmaps(self):
        """QEMU sends the bitmaps when it has sent the memory: here a piece each tenth of a second, and
        6 s of them. Without one it sends 18 bytes in that time, and with it 42 or more."""
        def remaining():
            return self._ask_a("query-migrate")["ram"]["remaining"]

        def set_bandwidth(number):
            self._ask_a("migrate-set-parameters", **{"max-postcopy-bandwidth": number})

        # QEMU sends what it would send in the time that it may stop the guest for at full speed.
        self.lab.a.virsh("migrate-setmaxdowntime", str(self.guest), "1")
        self._reach_postcopy()
        self.lab.a.virsh("migrate-setspeed", str(self.guest), "20", "--postcopy")
        wait(lambda: remaining() < 16 << 20, 60, "all but 16 MiB of memory sent")
        # Of memory QEMU still sends a buffer each tenth of a second, and of the bitmaps nothing, so
        # that none of them goes while whoever asks how much is left waits for the answer.
        set_bandwidth(100)
        wait(lambda: remaining() == 0, 60, "all memory sent")
        set_bandwidth(300)

    def _operators_pause(self):
        self._reach("bitmaps" if self.cell.storage == COPIED else "postcopy")
        self.lab.a.virsh("domjobabort", str(self.guest), "--postcopy")
        self.migration.wait_status("postcopy-paused")
        self.migration.fail(60)
        self.person.resume(self)

    def _resume_if_paused(self):
        self.person.resume_if_it_is_left(self)

    def _source_daemon_restarted(self):
        if not self.postcopy:
            self._reach("precopy")
            self.lab.a.daemon.restart(hard=True)
            self.migration.fail(60)
            return
        self._reach("postcopy")
        self.lab.a.daemon.restart(hard=True)
        self.let_go()
        self._resume_if_paused()

    # What it is worth

    def worth(self, host):
        """-> what an incremental backup is of the guest, which is paused there, and what libvirt
        said if it refused it."""
        try:
            path = self.backups.incremental(host, CHECKPOINT)
        except CommandFailed as refused:
            return REFUSED, str(refused)
        try:
            self.backups.assert_equals_disk(path, host)
        except CommandFailed:
            return WRONG, ""
        return SUPERSET if self.backups.unwritten_bytes(path, host) else EXACT, ""

    def start_anew(self, host):
        """Shut down, as by libvirt's own SIGTERM, and started, but not run."""
        host.virsh("destroy", str(self.guest), timeout=60)
        host.virsh("start", str(self.guest), "--paused")
