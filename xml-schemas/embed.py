# SPDX-License-Identifier: LGPL-2.1-or-later
"""Turns a file into a C header with its bytes: embed.py FILE HEADER."""

import pathlib
import re
import sys

source, header = map(pathlib.Path, sys.argv[1:])
name = re.sub(r"\W", "_", source.name)
data = source.read_bytes()
rows = [", ".join(map(str, data[i : i + 20])) for i in range(0, len(data), 20)]
header.write_text(
    f"/* Made from {source.name}; do not edit. */\n"
    f"static const unsigned char {name}[] = {{\n    " + ",\n    ".join(rows) + "\n};\n"
)
