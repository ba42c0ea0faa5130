"""Several processes under torchrun make one process's run, to rounding."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reparam_train.checkpoint import read_run
from reparam_train.distributed import Group

STEPS = 50


def torchrun(processes: int, *words: str) -> subprocess.Popen[str]:
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)] if processes > 1 else []
    python = [sys.executable, *(["-m", *launcher] if launcher else [])]
    return subprocess.Popen(
        [
            *python,
            "-m",
            "reparam.cli.main",
            "train",
            "digits",
            *words,
            "--device",
            "cpu",
            "--threads",
            "1",
            "--no-preflight",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def finished(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=200)
    return process.returncode, out, err


def train(processes: int, out: Path, *words: str) -> str:
    code, printed, errors = finished(torchrun(processes, "--out", str(out), *words))
    assert code == 0, errors
    return printed


def furthest(first: Path, second: Path) -> float:
    """The largest difference of any weight of two runs."""
    a, b = (read_run(run).model.state_dict() for run in (first, second))
    assert a.keys() == b.keys()
    return max(float((a[name] - b[name]).abs().max()) for name in a)


SMALL = ("--net", "mlp", "--hidden", "32", "--latent", "4", "--batch-size", "29", "--seed", "3")
CASES = {
    "elbo": (),
    "free bits and dynamic binarisation": ("--free-bits", "0.2", "--binarize", "dynamic", "--clip-norm", "2"),
    "optimal scale": ("--likelihood", "gaussian", "--scale", "optimal"),
    "importance weighted": ("--objective", "iwae", "--samples", "3", "--posterior", "laplace"),
    "autoencoder": ("--objective", "autoencoder", "--likelihood", "gaussian"),
    "a net of one's own": ("--net", "nets_with_more:build"),
    "convolutional": ("--net", "conv", "--hidden", "4,8", "--upsample", "subpixel"),
}


OWN = '''
"""A linear net with a layer that nothing uses."""
from math import prod
from torch import nn

class Encoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.mean, self.logvar = (nn.Linear(prod(config.input_shape), config.latent) for _ in range(2))
        self.unused = nn.Linear(3, 3)

    def forward(self, x):
        return self.mean(x.flatten(1)), self.logvar(x.flatten(1))

def build(config):
    raw = nn.Linear(config.latent, prod(config.raw_shape))
    return Encoder(config), nn.Sequential(raw, nn.Unflatten(1, config.raw_shape))
'''


QUICK = "free bits and dynamic binarisation"  # the case with the most that must be averaged


def check_same(case: str, folder: Path) -> None:
    # uneven slices of 14 and 15 rows, and a last batch of one row, which both processes take
    words = (*SMALL, *CASES[case], "--epochs", "1", "--limit", str(29 * (STEPS - 1) + 1))
    train(1, folder / "one", *words)
    printed = train(2, folder / "two", *words)
    assert printed.count("test ") == 1  # one of them prints
    assert read_run(folder / "one").metrics["step"] == STEPS
    assert furthest(folder / "one", folder / "two") <= 1e-6
    one, two = (read_run(folder / name).metrics for name in ("one", "two"))
    assert one.keys() == two.keys()
    assert two == pytest.approx(one, abs=1e-3)


def test_two_processes_make_one_process_s_weights(tmp_path: Path) -> None:
    check_same(QUICK, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES.keys() - {QUICK})
def test_two_processes_make_one_process_s_weights_whatever_they_train(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nets_with_more.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    check_same(case, tmp_path)


def test_a_signal_stops_all_processes_after_one_step_and_one_process_goes_on(tmp_path: Path) -> None:
    words = (*SMALL, "--out", str(tmp_path / "run"), "--epochs", "10000", "--checkpoint-every", "1")
    process = torchrun(2, *words)
    while not (tmp_path / "run" / "checkpoint.pt").exists():
        assert process.poll() is None, finished(process)
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    code, _, errors = finished(process)
    assert code != 0
    assert errors.count("a checkpoint is there; go on with: reparam train digits --out") == 1, errors
    assert "Traceback" not in errors.split("go on with")[0]
    step = int(read_run(tmp_path / "run").metrics["step"])
    epochs = step // (1498 // 29 + 1) + 1
    train(1, tmp_path / "run", "--resume", "--epochs", str(epochs))
    train(1, tmp_path / "whole", *SMALL, "--epochs", str(epochs))
    one, two = (read_run(tmp_path / name).metrics for name in ("whole", "run"))
    assert two["test_elbo"] == pytest.approx(one["test_elbo"], abs=0.05)


def test_what_one_process_refuses_all_refuse(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("kept")
    code, printed, errors = finished(torchrun(2, *SMALL, "--out", str(tmp_path / "run")))
    assert (code != 0, printed) == (True, "")
    assert "exists already; continue it with --resume, or choose another --out" in errors
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["mine.txt"]
    words = (*SMALL[:-4], "--batch-size", "1", "--out", str(tmp_path / "other"))
    code, _, errors = finished(torchrun(2, *words))
    assert code != 0
    assert "batch_size: needs a row for each of 2 processes, got 1; give more" in errors
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("rows", [8, 29, 64])
@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_the_slices_of_a_batch_are_all_of_it_once_and_in_order(rows: int, size: int) -> None:
    slices = [Group(rank, size).slice(rows) for rank in range(size)]
    assert [place for piece in slices for place in piece] == list(range(rows))
    assert max(map(len, slices)) - min(map(len, slices)) <= 1


@pytest.mark.parametrize("rows", [1, 2, 7, 8, 9, 29])
@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_the_slices_of_a_batch_are_never_empty_and_their_weighed_means_make_its_mean(rows: int, size: int) -> None:
    groups = [Group(rank, size) for rank in range(size)]
    means = [sum(group.slice(rows)) / len(group.slice(rows)) for group in groups]
    found = sum(mean * group.share(rows) for mean, group in zip(means, groups, strict=True))
    assert found == pytest.approx((rows - 1) / 2)
