#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""virsh-migrate-status.py: what migrate-status shows of what the daemon says, and whom migrate-pause
pauses.

Runs them on libvirt's test driver; statistics, job and the pause itself come from fake-status.c.
"""

import json
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

STATUS = os.environ['MIGRATE_STATUS']
PAUSE = os.environ['MIGRATE_PAUSE']
FAKE = os.environ['FAKE_STATUS_LIBRARY']
UUID = '6695eb01-f6a4-8304-79aa-97f2502e193f'  # of the test driver's domain "test"
OURS, ENFORCE, POSTCOPY = 1 << 31, 1 << 31, 1 << 0

MIGRATED = [('setup', 1000, ''), ('precopy-active', 1500, ''), ('switchover', 4000, ''),
            ('postcopy-active', 4100, '')]
PAUSED = MIGRATED + [('postcopy-paused', 7000, 'network')]
RECOVERED = PAUSED + [('postcopy-recover-setup', 9000, ''), ('postcopy-recover', 9010, ''),
                      ('postcopy-active', 9050, '')]


def answer(history, role='source', peer='b', now=10000, **more):
    """One answer of the daemon."""
    fields = {'id s': 'an-id', 'role s': role, 'state s': history[-1][0], 'now-ms l': now,
              'started-at-ms l': 1000, 'pauses u': 0, 'recoveries u': 0, 'attempts u': 0,
              'paused-ms l': 0, 'last-outage-ms l': 0, 'history.count u': len(history)}
    if peer:
        fields['peer s'] = peer
    if history[-1][2]:
        fields['reason s'] = history[-1][2]
    for number, (state, at, reason) in enumerate(history):
        fields[f'history.{number}.state s'] = state
        fields[f'history.{number}.at-ms l'] = at
        if reason:
            fields[f'history.{number}.reason s'] = reason
    types = {'paused_at_ms': 'l', 'next_attempt_at_ms': 'l', 'recovers_itself': 'b',
             'message': 's', 'paused_ms': 'l', 'last_outage_ms': 'l'}
    for name, value in more.items():
        fields[f'{name.replace("_", "-")} {types.get(name, "u")}'] = value
    return ''.join(f'holdfast.{name} {value}\n' for name, value in fields.items())


def environment(script, log, **env):
    # A sanitizer of the build insists on coming first; FAKE is built without.
    options = os.environ.get('ASAN_OPTIONS', '')
    return {'ASAN_OPTIONS': f'{options}:verify_asan_link_order=0'.lstrip(':'),
            'PATH': '/usr/bin:/bin', 'LC_ALL': 'C', 'TZ': 'UTC', 'FAKE_STATUS': script,
            'FAKE_LOG': log, 'VIRSH_DEFAULT_CONNECT_URI': 'test:///default', 'LD_PRELOAD': FAKE,
            **env}


class Daemon:
    """The answers of a daemon, in order."""

    def __init__(self, *answers):
        self.dir = tempfile.TemporaryDirectory(prefix='holdfast-status-')
        self.script = os.path.join(self.dir.name, 'script')
        self.log = os.path.join(self.dir.name, 'log')
        pathlib.Path(self.script).write_text('--\n'.join(answers))
        pathlib.Path(self.log).touch()

    def environment(self, **env):
        return environment(self.script, self.log, **env)

    def run(self, command, *args, **env):
        return subprocess.run([command, *args], env=self.environment(**env), capture_output=True,
                              encoding='utf-8', stdin=subprocess.DEVNULL, timeout=30)

    def asked(self):
        return pathlib.Path(self.log).read_text().splitlines()


def expect(actual, expected):
    assert actual == expected, f'expected {expected!r}, got {actual!r}'


def rows(text):
    """{name: value} of the lines above the history, and the history."""
    above, _, history = text.partition('History:\n')
    return ({line[:11].strip(): line[12:] for line in above.splitlines()},
            [line for line in history.splitlines() if line])


def test_details():
    daemon = Daemon(answer(PAUSED, pauses=2, recoveries=1, attempts=3, paused_at_ms=7000,
                           recovers_itself=1, next_attempt_at_ms=12500, paused_ms=2500,
                           last_outage_ms=2500, message='no route to host'))
    done = daemon.run(STATUS, 'test', FAKE_JOB='4294967296 1073741824')
    expect((done.returncode, done.stderr), (0, ''))
    above, history = rows(done.stdout)
    expect(above, {
        'Domain:': 'test', 'Migration:': 'an-id', 'Side:': 'source, to b',
        'Started:': '1970-01-01 00:00:01.000', 'State:': 'postcopy-paused (network), for 3.0 s',
        'Memory:': '[###############-----] 75 %, 1.0 GiB of 4.0 GiB left',
        'Pauses:': '2, recovered from 1 after 2.5 s in all (2.5 s the last); this one lasts for '
                   '3.0 s',
        'Recovery:': 'by itself; next attempt in 2.5 s; attempts so far: 3',
        'Message:': 'no route to host'})
    expect([line.split() for line in history], [
        ['1970-01-01', '00:00:01.000', 'setup', '0.5', 's'],
        ['1970-01-01', '00:00:01.500', 'precopy-active', '2.5', 's'],
        ['1970-01-01', '00:00:04.000', 'switchover', '0.1', 's'],
        ['1970-01-01', '00:00:04.100', 'postcopy-active', '2.9', 's'],
        ['1970-01-01', '00:00:07.000', 'postcopy-paused', '(network)']])
    expect(daemon.asked(), [f'one stats={OURS:#x} flags={ENFORCE:#x}'])


def test_who_has_to_act():
    operator = MIGRATED + [('postcopy-paused', 7000, 'operator')]
    cases = [
        (answer(PAUSED, paused_at_ms=7000, recovers_itself=1), 'by itself; being tried now'),
        (answer(operator, paused_at_ms=7000, recovers_itself=0),
         'waits for a person: virsh migrate-recover test'),
        (answer(operator, role='destination', paused_at_ms=7000, recovers_itself=0),
         'waits for a person, at the source host'),
        (answer(PAUSED, role='destination', peer='a', paused_at_ms=7000, recovers_itself=1),
         'by itself, when the source host calls'),
        (answer(RECOVERED, pauses=1, recoveries=1), None),
    ]
    for text, expected in cases:
        above, _ = rows(Daemon(text).run(STATUS, 'test').stdout)
        expect(above.get('Recovery:'), expected)


def test_json():
    daemon = Daemon(answer(PAUSED, pauses=1, paused_at_ms=7000, recovers_itself=1,
                           message='say "no"\\ \x01 \N{GREEK SMALL LETTER OMEGA}'))
    done = daemon.run(STATUS, 'test', '--json', FAKE_JOB='4096 1024')
    expect((done.returncode, done.stderr), (0, ''))
    one = json.loads(done.stdout)
    expect(one['history'], [{'state': state, 'at-ms': at, **({'reason': reason} if reason else {})}
                            for state, at, reason in PAUSED])
    del one['history']
    expect(one, {
        'domain': 'test', 'uuid': UUID, 'id': 'an-id', 'role': 'source', 'reason': 'network',
        'state': 'postcopy-paused', 'peer': 'b', 'now-ms': 10000, 'started-at-ms': 1000,
        'message': 'say "no"\\ \x01 \N{GREEK SMALL LETTER OMEGA}', 'pauses': 1, 'recoveries': 0,
        'attempts': 0, 'paused-at-ms': 7000, 'recovers-itself': True, 'paused-ms': 0,
        'last-outage-ms': 0, 'total-bytes': 4096, 'remaining-bytes': 1024})


def test_bitmaps():
    fields = {'count': 'u 3'}
    bitmaps = [('bitmap', 'vda', 'monday', 'repair', 'it is right: more or less'),
               ('bitmap', 'libvirt-3-format', 'monday', 'drop', 'it is worthless'),
               ('checkpoint', '', 'monday', 'carry', 'it is known there')]
    for number, values in enumerate(bitmaps):
        for name, value in zip(('kind', 'disk', 'name', 'decision', 'reason'), values):
            if value:
                fields[f'{number}.{name}'] = f's {value}'
        fields[f'{number}.at-ms'] = f'l {5000 + number}'
    text = answer(MIGRATED[:2] + [('failed', 9900, '')])
    text += ''.join(f'holdfast.bitmaps.{name} {value}\n' for name, value in fields.items())
    shown = [line for line in Daemon(text).run(STATUS, 'test').stdout.splitlines()
             if line.startswith(('Bitmap:', 'Checkpoint:'))]
    expect(shown, ['Bitmap:     vda monday: repair: it is right: more or less',
                   'Bitmap:     libvirt-3-format monday: drop: it is worthless',
                   'Checkpoint: monday: carry: it is known there'])
    one = json.loads(Daemon(text).run(STATUS, 'test', '--json').stdout)
    expect(one['bitmaps'][0], {'kind': 'bitmap', 'disk': 'vda', 'name': 'monday',
                               'decision': 'repair', 'reason': 'it is right: more or less',
                               'at-ms': 5000})
    expect(one['bitmaps'][2], {'kind': 'checkpoint', 'name': 'monday', 'decision': 'carry',
                               'reason': 'it is known there', 'at-ms': 5002})
    expect('bitmaps' in json.loads(Daemon(answer(MIGRATED)).run(STATUS, 'test', '--json').stdout),
           False)


def test_all():
    over = RECOVERED + [('completed', 9900, '')]
    for text, args, found in ((answer(PAUSED), [], 1), (answer(over), [], 0),
                              (answer(over), ['--all'], 1), ('none\n', ['--all'], 0),
                              ('', ['--all'], 0)):
        daemon = Daemon(text)
        done = daemon.run(STATUS, '--json', *args)
        expect((done.returncode, done.stderr), (0, ''))
        expect(len(json.loads(done.stdout)), found)
        expect(daemon.asked(), [f'all stats={OURS:#x} flags={ENFORCE:#x}'])
        table = daemon.run(STATUS, *args).stdout.splitlines()
        expect(table[0].split(), ['Domain', 'Side', 'State', 'Pauses', 'Other', 'host'])
        expect(len([line for line in table[2:] if line.startswith(' test ')]), found)


def test_a_domain_that_has_left():
    """By its name, UUID and former id; the daemon alone remembers it."""
    over = RECOVERED + [('completed', 9900, '')]
    for which in ('test', UUID, UUID.upper(), '1'):
        daemon = Daemon(answer(over))
        done = daemon.run(STATUS, which, '--json', FAKE_GONE='1')
        expect((done.returncode, done.stderr), (0, ''))
        expect(json.loads(done.stdout)['state'], 'completed')
        expect(daemon.asked(), [f'{what} stats={OURS:#x} flags={ENFORCE:#x}'
                                for what in ('all', 'one')])
        watched = daemon.run(STATUS, which, '--watch', FAKE_GONE='1', VIRSH_PLUGIN_QUIET='1')
        expect((watched.returncode, watched.stdout.splitlines()), (0, lines_of(over)))
    refused = 'error 38 the line is dead\n'
    for which, text in (('nosuch', answer(over)), ('2', answer(over)), ('test', 'none\n'),
                        ('test', ''), ('test', refused)):
        done = Daemon(text).run(STATUS, which, FAKE_GONE='1')
        expect((done.returncode, done.stderr), (1, f"error: failed to get domain '{which}'\n"))


def test_nothing_to_show():
    for text in ('none\n', ''):
        for args in ([], ['--json'], ['--watch']):
            done = Daemon(text).run(STATUS, 'test', *args)
            expect(done.returncode, 2)
            expect(done.stderr, "error: no migration of domain 'test' is known on this host\n")
            expect(done.stdout.strip(), '')


def test_errors():
    stock = 'error 74 argument unsupported: Stats types bits 0x80000000 are not supported\n'
    for command in (STATUS, PAUSE):
        done = Daemon(stock).run(command, 'test', FAKE_ABORT='ok')
        expect(done.returncode, 1)
        first, second = done.stderr.splitlines()
        assert first.startswith("error: the libvirt daemon at 'test:///default' runs without "
                                'Holdfast'), first
        assert second.endswith('are not supported'), second
        done = Daemon('error 38 the line is dead\n').run(command, 'test', FAKE_ABORT='ok')
        expect((done.returncode, done.stderr), (1, 'error: the line is dead\n'))
        done = Daemon('').run(command, 'nosuch', FAKE_ABORT='ok')
        expect((done.returncode, done.stderr), (1, "error: failed to get domain 'nosuch'\n"))
    done = Daemon('').run(STATUS, 'test', '--all')
    expect((done.returncode, done.stderr),
           (1, 'error: options --domain and --all are mutually exclusive\n'))
    done = Daemon('').run(STATUS, 'test', '--json=yes')
    expect((done.returncode, done.stderr), (1, "error: invalid '=' after option --json\n"))


def lines_of(history):
    return [f'1970-01-01 00:00:0{at // 1000}.{at % 1000:03d} test: {state}'
            + (f' ({reason})' if reason else '') for state, at, reason in history]


def test_watch_tells_every_step_once():
    over = RECOVERED + [('completed', 9900, '')]
    # what came and went between two questions is told too; a history forgets its beginning
    daemon = Daemon(answer(MIGRATED[:2]), answer(MIGRATED[:2]), answer(PAUSED[2:]), 'none\n',
                    answer(over[4:]))
    done = daemon.run(STATUS, 'test', '--watch', VIRSH_PLUGIN_QUIET='1')
    expect((done.returncode, done.stderr), (0, ''))
    # the third answer knew nothing of what had been told: it is told whole
    expect(done.stdout.splitlines(), lines_of(over))
    expect(len(daemon.asked()), 5)
    done = Daemon(answer(PAUSED), answer(over)).run(STATUS, '--watch', '--json',
                                                    VIRSH_PLUGIN_QUIET='1')
    expect([json.loads(line)['state'] for line in done.stdout.splitlines()],
           ['postcopy-paused', 'completed'])


def test_watch_ends_as_the_migration_does():
    cases = [('completed', 0), ('failed', 3), ('cancelled', 3)]
    for state, code in cases:
        over = answer(MIGRATED + [(state, 9900, '')])
        expect(Daemon(answer(MIGRATED), over).run(STATUS, 'test', '--watch').returncode, code)
        expect(Daemon(over).run(STATUS, 'test', '--watch').returncode, code)
        # of all, those that were over before are not what is waited for
        expect(Daemon(over).run(STATUS, '--all', '--watch').returncode, 0)
        expect(Daemon(answer(MIGRATED), over).run(STATUS, '--watch').returncode, code)
    done = Daemon(answer(MIGRATED), 'none\n').run(STATUS, 'test', '--watch')
    expect(done.returncode, 2)


def test_watch_on_a_terminal():
    daemon = Daemon(answer(MIGRATED), answer(PAUSED, paused_at_ms=7000, recovers_itself=1))
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(STATUS, [STATUS, 'test', '--watch'], daemon.environment())
    seen, end = '', time.monotonic() + 20
    while 'being tried now' not in seen:
        ready, _, _ = select.select([fd], [], [], max(0, end - time.monotonic()))
        assert ready, seen
        seen += os.read(fd, 4096).decode()
    # what stood there is overwritten: as many lines up as were shown
    first, _, second = seen.partition('\x1b[')
    rows_up, _, _ = second.partition('A')
    expect(int(rows_up), first.count('\n'))
    assert second.startswith(f'{rows_up}A\x1b[J'), repr(second)
    os.write(fd, b'\x03')
    _, status = os.waitpid(pid, 0)
    os.close(fd)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGINT, status


def test_pause():
    over = MIGRATED + [('completed', 9900, '')]
    cases = [
        (answer(MIGRATED), 'ok', None),
        (answer(PAUSED, paused_at_ms=7000), 'ok', None),
        (answer(MIGRATED), '55 it is not so', "the migration of domain 'test' was not paused"),
        ('', 'ok', "domain 'test' has no migration under way on this host; connect to the source "
                   'host of the migration'),
        (answer(over), 'ok', "domain 'test' has no migration under way on this host; connect to "
                             'the source host of the migration'),
        (answer(MIGRATED, role='destination', peer='a'), 'ok',
         "domain 'test' is coming to this host; pause its migration on the source host, a"),
        *((answer(MIGRATED[:n]), 'ok',
           f"the migration of domain 'test' is not in post-copy ({MIGRATED[n - 1][0]}) and cannot "
           "be paused; 'virsh migrate-postcopy test' switches to post-copy, 'virsh domjobabort "
           "test' ends the migration") for n in (1, 2, 3)),
    ]
    for text, abort, message in cases:
        daemon = Daemon(text)
        done = daemon.run(PAUSE, 'test', FAKE_ABORT=abort)
        asked = f'abort flags={POSTCOPY:#x}' in daemon.asked()
        if message is None:
            expect((done.returncode, done.stdout, done.stderr),
                   (0, "Migration of domain 'test' paused; 'virsh migrate-recover test' takes it "
                       'up again\n\n', ''))
            assert asked
        else:
            expect((done.returncode, done.stderr.splitlines()[0]), (1, f'error: {message}'))
            expect(asked, abort != 'ok')
    expect(Daemon(answer(MIGRATED)).run(PAUSE, 'test', FAKE_ABORT='ok',
                                        VIRSH_PLUGIN_QUIET='1').stdout, '')


def test_log_file():
    """virsh -l: what was reported is in the file, in virsh's form."""
    daemon = Daemon('')
    log = os.path.join(daemon.dir.name, 'virsh.log')
    for _ in range(2):
        daemon.run(STATUS, 'test', VIRSH_PLUGIN_LOG=log)
    lines = pathlib.Path(log).read_text().splitlines()
    expect(len(lines), 2)
    assert lines[0].startswith('[') and ' virsh ' in lines[0] and lines[0].endswith(
        "] ERROR no migration of domain 'test' is known on this host"), lines
    done = daemon.run(STATUS, 'test', VIRSH_PLUGIN_LOG='/nonexistent/log')
    expect((done.returncode, done.stderr),
           (1, 'error: failed to open the log file. check the log file path\n'))


def test_help_and_completion():
    for command, options in ((STATUS, ['--domain', '--all', '--watch', '--json']),
                             (PAUSE, ['--domain'])):
        done = Daemon('').run(command, '--help')
        expect(done.returncode, 0)
        for option in options[1:]:
            assert option in done.stdout, done.stdout
        done = Daemon('').run(command, '', VIRSH_PLUGIN_COMPLETE='1')
        expect(done.stdout.split(), options + ['test'])
    for words, expected in ((['--json', 'te'], ['test']), (['test', '--w'], ['--watch']),
                            (['--watch', ''], ['--domain', '--all', '--json', 'test'])):
        done = Daemon('').run(STATUS, *words, VIRSH_PLUGIN_COMPLETE='1')
        expect(done.stdout.split(), expected)


tap.main(tap.cases_of(globals()))
