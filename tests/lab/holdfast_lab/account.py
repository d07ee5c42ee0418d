# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a migration looked like from outside, in a form in which two can be compared."""
import re

# What libvirt tells QEMU that makes one migration differ from another. Queries and what the
# watching of guests sends at any time are left out.
COMMANDS = ("migrate-set-capabilities", "migrate-set-parameters", "migrate", "migrate-incoming",
            "migrate-start-postcopy", "migrate-continue", "migrate_cancel", "migrate-pause",
            "migrate-recover", "nbd-server-start", "nbd-server-stop", "block-export-add",
            "blockdev-mirror", "blockdev-add", "blockdev-del", "object-add", "object-del",
            "client_migrate_info", "cont", "stop")
# Holdfast's own word before the switch, which shortens nothing that anybody sees (driver/stock).
OURS = ("migrate-set-parameters", {"downtime-limit": 0})
# Comes before or after libvirt's own word, as it happens.
INCIDENTAL = ("Shutdown On host request",)


def plain(text):
    """Text without what differs from run to run: the lab's name, ports, numbers of requests."""
    text = re.sub(r"/var/tmp/[^/'\"]+", "LAB", text)
    text = re.sub(r":491\d\d\b", ":PORT", text)
    text = re.sub(r"libvirt-\d+", "libvirt-N", text)
    return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID", text)


def commands(host, since):
    """What the daemon sent to QEMU, in order."""
    found = []
    for _, kind, message in host.qmp_log(since):
        name = message.get("execute") or message.get("exec-oob")
        if kind == "send" and name in COMMANDS:
            arguments = message.get("arguments", {})
            if (name, arguments) == OURS:
                continue
            found.append(plain(f"{name} {sorted(arguments.items())}"))
    return found


def domains(host):
    """Every domain there: state with its reason, whether persistent, and both titles."""
    found = {}
    for name in host.domains():
        titles = [host.virsh("desc", name, "--title", which, check=False).stdout.strip()
                  for which in ("--live", "--config")]
        found[name] = (host.domain_state(name, reason=True), host.is_persistent(name), *titles)
    return found


def account(migration, since):
    """All that a client and the listeners on both hosts saw of a migration that has ended, and
    what was said to both QEMUs -> a dictionary."""
    told = {"exit": migration.returncode, "said": plain(migration.output)}
    for role, host in (("source", migration.source), ("destination", migration.destination)):
        events = [f"{r['domain']}: {r['event']} {r['detail']}"
                  for r in host.records("lifecycle", since)]
        told[f"{role}'s events"] = [text for text in events if not text.endswith(INCIDENTAL)]
        told[f"{role}'s jobs"] = [(r["domain"], r["params"].get("operation"))
                                  for r in host.records("job-completed", since)]
        told[f"{role}'s domains"] = domains(host)
        told[f"{role}'s QMP"] = commands(host, since)
    return told


def differences(one, other):
    """Where two accounts differ, for a person; '' if they do not."""
    return "\n".join(f"{key}:\n    {one[key]}\n    {other[key]}"
                     for key in one if one[key] != other[key])
