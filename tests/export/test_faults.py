"""Each I/O call of a layout's and an export's publication fails in turn: the old folder or the new, and one line."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import reparam_export
from catalogue.door import contents
from faulty import every_fault
from reparam.errors import OutputError, ReparamError
from reparam.testing import tiny_bundle
from reparam_train.model import VAE
from reparam_train.options import VAEConfig

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="tells files by /proc/self/fd")


def held(parent: Path, old: Path, new: Path, act: Callable[[], Any], *, thorough: bool) -> int:
    """Holds that whatever call fails the place is as `old` or as `new`, and that a next act sweeps; how many failed."""
    place = parent / "place"
    before, after = contents(old), contents(new)

    def prepare() -> None:
        shutil.rmtree(parent, ignore_errors=True)
        parent.mkdir()
        shutil.copytree(old, place)

    failed = 0
    for told, disturbed in every_fault(parent, prepare, act, thorough=thorough):
        error: ReparamError | None = None
        try:
            disturbed()
        except OutputError as caught:
            error = caught
            failed += 1
        assert error is None or str(error).isprintable(), told
        assert contents(place) == (after if error is None else before), told
        assert [path.name for path in parent.iterdir() if path.name[0] != "."] == ["place"], told
        act()
        assert contents(place) == after, told
        assert [path.name for path in parent.iterdir()] == ["place"], told
    return failed


@pytest.mark.timeout(900)
@pytest.mark.parametrize("thorough", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_layout_is_the_old_or_the_new_whatever_call_fails(tmp_path: Path, thorough: bool) -> None:
    for seed, name in enumerate(("old", "new")):
        reparam_export.lay_out(tiny_bundle(tmp_path / f"b{seed}", seed=seed), tmp_path / name, layout="triton")

    def act() -> None:
        reparam_export.lay_out(tmp_path / "b1", tmp_path / "parent" / "place", layout="triton")

    assert held(tmp_path / "parent", tmp_path / "old", tmp_path / "new", act, thorough=thorough) > 20


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_an_export_is_the_old_or_the_new_whatever_call_fails(tmp_path: Path) -> None:
    config = VAEConfig(net="mlp", input_shape=(6,), latent=2, hidden=(4,))
    models = {name: VAE.build(config, seed=seed) for seed, name in enumerate(("old", "new"))}
    for name, model in models.items():
        reparam_export.export(model, tmp_path / name, name="place")

    def act() -> None:
        reparam_export.export(models["new"], tmp_path / "parent" / "place", name="place")

    assert held(tmp_path / "parent", tmp_path / "old", tmp_path / "new", act, thorough=False) > 20
