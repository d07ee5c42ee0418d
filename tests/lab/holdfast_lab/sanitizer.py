# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the sanitizers of a daemon have to say; `./run test --sanitize --suite lab` brings them in.

They write a file for each process, when they find something and when the process ends with memory
that nobody can reach any more. libvirt and the libraries have leaks of their own: those count that
were allocated by code of ours, or by what it called.
"""
import glob
import os
import re

LOG = "/var/log/libvirt/sanitizer"  # the log_path of ASAN_OPTIONS and UBSAN_OPTIONS

LEAKS = "ERROR: LeakSanitizer"
LEAK = re.compile(r"^(?:Direct|Indirect) leak of .*?\n\n", re.M | re.S)
OURS = re.compile(r" in \w+ (?:\.\./)+driver/|holdfast-driver\.so|holdfast-hooks-\w+\.so")
# The name of the API that holds an asynchronous job is made anew in each phase, and only the last
# is freed (qemuDomainObjStartJobPhase() in qemu_domainjob.c, libvirt 11.3.0).
LIBVIRTS = re.compile(r"in g_strdup .*\n.* in (?:qemuDomainObjStartJobPhase|"
                      r"virDomainObjBeginJobInternal) ")


def findings(text):
    """Those in a sanitizer's file that are of our making: a list of texts."""
    if LEAKS not in text:
        return [text] if text.strip() else []
    before, _, leaks = text.partition(LEAKS)
    found = [leak for leak in LEAK.findall(leaks + "\n\n")
             if OURS.search(leak) and not LIBVIRTS.search(leak)]
    # What it found before the process ended.
    return ([before] if "ERROR" in before or "runtime error" in before else []) + found


def at_work():
    return f"log_path={LOG}" in os.environ.get("ASAN_OPTIONS", "")


def end_daemons(lab):
    """As a service is stopped, so that they look for leaks."""
    for host in lab.hosts:
        host.kill_qemus()
    for host in lab.hosts:
        if host.daemon.alive:
            host.daemon.cont()
            host.daemon.terminate()


def take(host):
    """All findings of this host's daemons, once."""
    found = []
    for path in sorted(glob.glob(glob.escape(host.path(LOG)) + ".*")):
        with open(path, encoding="utf-8", errors="replace") as f:
            found += [f"host {host.name}: {text}" for text in findings(f.read())]
        os.rename(path, path.replace("sanitizer.", "sanitizer-seen."))
    return found
