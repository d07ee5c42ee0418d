#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""virsh-launcher.py: the launcher is the real virsh for everything but our commands.

A fake virsh and fake commands write down how they were called.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import tap

LAUNCHER = os.environ['VIRSH_LAUNCHER']

# Prints its name, every argument in brackets and the options that were handed over.
RECORDER = '''#!/bin/sh
printf '%s' "NAME"
for a in "$@"; do printf ' [%s]' "$a"; done
echo
env | grep '^VIRSH_' | sort
exit ${FAKE_EXIT:-0}
'''


class Place:
    """A folder with the launcher (in bin/), a fake stock virsh and a fake virsh-greet."""

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix='holdfast-launcher-'))
        for folder in ('bin', 'stock', 'commands'):
            (self.dir / folder).mkdir()
        shutil.copy2(LAUNCHER, self.dir / 'bin' / 'virsh')
        self.add('stock/virsh', RECORDER.replace('NAME', 'stock'))
        self.add('commands/virsh-greet', RECORDER.replace('NAME', 'greet'))
        self.path = ':'.join(str(self.dir / f) for f in ('bin', 'stock', 'commands'))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.dir)

    def add(self, name, text):
        (self.dir / name).write_text(text)
        (self.dir / name).chmod(0o755)

    def environment(self, **env):
        return {'PATH': self.path + ':/usr/bin:/bin', 'LC_ALL': 'C', **env}

    def virsh(self, *args, stdin='', **env):
        return subprocess.run([self.dir / 'bin' / 'virsh', *args], env=self.environment(**env),
                              input=stdin, capture_output=True, text=True, timeout=20)


def expect(actual, expected):
    assert actual == expected, f'expected {expected!r}, got {actual!r}'


def test_arguments_reach_the_stock_virsh_unchanged():
    cases = [
        [], ['list'], ['list', '--all'], ['-c', 'test:///default', 'list'],
        ['domxml', ''], ['echo', 'a b', '  ', '*', '"', "'", '\n', '--', '-x'],
        ['--version'], ['-v'], ['--version=long'], ['-V'], ['-h'], ['--help'], ['--nonsense'],
        ['-c'], ['list; quit'], ['greet; list'], ['greet x'], ['./greet'], ['../commands/greet'],
        ['-q', '-q'], ['--', 'list'], ['ünïcode', '€'],
    ]
    with Place() as place:
        for args in cases:
            done = place.virsh(*args)
            expect(done.stdout, 'stock' + ''.join(f' [{a}]' for a in args) + '\n')
            expect((done.returncode, done.stderr), (0, ''))


def test_commands_get_their_arguments_unchanged():
    with Place() as place:
        for args in ([], [''], ['a b', '', '--help', '-c', 'x', '--', '$HOME', '\n']):
            done = place.virsh('greet', *args)
            expect(done.stdout, 'greet' + ''.join(f' [{a}]' for a in args) + '\n')


def test_options_before_the_command_are_handed_over():
    cases = [
        (['-c', 'u:///'], ['VIRSH_DEFAULT_CONNECT_URI=u:///']),
        (['-cu:///'], ['VIRSH_DEFAULT_CONNECT_URI=u:///']),
        (['--connect', 'u:///'], ['VIRSH_DEFAULT_CONNECT_URI=u:///']),
        (['--connect=u:///'], ['VIRSH_DEFAULT_CONNECT_URI=u:///']),
        (['--conn=u:///'], ['VIRSH_DEFAULT_CONNECT_URI=u:///']),
        (['-c', 'greet'], ['VIRSH_DEFAULT_CONNECT_URI=greet']),
        (['-c', 'a', '-c', 'b'], ['VIRSH_DEFAULT_CONNECT_URI=b']),
        (['-qr'], ['VIRSH_PLUGIN_QUIET=1', 'VIRSH_PLUGIN_READONLY=1']),
        (['--quiet', '--timing'], ['VIRSH_PLUGIN_QUIET=1', 'VIRSH_PLUGIN_TIMING=1']),
        (['-k', '3', '-K4'],
         ['VIRSH_PLUGIN_KEEPALIVE_COUNT=4', 'VIRSH_PLUGIN_KEEPALIVE_INTERVAL=3']),
        (['-d', '0', '-l', '/f', '-e', '^]'],
         ['VIRSH_PLUGIN_DEBUG=0', 'VIRSH_PLUGIN_ESCAPE=^]', 'VIRSH_PLUGIN_LOG=/f']),
    ]
    with Place() as place:
        for options, handed in cases:
            done = place.virsh(*options, 'greet', '-q')
            expect(done.stdout.splitlines(), ['greet [-q]', *handed])


def test_a_value_that_virsh_refuses_is_virshs_to_refuse():
    bad = [['-d', 'x'], ['--debug='], ['-d', '1.5'], ['-k', '-1'], ['-k', 'soon'], ['-K', '0x'],
           ['-k', '99999999999'], ['-e', ''], ['-e', '^'], ['-e', '^1'], ['-e', 'ab'],
           ['-e', '^]x']]
    good = [['-d', '7'], ['-d', '-1'], ['-k', '0x10'], ['-K', '0'], ['-e', 'a'], ['-e', '^A']]
    with Place() as place:
        for options in bad:
            out = place.virsh(*options, 'greet').stdout
            expect(out.splitlines()[0], ' '.join(['stock', *(f'[{word}]' for word in options),
                                                  '[greet]']))
        for options in good:
            expect(place.virsh(*options, 'greet').stdout.splitlines()[0], 'greet')


def test_the_exit_code_is_that_of_whoever_ran():
    with Place() as place:
        for code in (0, 1, 77, 255):
            for args in (['list'], ['greet'], ['help'], ['help', 'list'], ['complete', '--', 'li']):
                expect(place.virsh(*args, FAKE_EXIT=str(code)).returncode, code)


def test_a_signal_that_ends_virsh_ends_the_launcher():
    with Place() as place:
        place.add('stock/virsh', '#!/bin/sh\nkill -INT $$\n')
        for args in (['list'], ['help'], ['complete', '--', 'li']):
            expect(place.virsh(*args).returncode, -signal.SIGINT)


def test_the_process_and_its_input_become_those_of_virsh():
    with Place() as place:
        place.add('stock/virsh', '#!/bin/sh\necho $$\ncat\n')
        child = subprocess.Popen([place.dir / 'bin' / 'virsh'], env=place.environment(),
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        out, _ = child.communicate('typed\n', timeout=20)
        expect(out, f'{child.pid}\ntyped\n')


def test_help():
    with Place() as place:
        expect(place.virsh('help', 'greet').stdout, 'greet [--help]\n')
        expect(place.virsh('help', '--command', 'greet').stdout, 'greet [--help]\n')
        expect(place.virsh('help', '--command=greet').stdout, 'greet [--help]\n')
        expect(place.virsh('help', 'list').stdout, 'stock [help] [list]\n')
        expect(place.virsh('help', 'a', 'b').stdout, 'stock [help] [a] [b]\n')
        place.add('bin/virsh-migrate-recover', RECORDER.replace('NAME', 'recover'))
        out = place.virsh('help').stdout
        assert out.startswith('stock [help]\n'), out
        assert "(help keyword 'holdfast')" in out and '    migrate-recover  ' in out, out
        out = place.virsh('help', 'holdfast').stdout
        assert 'stock' not in out and 'migrate-recover' in out, out
        out = place.virsh('help', FAKE_EXIT='1').stdout
        assert 'migrate-recover' not in out, out


def test_completion():
    with Place() as place:
        place.add('bin/virsh-migrate-recover', RECORDER.replace('NAME', 'recover'))
        expect(place.virsh('-q', 'complete', '--', 'migrate-re').stdout,
               'stock [-q] [complete] [--] [migrate-re]\nmigrate-recover\n')
        expect(place.virsh('complete', '--', 'help', 'migrate-re').stdout,
               'stock [complete] [--] [help] [migrate-re]\nmigrate-recover\n')
        expect(place.virsh('complete', '--', 'li').stdout, 'stock [complete] [--] [li]\n')
        expect(place.virsh('complete', '--', 'list', '').stdout,
               'stock [complete] [--] [list] []\n')
        expect(place.virsh('-c', 'u:///', 'complete', '--', 'greet', '--a', '').stdout,
               'greet [--a] []\nVIRSH_DEFAULT_CONNECT_URI=u:///\nVIRSH_PLUGIN_COMPLETE=1\n')


def test_where_the_stock_virsh_is_found():
    with Place() as place:
        place.add('named', RECORDER.replace('NAME', 'named'))
        expect(place.virsh('list', HOLDFAST_VIRSH=str(place.dir / 'named')).stdout,
               'named [list]\n')
        (place.dir / 'early').mkdir()
        place.add('early/virsh', RECORDER.replace('NAME', 'early'))
        path = f'{place.dir}/early:{place.path}'
        expect(place.virsh('list', PATH=path + ':/usr/bin:/bin').stdout, 'early [list]\n')
        place.add('bin/virsh.libvirt', RECORDER.replace('NAME', 'diverted'))
        expect(place.virsh('list').stdout, 'diverted [list]\n')


def test_two_launchers_do_not_call_each_other_in_turn():
    with Place() as place:
        (place.dir / 'second').mkdir()
        shutil.copy2(LAUNCHER, place.dir / 'second' / 'virsh')
        (place.dir / 'link').symlink_to(place.dir / 'bin')
        path = ':'.join(f'{place.dir}/{f}' for f in ('bin', 'second', 'link', 'stock'))
        expect(place.virsh('list', PATH=path + ':/usr/bin:/bin').stdout, 'stock [list]\n')


def test_what_is_no_program_is_no_command():
    with Place() as place:
        (place.dir / 'commands' / 'virsh-plain').write_text('not executable')
        (place.dir / 'commands' / 'virsh-folder').mkdir()
        for name in ('plain', 'folder', 'nothing'):
            expect(place.virsh(name).stdout, f'stock [{name}]\n')
        place.add('commands/virsh-broken', '#!/nonexistent/interpreter\n')
        done = place.virsh('broken')
        expect(done.returncode, 127)
        assert done.stderr.startswith("error: cannot run '"), done.stderr


tap.main(tap.cases_of(globals()))
