# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is left for a person when a scenario fails: one folder, and one page of timeline."""
import datetime
import json
import os
import re
import shutil


ESSENTIAL_LINES = 120
DAEMON_LEVELS = ("warning", "error")

# What libvirt complains of in a lab, and means nothing: no SMBIOS, no cgroups, no confinement.
NOISE = re.compile(r"dmidecode|cgroup|security driver \"none\"|high-privileges|QEMU_MONITOR")


def clock(when):
    return datetime.datetime.fromtimestamp(when).strftime("%H:%M:%S.%f")[:-3]


def timeline(lab, since):
    """[(time, source, text)] of every source, merged. Heartbeats only where they falter."""
    entries = [(when, "net", text) for when, text in lab.net.journal]
    entries += [(when, "test", text) for when, text in lab.notes]
    for background in lab.backgrounds:
        entries.append((background.started, background.label, "started: "
                        + " ".join(background.command)))
        entries += [(when, background.label, text) for when, text in background.lines]
        if background.done:
            entries.append((background.ended, background.label, f"exit {background.returncode}"))
    for host in lab.hosts:
        entries += _of_host(host, since)
        for guest in lab.guests:
            entries += _of_console(host, guest)
    return sorted(entry for entry in entries if entry[0] >= since)


def _of_host(host, since):
    entries = [(when, f"{host.name} qemu", f"migration {state}")
               for when, state in host.migration_states(since)]
    for when, level, text in host.log.entries(since):
        if level in DAEMON_LEVELS or "holdfast" in text.lower():
            if not NOISE.search(text):
                entries.append((when, f"{host.name} daemon", f"{level}: {text}"))
    for record in host.records(since=since):
        if record.get("interface", "").startswith("org.freedesktop."):
            continue  # properties and objects say again what the signals say
        entries.append((record["time"], f"{host.name} {record['kind']}", _describe(record)))
    return entries


def _describe(record):
    if record["kind"] == "lifecycle":
        return f"{record['domain']}: {record['event']} {record['detail']}"
    if record["kind"] == "signal":
        return f"{record['interface']}.{record['member']} {record['args']} of {record['path']}"
    if record["kind"] == "recorder":
        return f"{record['source']} " + ("connected" if record["connected"] else "lost")
    return str({k: v for k, v in record.items() if k not in ("time", "kind")})


def _of_console(host, guest):
    source = f"{host.name} guest"
    entries = [(when, source, line) for when, line in guest.console(host)
               if line and not line.startswith("HB ")]
    beats = guest.heartbeats(host)
    for index, (when, beat) in enumerate(beats):
        first, last = index == 0, index == len(beats) - 1
        stalled = not first and when - beats[index - 1][0] > 1.0
        if first or last or stalled:
            after = f" after {when - beats[index - 1][0]:.1f} s of silence" if stalled else ""
            entries.append((when, source, f"heartbeat {beat['seq']} errors={beat['errors']}{after}"))
    return entries


def _save(directory, name, text):
    with open(os.path.join(directory, name), "w", encoding="utf-8") as f:
        f.write(text)


def _save_host(lab, host, directory):
    for daemon in filter(None, (host.daemon, host.daemon.proxy)):
        source = host.path(host.log_file(daemon))
        if os.path.exists(source):
            name = "daemon" if daemon is host.daemon else daemon.label
            shutil.copy(source, os.path.join(directory, f"{host.name}-{name}.log"))
    for daemon in filter(None, (host.daemon, host.daemon.proxy, host.bus)):
        _save(directory, f"{host.name}-{daemon.label}.out", daemon.printed)
    _save(directory, f"{host.name}-qmp.log", "".join(
        f"{clock(when)} {kind:5} {json.dumps(message)}\n" for when, kind, message in host.qmp_log()))
    _save(directory, f"{host.name}-states.txt", "".join(
        f"{clock(when)} {state}\n" for when, state in host.migration_states()))
    for kind in ("lifecycle", "job-completed", "signal"):
        _save(directory, f"{host.name}-{kind}.txt", "".join(
            f"{clock(r['time'])} {_describe(r)}\n" for r in host.records(kind)))
    _save(directory, f"{host.name}-network.txt", lab.net.rules(host))
    commands = [("list", "--all")]
    for guest in lab.guests:
        commands += [("domstate", guest.name, "--reason"), ("dominfo", guest.name),
                     ("domjobinfo", guest.name), ("dumpxml", guest.name)]
        _save(directory, f"{host.name}-{guest}-console.txt", "".join(
            f"{clock(when)} {line}\n" for when, line in guest.console(host)))
        _save(directory, f"{host.name}-{guest}-qemu.log",
              host.read(f"/var/log/libvirt/qemu/{guest}.log"))
    _save(directory, f"{host.name}-virsh.txt", "\n".join(
        str(host.virsh(*words, check=False, timeout=5)) for words in commands))


def write(lab, directory, failure=""):
    """Writes the bundle -> the end of the timeline as text, for the terminal."""
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory)
    lines = [f"{clock(when)}  {source:<16} {text}" for when, source, text in
             timeline(lab, lab.epoch)]
    _save(directory, "timeline.txt", "\n".join(lines) + "\n")
    _save(directory, "failure.txt", failure)
    for background in lab.backgrounds:
        _save(directory, f"{background.label.replace('/', '_').replace(' ', '-')}"
                         f"-{int(background.started * 1000) % 1000000}.txt", str(background) + "\n")
    for host in lab.hosts:
        _save_host(lab, host, directory)
    cut = len(lines) - ESSENTIAL_LINES
    head = [f"({cut} earlier lines are in timeline.txt)"] if cut > 0 else []
    shown = head + [line if len(line) < 220 else line[:217] + "..."
                    for line in lines[-ESSENTIAL_LINES:]]
    return "\n".join(shown + [f"bundle: {directory}"])
