#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""virsh-migrate-recover.py: what the command asks of the daemon, and what it tells a person.

Runs it on libvirt's test driver; the migration call itself is replaced by fake-migrate.c where its
outcome matters.
"""

import os
import pathlib
import pty
import select
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import tap

COMMAND = os.environ['MIGRATE_RECOVER']
FAKE = os.environ['FAKE_MIGRATE_LIBRARY']
TEST_UUID = '6695eb01-f6a4-8304-79aa-97f2502e193f'  # of the test driver's domain "test"

LIVE, PEER2PEER, POSTCOPY, POSTCOPY_RESUME = 1 << 0, 1 << 1, 1 << 15, 1 << 19
ARGUMENT_UNSUPPORTED, OPERATION_TIMEOUT = 74, 68


def environment(fake=None, log='/dev/null', **env):
    base = {'PATH': '/usr/bin:/bin', 'LC_ALL': 'C',
            'VIRSH_DEFAULT_CONNECT_URI': 'test:///default', **env}
    if fake:
        base.update(FAKE_MIGRATE=fake, FAKE_MIGRATE_LOG=log, LD_PRELOAD=FAKE)
    # A sanitizer of the build insists on coming first; FAKE is built without.
    options = os.environ.get('ASAN_OPTIONS', '')
    return {**base, 'ASAN_OPTIONS': f'{options}:verify_asan_link_order=0'.lstrip(':')}


def run(*args, **env):
    return subprocess.run([COMMAND, *args], env=environment(**env), capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=20)


def call(*args, fake='ok', **env):
    """Runs the command on the double; returns what it did and what it asked of the daemon."""
    with tempfile.NamedTemporaryFile('r', prefix='holdfast-recover-') as log:
        done = run(*args, fake=fake, log=log.name, **env)
        return done, dict(line.rstrip('\n').split('=', 1) for line in log)


def expect(actual, expected):
    assert actual == expected, f'expected {expected!r}, got {actual!r}'


def test_wrong_command_lines_are_refused_before_anything_is_sent():
    cases = [
        ([], "command 'migrate-recover' requires <domain> option"),
        (['test', 'more'], "unexpected data 'more'"),
        (['test', '--nonsense'], "command 'migrate-recover' doesn't support option --nonsense"),
        (['test', '--domain', 'test'], "option --domain already seen"),
        (['test', '--timeout', '1', '--timeout', '2'], 'option --timeout already seen'),
        (['test', '--uri'], 'expected syntax: --uri <string>'),
        (['test', '--timeout'], 'expected syntax: --timeout <number>'),
        *((['test', '--timeout', t],
           f"value '{t}' of option --timeout is not a whole number from 1 to 604800")
          for t in ('0', '-1', '', '1.5', '5s', '604801', '99999999999999999999999')),
        *((['test', '--uri', u], f"value '{u}' of option --uri is not of the form "
           f'tcp://HOST[:PORT]: {why}')
          for u, why in (('tcp://', 'it names no host'),
                         ('unix:///run/x', "its scheme is 'unix'"),
                         ('tcp://h:0', 'its port is out of range'),
                         ('tcp://h/path', 'it has more than a host and a port'),
                         ('tcp://h?a=b', 'it has more than a host and a port'),
                         ('tcp://u@h', 'it has more than a host and a port'))),
        (['test', '--desturi', 'host-b'], "value 'host-b' of option --desturi is not a connection "
         'URI such as qemu+ssh://HOST/system'),
    ]
    for args, message in cases:
        done, asked = call(*args)
        expect(done.stderr, f'error: {message}\n')
        expect((done.returncode, asked), (1, {}))
    for uri in ('', 'host', 'tcp://h:99999', 'tcp://[::1'):
        done, asked = call('test', '--uri', uri)
        assert done.stderr.startswith(f"error: value '{uri}' of option --uri is not"), done.stderr
        expect((done.returncode, asked), (1, {}))


def test_what_is_asked_of_the_daemon():
    flags = str(LIVE | PEER2PEER | POSTCOPY | POSTCOPY_RESUME)
    plain = {'desturi': 'holdfast://session/', 'flags': flags, 'holdfast.wait': 'recovered'}
    cases = [
        (['test'], plain),
        (['1'], plain),
        ([TEST_UUID], plain),
        (['--domain', 'test'], plain),
        (['--domain=test'], plain),
        (['--', 'test'], plain),
        (['test', '--uri', 'tcp://10.0.1.2'], {**plain, 'migrate_uri': 'tcp://10.0.1.2'}),
        (['--uri=tcp://[fe80::1]:49152', 'test'],
         {**plain, 'migrate_uri': 'tcp://[fe80::1]:49152'}),
        (['test', '--timeout', '7'], {**plain, 'holdfast.timeout': '7000'}),
        (['test', '--timeout=604800'], {**plain, 'holdfast.timeout': '604800000'}),
        (['test', '--desturi', 'qemu+tcp://b/system'],
         {**plain, 'desturi': 'qemu+tcp://b/system'}),
    ]
    for args, expected in cases:
        done, asked = call(*args)
        expect(asked, expected)
        expect((done.returncode, done.stdout, done.stderr),
               (0, "Migration of domain 'test' recovered\n\n", ''))


def test_quiet_and_timing():
    done, _ = call('test', VIRSH_PLUGIN_QUIET='1')
    expect((done.returncode, done.stdout, done.stderr), (0, '', ''))
    done, _ = call('test', VIRSH_PLUGIN_TIMING='1')
    assert '(Time: ' in done.stdout, done.stdout


def test_a_daemon_without_holdfast():
    done, _ = call('test', fake=f"{ARGUMENT_UNSUPPORTED} argument unsupported: parameter "
                                "'holdfast.wait' not supported")
    expect(done.returncode, 1)
    expect(done.stderr.splitlines()[0],
           "error: the libvirt daemon at 'test:///default' runs without Holdfast and cannot recover "
           'a migration; install Holdfast there and restart the daemon')


def test_the_daemons_refusal_is_passed_on():
    done, _ = call('test', fake=f'{OPERATION_TIMEOUT} the migration is still paused')
    expect((done.returncode, done.stderr), (1, 'error: the migration is still paused\n'))


def test_a_driver_that_cannot_migrate():
    done = run('test')
    expect(done.returncode, 1)
    first, second = done.stderr.splitlines()
    assert first.startswith("error: the libvirt daemon at 'test:///default' cannot recover"), first
    assert second.startswith('error: '), second


def test_unknown_domain_and_connection():
    done = run('nosuch')
    expect((done.returncode, done.stderr), (1, "error: failed to get domain 'nosuch'\n"))
    done = run('test', VIRSH_DEFAULT_CONNECT_URI='test:///nonexistent-file')
    expect(done.returncode, 1)
    expect(done.stderr.splitlines()[0], 'error: failed to connect to the hypervisor')
    done = run('test', VIRSH_PLUGIN_READONLY='1')
    expect((done.returncode, done.stderr),
           (1, 'error: operation forbidden: read only access prevents virDomainMigrateToURI3\n'))


def test_help():
    for args in (['--help'], ['test', '--help'], ['--help', '--nonsense']):
        done = run(*args)
        expect(done.returncode, 0)
        for heading in ('  NAME\n', '  SYNOPSIS\n', '  DESCRIPTION\n', '  OPTIONS\n'):
            assert heading in done.stdout, done.stdout


def test_completion():
    options = ['--domain', '--uri', '--desturi', '--timeout']
    cases = [
        ([''], options + ['test']),
        (['te'], ['test']),
        (['--u'], ['--uri']),
        (['test', ''], options[1:]),
        (['test', '--uri', ''], []),
        (['--domain', ''], ['test']),
        (['--uri', 'tcp://h', ''], ['--domain', '--desturi', '--timeout', 'test']),
        (['--uri=tcp://h', 'test', '--d'], ['--desturi']),
    ]
    for words, expected in cases:
        done = run(*words, VIRSH_PLUGIN_COMPLETE='1')
        expect((done.stdout.split(), done.stderr, done.returncode), (expected, '', 0))
    done = run('', VIRSH_PLUGIN_COMPLETE='1', VIRSH_DEFAULT_CONNECT_URI='test:///nonexistent-file')
    expect((done.stdout.split(), done.stderr), (options, ''))


def read_until(fd, text, deadline_s=20):
    """What the terminal showed up to and including TEXT."""
    seen, end = '', time.monotonic() + deadline_s
    while text not in seen:
        ready, _, _ = select.select([fd], [], [], max(0, end - time.monotonic()))
        assert ready, f'no {text!r} in {seen!r}'
        seen += os.read(fd, 4096).decode()
    return seen


def test_progress_and_ctrl_c_on_a_terminal():
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(COMMAND, [COMMAND, 'test'], environment(fake='block'))
    read_until(fd, 'Waiting for the network to the destination... ')
    os.write(fd, b'\x03')
    read_until(fd, "error: interrupted; the source host keeps trying to recover the migration of "
                   "domain 'test'")
    _, status = os.waitpid(pid, 0)
    os.close(fd)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGINT, status


tap.main(tap.cases_of(globals()))
