"""Each I/O call of a checkpoint, of `reparam data` and of the cache of images fails in turn, in every way it can."""

import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from catalogue.door import command, contents
from faulty import every_fault
from reparam.errors import InputError, OutputError, ReparamError
from reparam_train import checkpoint
from reparam_train.checkpoint import State, read_state
from reparam_train.data import Data, load
from reparam_train.loop import fit
from reparam_train.options import Options, config_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="tells files by /proc/self/fd")


def state(step: int) -> State:
    """Weights that say which step they are of."""
    weights = {"weight": torch.full((64, 8), float(step))}
    return State(model=weights, optimizer={}, epoch=step, step=step, metrics={"epoch": step, "step": step, "elbo": 3.5})


@pytest.mark.timeout(600)
@pytest.mark.parametrize("thorough", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_checkpoint_is_the_old_or_the_new_whatever_call_of_a_save_fails(tmp_path: Path, thorough: bool) -> None:
    made, run = tmp_path / "made", tmp_path / "run"
    made.mkdir()
    checkpoint.save(made, state(1))
    checkpoint.save(made, state(2))
    shutil.copytree(made, tmp_path / "next")
    checkpoint.save(tmp_path / "next", state(3))
    wanted = contents(tmp_path / "next")

    def prepare() -> None:
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(made, run)

    failed = 0
    for told, act in every_fault(run, prepare, lambda: checkpoint.save(run, state(3)), thorough=thorough):
        error: ReparamError | None = None
        try:
            act()
        except ReparamError as caught:
            error = caught
            assert str(error).isprintable()
        failed += error is not None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a save was cut short, and that is said
            found = read_state(run)
        assert found is not None, told
        assert found.step in ((2, 3) if error else (3,)), told
        assert torch.equal(found.model["weight"], state(found.step).model["weight"]), told
        names = {path.name for path in run.iterdir() if not path.name.startswith(".")}
        assert names == set(wanted), told
        checkpoint.save(run, state(3))
        assert set(contents(run)) == set(wanted), told  # what was in the making is swept
        again = read_state(run)
        assert again is not None, told
        assert again.step == 3, told
    assert failed > 30


def test_a_run_whose_disk_was_full_goes_on_to_the_same_bits(tmp_path: Path, digits: Data) -> None:
    config = config_for(digits, net="mlp", hidden=(8,), latent=2)
    options = Options(epochs=2, limit=64, batch_size=16, checkpoint_every=1, threads=1, device="cpu")
    fit(digits, config, options, out=tmp_path / "whole")
    out, interrupted = tmp_path / "run", 0
    # the calls of several saves, a few of which fail
    fault = every_fault(tmp_path / "run", lambda: shutil.rmtree(out, ignore_errors=True),
                        lambda: fit(digits, config, options, out=out), thorough=False)  # fmt: skip
    for number, (told, act) in enumerate(fault):
        if number % 41:
            continue
        shutil.rmtree(out, ignore_errors=True)
        try:
            act()
        except OutputError:
            interrupted += 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            fit(digits, config, options, out=out, resume=(out / "run.json").exists())
        assert contents(out)["metrics.csv"] == contents(tmp_path / "whole")["metrics.csv"], told
        found, wanted = read_state(out), read_state(tmp_path / "whole")
        assert found is not None
        assert wanted is not None
        assert all(torch.equal(found.model[name], wanted.model[name]) for name in wanted.model), told
    assert interrupted > 1


def test_rows_are_written_whole_or_not_at_all_whatever_call_fails(tmp_path: Path) -> None:
    at = tmp_path / "work"

    def prepare() -> None:
        shutil.rmtree(at, ignore_errors=True)
        at.mkdir()
        np.save(at / "x.npy", np.arange(60, dtype=np.float32).reshape(20, 3))
        (at / "out.npy").write_bytes(b"old")

    words = ["data", str(at / "x.npy"), "--split", "all", "--out", str(at / "out.npy")]
    prepare()
    assert command(*words).code == 0
    wanted = contents(at)
    failed = 0
    for told, act in every_fault(at, prepare, lambda: command(*words)):
        ended = act()
        failed += ended.code != 0
        if ended.code:
            assert (ended.err.count("\n"), ended.out, ended.err[:7]) == (1, "", "error: "), (told, ended)
            assert ended.code in (4, 5), (told, ended)
            assert contents(at)["out.npy"] == b"old", (told, ended)
        assert {name for name in contents(at) if not name.startswith(".")} == set(wanted), told
        assert command(*words).code == 0, told
        assert contents(at) == wanted, told
    assert failed > 30


def test_images_are_decoded_into_the_cache_whole_or_not_at_all_whatever_call_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = pytest.importorskip("PIL.Image", reason="the extra images is not installed")
    monkeypatch.setenv("REPARAM_CACHE", str(tmp_path / "cache"))
    (tmp_path / "photos").mkdir()
    for number in range(12):
        image.fromarray(np.full((6, 5), number, np.uint8)).save(tmp_path / "photos" / f"{number:02}.png")
    wanted = load(tmp_path / "photos").sha256

    def prepare() -> None:
        shutil.rmtree(tmp_path / "cache")

    failed = 0
    for told, act in every_fault(tmp_path / "cache", prepare, lambda: load(tmp_path / "photos")):
        try:
            assert act().sha256 == wanted, told
        except (OutputError, InputError):
            failed += 1
        assert load(tmp_path / "photos").sha256 == wanted, told
        assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".npy"], told
    assert failed > 20
