"""A command that is killed with -9 at any moment leaves no result, and resumed it ends with the same bytes."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reparam

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs signals, and /proc for a process's children")

Rows = Callable[[int], Any]
# rows are brought to the disk all the time, so that a kill falls into every kind of moment
EAGER = "from reparam.jobs import work; work.SYNC_SECONDS = 0.0; from reparam.cli.main import main; main()"
PLAIN = "from reparam.cli.main import main; main()"


@pytest.fixture
def folder(tmp_path: Path, rows_of: Rows) -> Path:
    """The current folder, with 20,000 rows."""
    np.save(tmp_path / "x.npy", np.tile(rows_of(1000), (20, 1, 1, 1)))
    return tmp_path


def begin(folder: Path, bundle: Path, *more: object, code: str = EAGER) -> subprocess.Popen[str]:
    command = ["encode", bundle, "x.npy", "--mean", "mean.npy", "--logvar", "logvar.npy", "--device", "cpu", *more]
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, command)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def finished(folder: Path, bundle: Path, *more: object) -> Any:
    code, out, err = ended(begin(folder, bundle, "--json", *more, code=PLAIN))
    assert (code, [line for line in err.splitlines() if "nothing was begun" not in line]) == (0, [])
    return json.loads(out)


def results(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name != "x.npy"}


def children(process: subprocess.Popen[str]) -> list[int]:
    try:
        found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        return [pid for pid in map(int, found) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    except FileNotFoundError:
        return []


def until(what: Callable[[], Any], seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "it never came"
        time.sleep(0.005)
    return found


def rows_done(folder: Path) -> int:
    try:
        journal = json.loads((folder / "mean.npy.part.json").read_bytes())
    except FileNotFoundError:
        return 0
    return sum(stop - start for start, stop in journal["done"])


def killed_and_resumed(folder: Path, bundle: Path, wanted: dict[str, bytes], kills: int, *options: object) -> list[int]:
    """Kills runs at random moments of their work, resumes each, and tells how many rows each resume found done."""
    moments, kept = random.Random(20260), []
    for _ in range(kills):
        process = begin(folder, bundle, *options)
        until((folder / "mean.npy.part.json").exists)
        time.sleep(moments.uniform(0, 0.25))
        process.kill()
        ended(process)
        left = results(folder)
        assert all(left.get(name, data) == data for name, data in wanted.items())  # a result is whole or not there
        kept.append(finished(folder, bundle, "--resume", *options).get("rows_resumed_from", 0))
        assert results(folder) == wanted
        for name in wanted:
            (folder / name).unlink()
    return kept


@pytest.fixture
def wanted(folder: Path, bundle: Path) -> dict[str, bytes]:
    finished(folder, bundle, "--max-batch", 16)
    found = results(folder)
    assert set(found) == {"mean.npy", "logvar.npy"}
    for name in found:
        (folder / name).unlink()
    return found


def test_a_killed_run_resumed_ends_with_the_same_bytes(folder: Path, bundle: Path, wanted: dict[str, bytes]) -> None:
    assert max(killed_and_resumed(folder, bundle, wanted, 3, "--max-batch", 16)) > 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("options", "kills"), [([], 100), (["--workers", "2"], 20)], ids=["one process", "two workers"]
)
def test_a_run_killed_at_many_moments_and_resumed_ends_with_the_same_bytes(
    folder: Path, bundle: Path, wanted: dict[str, bytes], options: list[str], kills: int
) -> None:
    kept = killed_and_resumed(folder, bundle, wanted, kills, "--max-batch", 16, *options)
    assert len(kept) == kills
    if not options:  # workers need most of that time to start
        assert sum(0 < rows < 20_000 for rows in kept) >= kills // 2, kept


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_workers_that_lose_their_first_process_end_and_their_rows_are_kept(
    tmp_path: Path, bundle: Path, vae: reparam.VAE
) -> None:
    np.save(tmp_path / "x.npy", reparam.noise("uniform", 0, range(250_000), vae.manifest.input.shape))
    options = ("--max-batch", 1, "--workers", 2, "--threads", 1)
    finished(tmp_path, bundle, *options)
    wanted = results(tmp_path)
    for name in wanted:
        (tmp_path / name).unlink()
    process = begin(tmp_path, bundle, *options, code=PLAIN)
    workers = until(lambda: found if len(found := children(process)) == 2 else [])
    until(lambda: rows_done(tmp_path))
    process.kill()
    ended(process)
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    assert set(results(tmp_path)) == {"mean.npy.part", "logvar.npy.part", "mean.npy.part.json"}
    assert finished(tmp_path, bundle, *options, "--resume")["rows_resumed_from"] > 0
    assert results(tmp_path) == wanted


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_worker_that_is_killed_is_told_of_in_one_line_and_the_rows_of_all_are_kept(
    tmp_path: Path, bundle: Path, vae: reparam.VAE
) -> None:
    np.save(tmp_path / "x.npy", reparam.noise("uniform", 0, range(250_000), vae.manifest.input.shape))
    options = ("--max-batch", 1, "--workers", 2, "--threads", 1)
    process = begin(tmp_path, bundle, *options, code=PLAIN)
    workers = until(lambda: found if len(found := children(process)) == 2 else [])
    until(lambda: rows_done(tmp_path))
    os.kill(workers[0], signal.SIGKILL)
    code, out, err = ended(process)
    assert (code, out, err.count("\n")) == (5, "", 1)
    assert err.startswith("error: --workers: a worker process was ended by signal 9; use fewer workers or a smaller")
    assert " of 250,000 rows are kept, and --resume goes on from them" in err
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    assert finished(tmp_path, bundle, *options, "--resume")["rows"] == 250_000


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ctrl_c_ends_all_workers_and_the_rows_are_kept(tmp_path: Path, bundle: Path, vae: reparam.VAE) -> None:
    np.save(tmp_path / "x.npy", reparam.noise("uniform", 0, range(250_000), vae.manifest.input.shape))
    options = ("--max-batch", 1, "--workers", 2, "--threads", 1)
    process = begin(tmp_path, bundle, *options, code=PLAIN)
    workers = until(lambda: found if len(found := children(process)) == 2 else [])
    until(lambda: rows_done(tmp_path))
    for pid in (*workers, process.pid):  # as a terminal does
        os.kill(pid, signal.SIGINT)
    code, out, err = ended(process)
    assert (code, out, err.count("\n")) == (130, "", 1)
    assert re.match(r"error: interrupted; [\d,]+ of 250,000 rows are kept, and --resume goes on from them$", err)
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    assert finished(tmp_path, bundle, *options, "--resume")["rows_resumed_from"] > 0
