#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""run-tests.py: what scripts/run-tests counts, what -k selects, and what ./run says of itself."""

import importlib.machinery
import importlib.util
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))
import tap

SCRIPT = TESTS.parent / 'scripts/run-tests'
sys.dont_write_bytecode = True
loader = importlib.machinery.SourceFileLoader('run_tests', str(SCRIPT))
run_tests = importlib.util.module_from_spec(importlib.util.spec_from_loader('run_tests', loader))
loader.exec_module(run_tests)

JUNIT = '''<testsuites><testsuite name="p.a">
<testcase classname="p.a" name="one"/>
<testcase classname="p.a" name="two"><system-out>x</system-out></testcase>
<testcase classname="p.a" name="three"><failure/></testcase>
<testcase classname="p.a" name="four"><error message="e"/></testcase>
<testcase classname="p.a" name="five"><skipped/></testcase>
</testsuite></testsuites>'''


def expect(actual, expected):
    assert actual == expected, f'expected {expected!r}, got {actual!r}'


def test_counting():
    with tempfile.TemporaryDirectory() as folder:
        junit = pathlib.Path(folder, 'junit.xml')
        expect(str(run_tests.count_junit(junit)), '0 passed, 0 failed, 0 skipped')
        junit.write_text(JUNIT)
        counts = run_tests.count_junit(junit)
        expect(str(counts), '2 passed, 2 failed, 1 skipped')
        expect(counts.failures, ['a: three', 'a: four'])
        counts.add(run_tests.count_junit(junit))
        expect(str(counts), '4 passed, 4 failed, 2 skipped')


def test_a_program_that_breaks_after_its_last_subtest_has_failed():
    cases = [('OK', 2), ('SKIP', 2), ('EXPECTEDFAIL', 2), ('ERROR', 3), ('TIMEOUT', 3), ('FAIL', 3)]
    with tempfile.TemporaryDirectory() as folder:
        junit, log = pathlib.Path(folder, 'junit.xml'), pathlib.Path(folder, 'log.json')
        junit.write_text(JUNIT)
        for result, failed in cases:
            log.write_text(json.dumps({'name': 'b', 'result': result}) + '\n')
            counts = run_tests.count_junit(junit)
            run_tests.add_broken_programs(counts, log)
            expect(counts.failed, failed)
            # One whose failed subtest was counted is not counted twice.
            log.write_text(json.dumps({'name': 'a', 'result': result}) + '\n')
            counts = run_tests.count_junit(junit)
            run_tests.add_broken_programs(counts, log)
            expect(counts.failed, 2)


def test_expressions():
    cases = [
        ('pol', 'policy-schema', True), ('POL', 'policy', True), ('x', 'policy', False),
        ('not x', 'policy', True), ('not not x', 'policy', False),
        ('policy and schema', 'policy-schema', True), ('policy and x', 'policy', False),
        ('x or policy', 'policy', True), ('x or z', 'policy', False),
        ('a or b and c', 'a', True), ('(a or b) and c', 'a', False),
        ('not (a or b)', 'c', True), ('not a and not b', 'c', True),
    ]
    for text, name, matches in cases:
        expect((text, name, run_tests.Expression(text).matches(name)), (text, name, matches))


def test_broken_expressions():
    for text in ('', 'a or', 'and', '(a', 'a)', 'a b', 'not', '()'):
        try:
            run_tests.Expression(text).matches('a')
        except ValueError as error:
            assert str(error).startswith('-k: '), error
        else:
            raise AssertionError(f'{text!r} was accepted')


def test_an_interrupted_child_may_clean_up():
    # No handler: it could interrupt the print() that says 'ready', and Python refuses one in another.
    child = '''
import signal, sys
before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
print('deaf' if signal.SIGTERM in before else 'ready', flush=True)
signal.sigwait([signal.SIGTERM])
print('cleaned', flush=True)
sys.exit(1)
'''
    parent = f'''
import importlib.machinery, importlib.util, signal, sys
sys.dont_write_bytecode = True
loader = importlib.machinery.SourceFileLoader('run_tests', {str(SCRIPT)!r})
run_tests = importlib.util.module_from_spec(importlib.util.spec_from_loader('run_tests', loader))
loader.exec_module(run_tests)
signal.signal(signal.SIGTERM, run_tests.stop)
run_tests.run_child([sys.executable, '-c', {child!r}])
'''
    process = subprocess.Popen([sys.executable, '-c', parent], stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True, env={**os.environ})
    expect(process.stdout.readline(), 'ready\n')
    process.send_signal(signal.SIGTERM)
    expect(process.stdout.readline(), 'cleaned\n')
    expect(process.wait(20) != 0, True)


def test_which_suites_there_are():
    run = TESTS.parent / 'run'
    everything = 'unit golden style platform lab'
    for arguments, message in (
            (['--suite', 'x'], f"there is no suite 'x'; there are: {everything}"),
            (['--valgrind', '--suite=lab'],
             "there is no suite 'lab' for --valgrind; there are: unit golden"),
            (['--suite', 'unit', '--suite', 'style', '--sanitize'],
             "there is no suite 'style' for --sanitize; there are: unit golden lab"),
            (['--valgrind', '--sanitize'], '--valgrind or --sanitize, not both'),
            (['--suite'], '--suite needs a name')):
        said = subprocess.run([run, 'test', *arguments], capture_output=True, text=True)
        expect((said.returncode, said.stdout, said.stderr), (1, '', f'run: {message}\n'))


def test_every_command_says_what_it_does():
    run = TESTS.parent / 'run'
    usage = subprocess.run([run, 'help'], capture_output=True, text=True, check=True).stdout
    commands = re.findall(r'^  ([a-z-]+) {2,}\S', usage, re.M)
    assert {'test', 'simulate', 'bench'} < set(commands), usage
    for command in set(commands) - {'help'}:
        said = subprocess.run([run, command, '--help'], capture_output=True, text=True)
        expect((command, said.returncode, said.stderr), (command, 0, ''))
        assert said.stdout.startswith('Usage: '), said.stdout


tap.main(tap.cases_of(globals()))
