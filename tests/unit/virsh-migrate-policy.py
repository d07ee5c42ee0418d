#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""virsh-migrate-policy.py: a domain's policy is shown, set word by word or whole, and checked.

Runs the command on libvirt's test driver; the metadata is kept by fake-metadata.c.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'tests'))
import tap

COMMAND = os.environ['MIGRATE_POLICY']
FAKE = os.environ['FAKE_METADATA_LIBRARY']
EXAMPLES = ROOT / 'xml-schemas' / 'examples'
ELEMENT, LIVE_AND_CONFIG = 2, 3
ASKED = f'type={ELEMENT} key=holdfast uri=urn:holdfast:migration:1 flags={LIVE_AND_CONFIG}'


class Domain:
    """The test driver's domain "test", with metadata that lasts."""

    def __init__(self, metadata=None):
        self.dir = tempfile.TemporaryDirectory(prefix='holdfast-policy-')
        self.file = pathlib.Path(self.dir.name, 'metadata')
        self.log = pathlib.Path(self.dir.name, 'log')
        if metadata is not None:
            self.file.write_text(metadata)

    def run(self, *args, stdin='', **env):
        # A sanitizer of the build insists on coming first; FAKE is built without.
        options = os.environ.get('ASAN_OPTIONS', '')
        environment = {'ASAN_OPTIONS': f'{options}:verify_asan_link_order=0'.lstrip(':'),
                       'PATH': '/usr/bin:/bin', 'LC_ALL': 'C', 'FAKE_METADATA': str(self.file),
                       'FAKE_LOG': str(self.log), 'LD_PRELOAD': FAKE, 'VIRSH_PLUGIN_QUIET': '1',
                       'VIRSH_DEFAULT_CONNECT_URI': 'test:///default', **env}
        return subprocess.run([COMMAND, *args], env=environment, capture_output=True,
                              encoding='utf-8', input=stdin, timeout=20)

    def asked(self):
        return self.log.read_text().splitlines() if self.log.exists() else []

    def policy(self):
        return json.loads(self.run('test', '--json').stdout)


def expect(actual, expected):
    assert actual == expected, f'expected {expected!r}, got {actual!r}'


def works(done):
    expect((done.returncode, done.stderr), (0, ''))
    return done.stdout


def test_words_are_set_one_by_one():
    domain = Domain()
    expect(domain.policy(), {})
    steps = [
        (['--postcopy', 'prefer', '--recovery', 'manual'],
         {'postcopy': {'mode': 'prefer'}, 'recovery': {'mode': 'manual'}}),
        (['--after', '30'], {'postcopy': {'mode': 'prefer', 'after': 30},
                             'recovery': {'mode': 'manual'}}),
        (['--switch', 'after-precopy', '--recovery='],
         {'postcopy': {'mode': 'prefer', 'switch': 'after-precopy'}, 'recovery': {}}),
        (['--postcopy', '', '--switch', '', '--detect', '3000', '--give-up', 'never',
          '--min-interval', '100', '--max-interval', '200', '--paths',
          'tcp://10.0.1.2;tcp://[fe80::1]:49152'],
         {'postcopy': {}, 'recovery': {'detect': 3000, 'give-up': 'never', 'min-interval': 100,
                                       'max-interval': 200,
                                       'paths': ['tcp://10.0.1.2', 'tcp://[fe80::1]:49152']}}),
        (['--paths', 'tcp://b', '--detect=', '--min-interval=', '--max-interval=', '--give-up='],
         {'postcopy': {}, 'recovery': {'paths': ['tcp://b']}}),
        (['--paths', '', '--on-departure', 'drop', '--on-return', 'merge', '--guard', 'on', '--granularity', '65536',
          '--checkpoints', 'leave'],
         {'postcopy': {}, 'recovery': {}, 'bitmaps': {'on-departure': 'drop',
                                                      'on-return': 'merge', 'guard': 'on',
                                                      'granularity': 65536,
                                                      'checkpoints': 'leave'}}),
    ]
    for number, (args, expected) in enumerate(steps, 1):
        works(domain.run('test', *args))
        expect(domain.policy(), expected)
        expect(domain.asked(), [ASKED] * number)
    works(domain.run('test', '--remove'))
    expect(domain.asked()[-1], ASKED + ' removed')
    works(domain.run('test', '--remove'))
    expect(len(domain.asked()), len(steps) + 1)


def test_what_is_not_understood_is_kept():
    """A comment of a person's, and the order of things, outlast a change."""
    domain = Domain('<migration><!-- ask Ann --><recovery detect="3000"/></migration>')
    works(domain.run('test', '--recovery', 'auto'))
    expect(domain.file.read_text(), '<migration>\n  <!-- ask Ann -->\n'
                                    '  <recovery detect="3000" mode="auto"/>\n</migration>\n')
    expect(works(domain.run('test')), domain.file.read_text())


def test_examples():
    for path in sorted(EXAMPLES.glob('*.xml')):
        domain = Domain()
        works(domain.run('--check', path))
        expect(domain.asked(), [])
        works(domain.run('test', '--set', path))
        assert 'holdfast:' not in domain.file.read_text(), domain.file.read_text()
        works(domain.run('test', '--set', '-', stdin=domain.file.read_text()))
        expect(len(domain.asked()), 2)


def test_invalid_examples_are_refused_in_the_daemons_words():
    words = ROOT / 'tests' / 'golden' / 'policy' / 'invalid'
    for path in sorted((EXAMPLES / 'invalid').glob('*.xml')):
        expected = (words / f'{path.stem}.txt').read_text().strip()
        domain = Domain()
        for args, stdin, name in ((['--check', path], '', path),
                                  (['test', '--set', path], '', path),
                                  (['test', '--set', '-'], path.read_text(), 'standard input')):
            done = domain.run(*args, stdin=stdin)
            expect((done.returncode, done.stdout), (1, ''))
            assert done.stderr.startswith(f'error: {name}: Holdfast policy, line '), done.stderr
            assert done.stderr.split('line ', 1)[1].strip() in expected, (done.stderr, expected)
        expect(domain.asked(), [])


def test_wrong_words_are_refused_before_anything_is_sent():
    cases = [
        (['test', '--postcopy', 'often'], '<postcopy mode="often"> is not valid: give one of '
                                          'never, allow, prefer, require'),
        (['test', '--detect', '20'], '<recovery detect="20"> is not valid'),
        (['test', '--min-interval', '300', '--max-interval', '200'], 'is above max-interval'),
        (['test', '--paths', 'b'], '<path uri="b"> is not valid'),
        (['test', '--switch', 'manual', '--after', '3'],
         'options --switch and --after are mutually exclusive'),
        (['test', '--json', '--remove'], 'are mutually exclusive'),
        (['test', '--set', '-', '--postcopy', 'allow'], 'are mutually exclusive'),
        (['test', '--check', '-'], 'option --check needs no domain'),
        ([], "command 'migrate-policy' requires <domain> option"),
        (['--check', '/nonexistent'], 'No such file'),
        (['--check', '-'], 'standard input: The XML is not well-formed: line 1'),
        (['nosuch'], "failed to get domain 'nosuch'"),
    ]
    for args, message in cases:
        domain = Domain()
        done = domain.run(*args)
        expect(done.returncode, 1)
        assert done.stderr.startswith('error: ') and message in done.stderr, done.stderr
        expect(domain.asked(), [])


def test_a_domain_without_a_policy():
    domain = Domain()
    expect(works(domain.run('test')), '')
    for xml in ('<domain><name>x</name></domain>', '<domain><metadata/></domain>'):
        done = domain.run('--check', '-', stdin=xml)
        expect(done.returncode, 1)
        assert 'there is no Holdfast policy in it' in done.stderr, done.stderr


def test_completion():
    cases = [(['--postcopy', ''], ['never', 'allow', 'prefer', 'require']),
             (['--recovery', ''], ['auto', 'manual']), (['--detect', ''], []),
             (['--chec'], ['--check', '--checkpoints']), (['te'], ['test'])]
    for words, expected in cases:
        done = Domain().run(*words, VIRSH_PLUGIN_COMPLETE='1')
        expect(done.stdout.split(), expected)


tap.main(tap.cases_of(globals()))
