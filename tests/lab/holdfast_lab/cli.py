# SPDX-License-Identifier: LGPL-2.1-or-later
"""The lab by hand: up, down, shell, status, cut, restore, clean."""
import argparse
import os
import signal
import subprocess
import sys
import tempfile

from . import clean
from .lab import Lab, LabError, default_prefix
from .network import NETWORKS

WELCOME = """\
Two hosts are up, and a guest runs on a. On each host:
  a WORDS, b WORDS         virsh there, as: a list;  a migrate guest {uri} --live --p2p
  on a COMMAND             any command there, as: on b busctl monitor org.holdfast.Migration1
  lab cut migration        cut a network (drop, reset, down, unplug);  lab restore
  console a                the guest's console
The destination b is {uri} . Leave with exit: everything goes.
"""

RC = """\
[ -r ~/.bashrc ] && . ~/.bashrc
PS1='lab:\\w# '
{functions}
on() {{ local host=$1; shift; case $host in {cases} *) echo "on a|b COMMAND" >&2;; esac; }}
console() {{ tail -f {directory}/"$1"/log/qemu/guest.console; }}
lab() {{ PYTHONPATH={package} HOLDFAST_LAB_PREFIX={prefix} {python} -m holdfast_lab "$@"; }}
"""


def rc_text(lab):
    functions = "\n".join(f"{host.name}() {{ {' '.join(host.enter + host.virsh_command)} \"$@\"; }}"
                          for host in lab.hosts)
    cases = " ".join(f"{host.name}) {' '.join(host.enter)} \"$@\";;" for host in lab.hosts)
    return RC.format(functions=functions, cases=cases, directory=lab.directory,
                     package=os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                     prefix=lab.prefix, python=sys.executable)


def raise_exit(number, _frame):
    sys.exit(128 + number)


def up(_options):
    lab = Lab(keep=True)
    lab.up()
    lab.guest().start(lab.a)
    print(f"lab {lab.prefix} is up; take it down with: lab down")


def shell(_options):
    with Lab() as lab:
        print("hosts are up, the guest boots ...", flush=True)
        lab.guest().start(lab.a)
        print(WELCOME.format(uri=lab.b.uri()), flush=True)
        with tempfile.NamedTemporaryFile("w", suffix=".rc") as rc:
            rc.write(rc_text(lab))
            rc.flush()
            # Ctrl-C is for what runs in the shell, not for the lab.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            subprocess.run(["bash", "--rcfile", rc.name, "-i"], check=False,
                           preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))


def status(_options):
    lab = Lab.attach()
    for host in lab.hosts:
        daemon = f"pid {host.daemon.pid}" if host.daemon.alive else "not running"
        print(f"{host.name}  {host.daemon.server} {daemon}  {host.uri()}  log {host.log.path}")
        print(host.virsh("list", "--all", check=False).stdout.rstrip())
        print(lab.net.rules(host).rstrip())


def cut(options):
    Lab.attach().net.cut(options.network, options.how, options.port)


def restore(_options):
    Lab.attach().net.restore_everything()


def take_down(_options):
    clean.clean(default_prefix())


def clean_up(_options):
    clean.clean_family(default_prefix())


def main():
    parser = argparse.ArgumentParser(
        prog="lab", description="Two libvirt hosts in namespaces, and a guest with a witness. "
        "HOLDFAST_LAB_PREFIX names the lab, HOLDFAST_MODULE_DIR the daemons' modules.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, function, text in (
            ("up", up, "start the hosts and the guest, and leave them"),
            ("down", take_down, "take the lab down"),
            ("shell", shell, "a shell in a lab of its own; the lab goes with it"),
            ("status", status, "what is up, and where"),
            ("restore", restore, "undo every cut"),
            ("clean", clean_up, "take away what a killed lab left")):
        commands.add_parser(name, help=text).set_defaults(function=function)
    cutting = commands.add_parser("cut", help="break a network")
    cutting.add_argument("network", choices=[*NETWORKS, "all"], nargs="?", default="migration")
    cutting.add_argument("how", choices=["drop", "reset", "down", "unplug"], nargs="?",
                         default="drop")
    cutting.add_argument("--port", help="only this TCP port, or range")
    cutting.set_defaults(function=cut)
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, raise_exit)
    try:
        options.function(options)
    except LabError as error:
        sys.exit(f"lab: {error}")
