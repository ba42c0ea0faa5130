"""Nothing is left behind by many runs, loads, failures and rows: memory, descriptors, threads."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).resolve().parents[2] / "benchmarks" / "soak.py"
FEW = (20_000, 50, 1_000, 1_000_000)
MANY = (1_000_000, 2_000, 20_000, 10_000_000)


@pytest.mark.skipif(sys.platform != "linux", reason="counts in /proc")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("counts", [FEW, pytest.param(MANY, marks=pytest.mark.slow)], ids=["few", "many"])
def test_many_runs_loads_failures_and_rows_leave_nothing_behind(counts: tuple[int, ...]) -> None:
    command = [sys.executable, str(SOAK), *map(str, counts)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert [report[kind]["count"] for kind in ("runs", "loads", "failures", "rows")] == list(counts)
    assert report["all"]["resident"] < 16 * 2**20
    assert report["all"]["descriptors"] <= 0
    assert report["all"]["threads"] <= 0
