"""An evaluation that several processes share is the one of a single process, to the bit."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reparam
from reparam.running import BLOCK, Running
from reparam.testing import tiny_bundle

ROWS = 2 * BLOCK + 100


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small bundle, and rows of two whole blocks and a bit."""
    path = tmp_path_factory.mktemp("workers")
    tiny_bundle(path / "bundle", input_shape=(6,), latent_shape=(2,), likelihood="gaussian")
    np.save(path / "x.npy", reparam.noise("normal", 3, range(ROWS), (6,)))
    return path


def command(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "reparam.cli.main", "evaluate", "bundle", "x.npy", "--split", "all", *more]
    return subprocess.run([*words, "--device", "cpu"], cwd=folder, capture_output=True, text=True, check=False)


def evaluated(folder: Path, *more: str) -> Any:
    done = command(folder, "--json", *more)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@pytest.mark.parametrize("more", [(), ("--samples", "2", "--max-batch", "100", "--limit", str(BLOCK + 1))])
def test_workers_give_what_one_process_gives(folder: Path, more: tuple[str, ...]) -> None:
    alone = evaluated(folder, *more)
    assert alone["rows"] == (BLOCK + 1 if more else ROWS)
    assert evaluated(folder, "--workers", "2", *more) == alone


def test_an_error_of_a_worker_is_the_command_s_own_line(folder: Path, tmp_path: Path) -> None:
    x = np.load(folder / "x.npy")
    x[BLOCK + 5, 3] = np.nan
    np.save(tmp_path / "x.npy", x)
    tiny_bundle(tmp_path / "bundle", input_shape=(6,), latent_shape=(2,), likelihood="gaussian")
    alone, shared = (command(tmp_path, *more) for more in ((), ("--workers", "2")))
    assert alone.returncode == shared.returncode == 4
    assert shared.stdout == ""
    assert shared.stderr == alone.stderr
    assert f"row {BLOCK + 5}" in shared.stderr


def test_a_run_is_not_shared(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    np.save(tmp_path / "x.npy", np.zeros((2, 6), np.float32))
    done = command(tmp_path, "--workers", "2")
    assert done.returncode == 2
    assert done.stderr.startswith("error: --workers: share the rows of a bundle, and bundle is a run; export it")


@pytest.mark.skipif(sys.platform != "linux", reason="children are found in /proc")
def test_ctrl_c_ends_the_workers_too(folder: Path) -> None:
    words = [sys.executable, "-m", "reparam.cli.main", "evaluate", "bundle", "x.npy", "--split", "all"]
    more = ["--workers", "2", "--samples", "100000", "--device", "cpu"]
    process = subprocess.Popen([*words, *more], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    children: list[str] = []
    while len(children) < 2 and time.monotonic() < deadline:
        time.sleep(0.2)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err == "error: interrupted\n"
    while any(Path("/proc", child).exists() for child in children) and time.monotonic() < deadline:
        time.sleep(0.1)  # the first process does not wait for what it has ended
    assert [child for child in children if Path("/proc", child).exists()] == []


def test_blocks_that_are_joined_are_rows_that_were_added() -> None:
    rows = np.random.default_rng(0).normal(3, 2, (ROWS, 2))
    added, joined = Running(), Running()
    added.add(rows)
    for start in range(0, ROWS, BLOCK):
        part = Running()
        part.add(rows[start : start + BLOCK])
        joined.join(part.folded())
    assert joined.rows == added.rows == ROWS
    assert np.array_equal(joined.mean, added.mean)
    assert np.array_equal(joined.variance(), added.variance())
    with pytest.raises(ValueError, match="must be whole blocks of 4096 before others are joined, got 8292"):
        joined.join(part)
