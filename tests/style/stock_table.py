#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""stock_table.py SOURCE_ROOT: docs/bitmaps-stock.md holds what the lab's matrix of bitmaps says, and
what `./run bitmaps` has recorded of stock libvirt.

With REGENERATE=1 in the environment the table is written instead of compared.
"""

import importlib.util
import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import tap

ROOT = pathlib.Path(sys.argv[1])
DOCUMENT = ROOT / 'docs/bitmaps-stock.md'
RECORD = ROOT / 'tests/lab/bitmaps-stock.json'
MATRIX = ROOT / 'tests/lab/holdfast_lab/bitmap_matrix.py'
BEGIN = '<!-- the table, made of tests/lab/bitmaps-stock.json and holdfast_lab/bitmap_matrix.py -->\n'
END = '<!-- the end of the table -->\n'

WORDS = {
    'success': 'none', 'cancel': 'it is cancelled', 'qemu-killed': "the destination's QEMU is killed",
    'daemon-killed': "the destination's daemon is killed", 'network-cut': 'the network is cut',
    'state-refused': "the destination's QEMU refuses the state of a device",
    'operators-pause': 'an operator pauses it', 'source-daemon-restarted':
    "the source's daemon is killed and started",
}
POINTS = {
    '': '', 'precopy': ' in precopy', 'pre-switchover': ' in pre-switchover',
    'device': ' in `device`', 'arrived': ' when all has arrived and nothing runs',
    'running': ' when the guest runs there', 'written': ' when it has written there',
}


def load_matrix():
    """The module alone: the lab's package needs more than is installed here."""
    spec = importlib.util.spec_from_file_location('bitmap_matrix', MATRIX)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def bold(matrix, text):
    """What nobody wants to see."""
    return text if text in (matrix.LIVES_AT_A, matrix.LIVES_AT_B, matrix.EXACT) else f'**{text}**'


def backup(matrix, now, later):
    if now == later:
        return bold(matrix, now)
    return f'{bold(matrix, now)}, after a shutdown {bold(matrix, later)}'


def row(matrix, cell, stock):
    event = WORDS[cell.event] + POINTS[cell.point]
    ours = f'{bold(matrix, cell.guest)} | {bold(matrix, cell.backup)}'
    if cell.missing:
        ours = f'**not yet** | **{cell.missing}**'
    return (f'| {cell.storage} | {cell.mode} | {event} | {bold(matrix, stock["guest"])} | '
            f'{backup(matrix, stock["backup"], stock["after a shutdown"])} | {ours} |\n')


def table():
    matrix = load_matrix()
    record = json.loads(RECORD.read_text())
    text = (f'Stock is libvirt {record["libvirt"]} with QEMU {record["QEMU"]}.\n\n'
            '| storage | mode | what happens | stock: the guest | stock: the backup | '
            'Holdfast: the guest | Holdfast: the backup |\n' + '|---' * 7 + '|\n')
    for cell in matrix.CELLS:
        assert cell.id in record['cells'], f'./run bitmaps has not recorded {cell.id}'
        text += row(matrix, cell, record['cells'][cell.id])
    return text


def test_document_holds_the_table():
    before, rest = DOCUMENT.read_text().split(BEGIN)
    inside, after = rest.split(END)
    if os.environ.get('REGENERATE'):
        inside = table()
        DOCUMENT.write_text(before + BEGIN + inside + END + after)
    assert inside == table(), f'{DOCUMENT}: REGENERATE=1 writes its table'


def test_record_is_of_the_cells_that_there_are():
    known = {cell.id for cell in load_matrix().CELLS}
    assert set(json.loads(RECORD.read_text())['cells']) == known


if __name__ == '__main__':
    tap.main(tap.cases_of(globals()))
