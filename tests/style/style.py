# SPDX-License-Identifier: LGPL-2.1-or-later
"""style.py: what can be checked of the house style by reading the tree.

A check is a function from a Tree to complaints, each "PATH:LINE: what" or "PATH: what". check.py
runs them on the project, and on bad samples that they must complain about.
"""

import ast
import pathlib
import re
import shutil
import subprocess

# Who may include whom, below driver/: a folder's own files are always allowed.
MAY_INCLUDE = {
    'util': set(),
    'model': {'util'},
    'stock': {'util'},
    'engine': {'model', 'util'},
    'bitmap': {'model', 'stock', 'util'},
    'dbus': {'run', 'model', 'util'},
    'run': {'util', 'model', 'stock', 'engine', 'bitmap'},
    'module': {'stock', 'run', 'dbus'},
    'plugin': {'model'},
}

MAX_FILE_LINES = 600
MAX_TEST_LINES = 750  # a test file is read a test at a time
MAX_FUNCTION_LINES = 80
# What may be longer, with the reason. Keep it empty.
LONG_FILES = {}
LONG_FUNCTIONS = {}

SPDX = 'SPDX-License-Identifier: LGPL-2.1-or-later'
SPDX_WITHIN_LINES = 40
SOURCE_SUFFIXES = {'.c', '.h', '.py', '.sh', '.map', '.rng', '.in', '.service'}
SOURCE_NAMES = {'meson.build', 'meson_options.txt', 'meson.options', 'run'}

# What has no place in somebody else's daemon, and what to do instead.
NOT_IN_A_DAEMON = {
    'exit': 'return an error',
    '_exit': 'return an error',
    'abort': 'return an error',
    'g_error': 'log with g_warning() and return an error',
    'g_assert': 'g_return_if_fail(), or handle it',
    'assert': 'g_return_if_fail(), or handle it',
    'setenv': 'hand the value over as an argument',
    'putenv': 'hand the value over as an argument',
    'g_setenv': 'hand the value over as an argument',
    'signal': "the daemon's signals are its own",
    'sigaction': "the daemon's signals are its own",
    'sleep': 'wait for a condition with a deadline',
    'usleep': 'wait for a condition with a deadline',
    'g_usleep': 'wait for a condition with a deadline',
}
MACHINE_PATHS = re.compile(r'"(/(?:home|root|srv|mnt|tmp|opt|usr)(?:/[^"]*)?)"')
# Below the root of a tree without git: what a build or a run has made.
NOT_OURS = r'(build[^/]*|\.git|\.cache|tests/lab/artifacts)/|.*__pycache__/'


class Tree:
    """The files of a source tree by their path from its root."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.paths = sorted(self._list())

    def _list(self):
        names = self._known_to_git()
        if names is None:  # a tarball, or no git on this machine
            names = [str(p.relative_to(self.root)) for p in self.root.rglob('*')]
            names = [n for n in names if not re.match(NOT_OURS, n)]
        return [n for n in names if (self.root / n).is_file() and not (self.root / n).is_symlink()]

    def _known_to_git(self):
        if not (self.root / '.git').exists() or not shutil.which('git'):
            return None
        git = subprocess.run(['git', '-C', self.root, 'ls-files', '-co', '--exclude-standard',
                              '-z'], capture_output=True, text=True)
        return [n for n in git.stdout.split('\0') if n] if git.returncode == 0 else None

    def text(self, path):
        return (self.root / path).read_text(errors='replace')

    def lines(self, path):
        return self.text(path).splitlines()

    def below(self, folder, *suffixes):
        return [p for p in self.paths
                if p.startswith(folder) and pathlib.PurePath(p).suffix in suffixes]

    def c_files(self):
        return self.below('', '.c', '.h')

    def scripts(self, interpreter):
        """Files whose first line names the interpreter."""
        found = []
        for path in self.paths:
            with open(self.root / path, 'rb') as f:
                first = f.readline(80)
            if first.startswith(b'#!') and re.search(rb'[/ ]' + interpreter + rb'\b', first):
                found.append(path)
        return found


def without_comments(text):
    """C text with comments blanked, lines and columns kept; strings stay."""
    def blank(match):
        return match[0] if match[0][0] in '"\'' else re.sub(r'[^\n]', ' ', match[0])
    return re.sub(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text,
                  flags=re.S)


def without_strings(text):
    """C text with comments and the insides of strings blanked."""
    return re.sub(r'"(?:\\.|[^"\\\n])*"', lambda m: '"' + ' ' * (len(m[0]) - 2) + '"',
                  without_comments(text))


def check_spdx(tree):
    """Every source file carries the licence tag near its top."""
    scripts = set(tree.scripts(b'(?:sh|bash|python3?)'))
    for path in tree.paths:
        pure = pathlib.PurePath(path)
        if pure.suffix in SOURCE_SUFFIXES or pure.name in SOURCE_NAMES or path in scripts:
            if not any(SPDX in line for line in tree.lines(path)[:SPDX_WITHIN_LINES]):
                yield f'{path}: has no "{SPDX}" near its top'


def check_includes(tree):
    """A folder below driver/ and plugin/ include only those that MAY_INCLUDE names."""
    include = re.compile(r'^\s*#\s*include\s*"([^"]+)"')
    for path in tree.below('driver/', '.c', '.h') + tree.below('plugin/', '.c', '.h'):
        parts = path.split('/')
        folder = parts[1] if parts[0] == 'driver' else 'plugin'
        allowed = MAY_INCLUDE.get(folder, set()) | {folder}
        if parts[0] == 'driver' and folder not in MAY_INCLUDE:
            yield f'{path}: no rule says what driver/{folder} may include; add it to MAY_INCLUDE'
            continue
        for number, line in enumerate(tree.lines(path), 1):
            match = include.match(line)
            other = match[1].split('/')[0] if match and '/' in match[1] else None
            if other == '..':
                yield f'{path}:{number}: includes by "..": write FOLDER/NAME.h'
            elif other in MAY_INCLUDE and other not in allowed:
                yield f'{path}:{number}: {folder} may not include {other}'


def check_guest_manners(tree):
    """Nothing below driver/ ends, signals or reconfigures the daemon, or waits without a bound."""
    calls = re.compile(r'(?<![\w.>])(' + '|'.join(NOT_IN_A_DAEMON) + r')\s*\(')
    for path in tree.below('driver/', '.c', '.h'):
        for number, line in enumerate(without_strings(tree.text(path)).splitlines(), 1):
            for match in calls.finditer(line):
                yield f'{path}:{number}: {match[1]}() in the daemon: {NOT_IN_A_DAEMON[match[1]]}'
        for number, line in enumerate(without_comments(tree.text(path)).splitlines(), 1):
            for match in MACHINE_PATHS.finditer(line):
                yield f'{path}:{number}: a path of one machine, "{match[1]}": let meson say it'


def check_length(tree):
    """Files and functions can be read in one go."""
    for path in tree.c_files() + tree.scripts(b'python3?') + tree.below('', '.py'):
        count = len(tree.lines(path))
        limit = MAX_TEST_LINES if path.startswith('tests/') else MAX_FILE_LINES
        if count > limit and path not in LONG_FILES:
            yield f'{path}: {count} lines, more than {limit}: split it'
    for path in tree.c_files():
        yield from _long_c_functions(tree, path)
    for path in sorted(set(tree.scripts(b'python3?') + tree.below('', '.py'))):
        for node in ast.walk(ast.parse(tree.text(path))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield from _too_long(path, node.lineno, node.name,
                                     node.end_lineno - node.lineno + 1)


def _long_c_functions(tree, path):
    """A function opens and closes with a brace in the first column; its name is before the '('."""
    opened = None
    name = ''
    for number, line in enumerate(without_comments(tree.text(path)).splitlines(), 1):
        match = re.match(r'(\w+)\(', line)
        name = match[1] if match else name
        if line.startswith('{'):
            opened = number
        elif line.startswith('}') and opened:
            yield from _too_long(path, opened, name, number - opened + 1)
            opened = None


def _too_long(path, line, name, count):
    if count > MAX_FUNCTION_LINES and f'{path}:{name}' not in LONG_FUNCTIONS:
        yield f'{path}:{line}: {name}() has {count} lines, more than {MAX_FUNCTION_LINES}: split it'


def translatable_files(tree):
    """The files that hold messages for a person."""
    marked = re.compile(r'(?<!\w)N?_\(')
    found = []
    for path in tree.below('driver/', '.c', '.h') + tree.below('plugin/', '.c', '.h'):
        text = re.sub(r'^\s*#\s*define\s.*$', '', without_strings(tree.text(path)), flags=re.M)
        if marked.search(text):
            found.append(path)
    return found


def check_potfiles(tree):
    """po/POTFILES names exactly the files with messages to translate."""
    listed = [line for line in tree.lines('po/POTFILES') if line and not line.startswith('#')]
    expected = translatable_files(tree)
    for path in sorted(set(expected) - set(listed)):
        yield f'po/POTFILES: {path} has messages and is not listed'
    for path in sorted(set(listed) - set(expected)):
        yield f'po/POTFILES: {path} is listed and has no messages'
    if listed != sorted(listed):
        yield 'po/POTFILES: is not sorted'


def check_messages(tree):
    """Messages have numbered arguments, for a translator to reorder, and no macros inside, which
    xgettext cannot follow."""
    message = re.compile(r'(?<!\w)N?_\(\s*((?:"(?:\\.|[^"\\\n])*"\s*(?:[A-Z]\w*\s*)?)+)\)')
    literals = re.compile(r'"((?:\\.|[^"\\\n])*)"')
    plain = re.compile(r'%(?!%|\d+\$)')
    for path in translatable_files(tree):
        text = without_comments(tree.text(path))
        for match in message.finditer(text):
            line = text.count('\n', 0, match.start()) + 1
            if literals.sub('', match[1]).strip():
                yield f'{path}:{line}: a macro inside a message: use a plain format and a cast'
            if plain.search(''.join(literals.findall(match[1])).replace('%%', '')):
                yield f'{path}:{line}: a message with a plain %: number its arguments (%1$s)'


CHECKS = [check_spdx, check_includes, check_guest_manners, check_length, check_potfiles,
          check_messages]
