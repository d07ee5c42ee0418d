#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""check.py SOURCE_ROOT: the tree keeps the house style, and every check of it can fail.

With REGENERATE=1 in the environment po/POTFILES is written instead of compared.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import style
import tap

ROOT = pathlib.Path(sys.argv[1])

# .clang-format is written for this version; others break lines elsewhere.
CLANG_FORMAT_VERSION = '14'

TAG = f'/* {style.SPDX} */\n'
FUNCTION = 'static void\nf(void)\n{\n' + '    g();\n' * style.MAX_FUNCTION_LINES + '}\n'
# For every check: trees that it must accept and trees that it must complain about.
SAMPLES = {
    'check_spdx': {
        'good': [{'driver/a.c': TAG}, {'run': '#!/bin/bash\n# ' + style.SPDX}, {'README.md': ''}],
        'bad': [{'driver/a.c': 'int a;\n'}, {'plugin/meson.build': ''}, {'tool': '#!/bin/sh\n'},
                {'tool': '#!/usr/bin/python3\n'}, {'driver/a.h': '\n' * 60 + TAG}],
    },
    'check_includes': {
        'good': [{'driver/run/a.c': '#include "engine/session.h"\n#include "run/a.h"\n'},
                 {'plugin/a.c': '#include "model/policy.h"\n'},
                 {'driver/util/a.c': '#include <model/x.h>\n#include "config.h"\n'}],
        'bad': [{'driver/util/a.c': '#include "model/state.h"\n'},
                {'driver/model/a.h': '# include "engine/x.h"\n'},
                {'driver/engine/a.c': '#include "run/x.h"\n'},
                {'driver/run/a.c': '#include "../dbus/x.h"\n'},
                {'driver/new/a.c': ''},
                {'driver/run/a.c': '#include "plugin/x.h"\n'},
                {'plugin/a.c': '#include "util/x.h"\n'}],
    },
    'check_guest_manners': {
        'good': [{'driver/util/a.c': '/* exit(1) */\nx->exit(1);\nmy_exit(1);\nf("exit(1)");\n'
                  '"/etc/libvirt/holdfast.conf";\n'}, {'plugin/a.c': 'exit(1);\n'}],
        'bad': [{'driver/util/a.c': f'    {call}(1);\n'} for call in style.NOT_IN_A_DAEMON] +
               [{'driver/util/a.c': 'f("/usr/lib/x");\n'}, {'driver/util/a.h': '#define A "/srv"\n'}],
    },
    'check_length': {
        'good': [{'driver/a.c': '\n' * style.MAX_FILE_LINES}, {'a.py': 'def f():\n    pass\n'}],
        'bad': [{'driver/a.c': '\n' * (style.MAX_FILE_LINES + 1)}, {'driver/a.c': FUNCTION},
                {'a.py': 'def f():\n' + '    g()\n' * style.MAX_FUNCTION_LINES}],
    },
    'check_potfiles': {
        'good': [{'po/POTFILES': '# c\ndriver/a.c\n', 'driver/a.c': 'f(_("x"));\n'},
                 {'po/POTFILES': '', 'driver/a.c': 'my_("x"); /* _("x") */\n'}],
        'bad': [{'po/POTFILES': '', 'driver/a.c': 'f(_("x"));\n'},
                {'po/POTFILES': '', 'plugin/a.c': 'f(N_("x"));\n'},
                {'po/POTFILES': 'driver/a.c\n', 'driver/a.c': 'f("x");\n'},
                {'po/POTFILES': 'driver/gone.c\n'},
                {'po/POTFILES': 'driver/b.c\ndriver/a.c\n', 'driver/a.c': '_("x")',
                 'driver/b.c': '_("x")'}],
    },
    'check_messages': {
        'good': [{'driver/a.c': 'f(_("%1$s, 100%%"), "%s");\n'},
                 {'driver/a.c': 'f(_("a" " b %1$llu"), N_("c"));\n'}],
        'bad': [{'driver/a.c': 'f(_("%s"), x);\n'},
                {'driver/a.c': '_("%1$" G_GUINT64_FORMAT " left");\n'}, {'driver/a.c': '_("a"\n  "b %d")'}],
    },
}


class Sample:
    """A tree of a few files in a folder that goes away."""

    def __init__(self, files):
        self.files = files

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix='holdfast-style-')
        for name, text in self.files.items():
            path = pathlib.Path(self.dir, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return style.Tree(self.dir)

    def __exit__(self, *_):
        shutil.rmtree(self.dir)


def check_project(check):
    if check is style.check_potfiles and os.environ.get('REGENERATE'):
        header = f'# {style.SPDX}\n# The files with messages to translate; a test compares.\n'
        names = style.translatable_files(style.Tree(ROOT))
        (ROOT / 'po/POTFILES').write_text(header + ''.join(f'{n}\n' for n in names))
    complaints = list(check(style.Tree(ROOT)))
    assert not complaints, '\n'.join(['', *complaints])


def check_can_fail(check):
    samples = SAMPLES[check.__name__]
    for files in samples['good']:
        with Sample(files) as tree:
            complaints = list(check(tree))
            assert not complaints, f'{files!r}: {complaints}'
    for files in samples['bad']:
        with Sample(files) as tree:
            assert list(check(tree)), f'no complaint about {files!r}'


def find_clang_format():
    for name in (f'clang-format-{CLANG_FORMAT_VERSION}', 'clang-format'):
        if shutil.which(name):
            said = subprocess.run([name, '--version'], capture_output=True, text=True).stdout
            if re.search(rf'version {CLANG_FORMAT_VERSION}\.', said):
                return name
    raise tap.Skip(f'clang-format {CLANG_FORMAT_VERSION} is not installed')


def badly_formatted(tree):
    command = [find_clang_format(), '--dry-run', '-Werror', '--ferror-limit=1', '--style=file']
    done = subprocess.run(command + [str(tree.root / p) for p in tree.c_files()],
                          capture_output=True, text=True)
    return '' if done.returncode == 0 else done.stderr + f'(exit code {done.returncode})'


def test_clang_format():
    complaint = badly_formatted(style.Tree(ROOT))
    assert not complaint, complaint


def test_clang_format_can_fail():
    rules = (ROOT / '.clang-format').read_text()
    with Sample({'.clang-format': rules, 'a.c': 'int a( void){return 1 ;}\n'}) as tree:
        assert badly_formatted(tree)
    with Sample({'.clang-format': rules, 'a.c': 'int\na(void)\n{\n    return 1;\n}\n'}) as tree:
        assert not badly_formatted(tree)


def shell_complaints(tree):
    if not shutil.which('shellcheck'):
        raise tap.Skip('shellcheck is not installed')
    scripts = [str(tree.root / p) for p in tree.scripts(b'(?:ba)?sh')]
    # SC2187: a script for busybox is checked as one for dash, which is what is wanted.
    return subprocess.run(['shellcheck', '-S', 'warning', '-e', 'SC2187', *scripts], capture_output=True,
                          text=True).stdout if scripts else ''


def test_shellcheck():
    complaint = shell_complaints(style.Tree(ROOT))
    assert not complaint, complaint


def test_shellcheck_can_fail():
    with Sample({'a': '#!/bin/sh\ncd $1\nrm -r "$2/"*\n'}) as tree:
        assert shell_complaints(tree)
    with Sample({'a': '#!/bin/sh\necho "$1"\n', 'b.py': '#!/usr/bin/python3\n'}) as tree:
        assert not shell_complaints(tree)


def style_cases():
    for check in style.CHECKS:
        name = check.__name__.removeprefix('check_').replace('_', '-')
        yield name, lambda check=check: check_project(check)
        yield f'{name}-can-fail', lambda check=check: check_can_fail(check)


tap.main([*style_cases(), *tap.cases_of(globals())])
