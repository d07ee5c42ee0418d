# SPDX-License-Identifier: LGPL-2.1-or-later
"""`./run bench` measures all that it says; the figures themselves are not for a test."""
import json
import os
import sys

import pytest

from holdfast_lab import process
from holdfast_lab.lab import default_prefix

BENCH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bench.py")
BUILD = os.path.dirname(os.environ.get("HOLDFAST_MODULE_DIR", ""))


@pytest.mark.not_each_time
def test_quick(tmp_path):
    file = tmp_path / "figures.json"
    done = process.run([sys.executable, BENCH, "--quick", "--json", str(file)], timeout=400, env={
        "HOLDFAST_BUILD_DIR": BUILD, **os.environ,
        "HOLDFAST_LAB_PREFIX": f"{default_prefix()}.bench"})
    print(done.stdout)
    figures = json.loads(file.read_text())
    assert figures["result"] == "ok"
    recovery = figures["recovery"]
    assert 0 < recovery["bare"]["median"] and 0 < recovery["holdfast"]["median"]
    assert 1 < recovery["paused_source"]["median"] < 20
    assert len(figures["script"]["values"]) == 1
    assert {count: [len(run) for run in row["runs"]] for count, row
            in figures["guests"].items()} == {"2": [2], "1": [1]}
    assert figures["guests"]["1"]["ratio"] == 1
    for kinds in (*figures["calls"].values(), *figures["clients"].values()):
        for row in kinds.values():
            assert row["interval"][0] <= row["ratio"] <= row["interval"][1]
            assert 0 < row["with"] < 60 and 0 < row["without"] < 60
