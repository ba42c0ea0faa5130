"""A run that is killed with -9 at any moment goes on, once resumed, to the bits of one that was never interrupted."""

import multiprocessing
import random
import sys
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest
import torch

from reparam_train.checkpoint import read_state
from reparam_train.data import load
from reparam_train.loop import fit
from reparam_train.options import Options, config_for

STEPS_PER_EPOCH = 40
EPOCHS = 4
EVERY = 2  # steps between checkpoints: 80 of them


def train(out: Path) -> None:
    """160 steps with many checkpoints, most in the middle of epochs; goes on where `out` left off."""
    torch.set_num_threads(1)
    digits = load("digits")
    config = config_for(digits, net="mlp", hidden=(64,), latent=4)
    options = Options(
        epochs=EPOCHS, limit=8 * STEPS_PER_EPOCH, batch_size=8, checkpoint_every=EVERY, threads=1, device="cpu"
    )
    fit(digits, config, options, out=out, resume=(out / "run.json").exists())


def begin(out: Path) -> ForkServerProcess:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "reparam_train.loop"])
    process = context.Process(target=train, args=(out,), daemon=True)
    process.start()
    return process


def after_checkpoints(out: Path, count: int) -> None:
    """Returns once so many were seen to be written, or more."""
    seen, last = 0, ""
    while seen < count:
        time.sleep(0.001)
        try:
            now = (out / "checkpoint.pt.sha256").read_text()
        except FileNotFoundError:
            continue
        seen, last = seen + (now != last), now


def ended(out: Path) -> None:
    process = begin(out)
    process.join(120)
    assert process.exitcode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="needs multiprocessing's fork server")
@pytest.mark.filterwarnings("ignore:.*a save was cut short.*")  # the kills' own doing
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kills", [6, pytest.param(100, marks=pytest.mark.slow)])
def test_a_run_killed_at_random_moments_ends_with_the_bits_of_one_that_was_not(tmp_path: Path, kills: int) -> None:
    ended(tmp_path / "whole")
    whole = read_state(tmp_path / "whole")
    assert whole is not None
    moments = random.Random(20260)
    steps: list[int] = []
    for kill in range(kills):
        out = tmp_path / f"killed-{kill}"
        process = begin(out)
        after_checkpoints(out, moments.randint(2, 40))
        time.sleep(moments.uniform(0, 0.02))  # within a step, or within a save
        process.kill()
        process.join()
        state = read_state(out)
        assert state is not None
        steps.append(state.step)
        ended(out)
        again = read_state(out)
        assert again is not None
        assert again.model.keys() == whole.model.keys()
        assert all(torch.equal(again.model[name], whole.model[name]) for name in whole.model)
        for name in ("metrics.jsonl", "metrics.csv"):
            assert (out / name).read_text() == (tmp_path / "whole" / name).read_text()
        assert {file.name for file in out.iterdir()} == {file.name for file in (tmp_path / "whole").iterdir()}  # swept
    in_an_epoch = [step for step in steps if step % STEPS_PER_EPOCH and step < EPOCHS * STEPS_PER_EPOCH]
    assert len(in_an_epoch) >= kills // 2, steps
