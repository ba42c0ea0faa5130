"""Files larger than memory: training from a mapped file must not make the process hold all of it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from reparam.files.stored import Stored
from reparam_train.data import from_arrays, load, paging
from reparam_train.data.paging import gather

CODE = """
import sys
import torch
from reparam_train.data import load
from reparam_train.loop import fit
from reparam_train.model import VAE
from reparam_train.options import Options, config_for
torch.set_num_threads(1)

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

small, large, out = sys.argv[1:]
data = load(small)
config = config_for(data, net="mlp", hidden=(8,), latent=2)
options = Options(epochs=1, batch_size=4096, device="cpu", threads=1)
fit(data, config, options, out=out + "-small")
before = peak()
fit(load(large), config, options, out=out)
print(before, peak())
"""


def sparse(path: Path, rows: int) -> Path:
    """Rows of 784 zeros in a file that takes up no disk."""
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (rows, 784)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + rows * 784 * 4)
    return path


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of resident memory is read from /proc")
def test_training_from_four_gigabytes_stays_under_one_above_the_model(tmp_path: Path) -> None:
    small, large = sparse(tmp_path / "small.npy", 5000), sparse(tmp_path / "large.npy", 1_300_000)
    assert large.stat().st_size > 4e9
    command = [sys.executable, "-c", CODE, str(small), str(large), str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert after - before < 1e9


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits so small that a file of a few pages counts as large, and is read in several parts."""
    monkeypatch.setattr(paging, "_SMALL", 2**12)
    monkeypatch.setattr(paging, "_BUDGET", 2**14)
    monkeypatch.setattr(paging, "_AROUND", 2**12)


@pytest.mark.usefixtures("strict")
def test_rows_of_a_large_file_are_the_rows_of_the_array_in_any_order(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(5000, 7)).astype(np.float32)
    np.save(tmp_path / "rows.npy", rows)
    data, inside = load(tmp_path / "rows.npy"), from_arrays(rows)
    assert isinstance(data.train.values, Stored)
    for seed in range(3):
        places = np.random.default_rng(seed).permutation(4500)[: 10 ** (seed + 1)]
        assert np.array_equal(data.train.batch(places), inside.train.batch(places))
    assert data.sha256 == inside.sha256
    assert data.train.batch(np.arange(0)).shape == (0, 7)


@pytest.mark.usefixtures("strict")
def test_a_map_that_was_written_to_loses_nothing(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.zeros((5000, 7), np.float32))
    mine = np.load(tmp_path / "rows.npy", mmap_mode="c")
    mine[3] = 1
    assert gather(mine, np.arange(5000))[3].tolist() == [1] * 7
    assert mine[3].tolist() == [1] * 7
