#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""command.py: the program `simulate`, as a person uses it."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import tap

SIMULATE = os.environ['SIMULATE']


def simulate(*arguments):
    return subprocess.run([SIMULATE, *arguments], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=120)


def test_what_was_reached_as_json():
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, 'out.json')
        done = simulate('--schedules', '500', '--seed', '9', '--json', str(file))
        assert done.returncode == 0, done.stdout + done.stderr
        reached = json.loads(file.read_text())
    assert reached['schedules'] == 500 and reached['seed'] == 9, reached
    assert reached['schedules-per-second'] > 0, reached
    assert sum(reached['endings'].values()) == 500, reached['endings']
    assert reached['source']['postcopy-active'] > 0, reached
    assert 'schedules per second' in done.stdout, done.stdout


def test_a_failure_can_be_replayed():
    broken = simulate('--schedules', '2000', '--mutant', 'source-runs-when-paused')
    assert broken.returncode == 1, broken.stdout
    seed, violation = re.search(r'^seed (\d+): (.*)$', broken.stdout, re.M).groups()
    assert f'again: ./run simulate --seed {seed} --schedules 1 --trace' in broken.stdout
    again = simulate('--schedules', '1', '--seed', seed, '--trace', '--mutant',
                     'source-runs-when-paused')
    assert again.returncode == 1 and f'! {violation}\n' in again.stdout, again.stdout
    trace = again.stdout[:again.stdout.index(f'! {violation}')]
    assert trace in broken.stdout, 'the trace is another one'


def test_named_schedules():
    names = simulate('--name', 'no such name')
    assert names.returncode == 1, names
    listed = re.findall(r'^  (\S+)$', names.stderr, re.M)
    assert 'outage' in listed, names.stderr
    for name in listed:
        done = simulate('--name', name)
        assert done.returncode == 0, f'{name}: {done.stdout}'
        assert f'schedule {name},' in done.stdout, done.stdout


def test_refused_arguments():
    for arguments in (['--bogus'], ['word'], ['--schedules', '0'], ['--schedules', 'x'],
                      ['--seed', '-1'], ['--mutant', 'x']):
        done = simulate(*arguments)
        assert done.returncode == 2, (arguments, done)
        assert done.stderr.startswith('simulate: '), (arguments, done.stderr)
    assert simulate('--help').returncode == 0


def test_interrupted():
    for number in (signal.SIGINT, signal.SIGTERM):
        process = subprocess.Popen([SIMULATE, '--schedules', str(10**9), '--trace'],
                                   stdout=subprocess.PIPE, text=True)
        process.stdout.readline()
        process.send_signal(number)
        rest = process.communicate(timeout=60)[0]
        assert process.returncode == 128 + number, process.returncode
        assert rest.endswith('0 failed, interrupted\n'), rest[-200:]


tap.main(tap.cases_of(globals()))
