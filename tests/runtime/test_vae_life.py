"""Loading, options, closing, and what a model says of itself."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reparam
from reparam.errors import BundleError, BundleNotFound, ClosedError, OptionError, ReparamError

Rows = Callable[[int], Any]


def test_info_says_what_runs(bundle: Path) -> None:
    with reparam.load(bundle, device="cpu", threads=2, max_batch=7) as vae:
        info, manifest = vae.info(), vae.manifest
    assert (info.name, info.id) == (manifest.name, manifest.id)
    assert (info.input, info.latent) == (manifest.input.shape, manifest.latent.shape)
    assert (info.device, info.provider, info.precision) == ("cpu", "CPUExecutionProvider", "fp32")
    assert (info.threads, info.max_batch, info.noise) == (2, 7, manifest.latent.noise)
    assert info.likelihood in ("bernoulli", "gaussian")
    assert info.onnxruntime.count(".") == 2


def test_repr_names_the_bundle_and_its_state(bundle: Path) -> None:
    vae = reparam.load(bundle, device="cpu")
    assert repr(vae) == f"<reparam.VAE {vae.manifest.name} {vae.manifest.id[:8]} cpu>"
    vae.close()
    assert repr(vae) == f"<reparam.VAE {vae.manifest.name} {vae.manifest.id[:8]} closed>"


@pytest.mark.parametrize("n", [0, 3])
def test_every_call_on_a_closed_model_says_so(bundle: Path, rows_of: Rows, n: int) -> None:
    vae = reparam.load(bundle, device="cpu")
    x, z = rows_of(n), np.zeros((n, *vae.manifest.latent.shape), np.float32)
    vae.close()
    vae.close()
    calls: list[Callable[[], Any]] = [
        lambda: vae.encode(x),
        lambda: vae.sample(x, seed=7),
        lambda: vae.decode(z),
        lambda: vae.reconstruct(x),
        lambda: vae.generate(n, seed=7),
        lambda: vae.interpolate(x, x),
        lambda: list(vae.stream(x, op="encode")),
        vae.info,
        vae.__enter__,
    ]
    for call in calls:
        with pytest.raises(ClosedError, match=r"^this model is closed; load it again$"):
            call()


def test_a_with_block_closes_also_where_it_raises(bundle: Path) -> None:
    with pytest.raises(KeyError, match="mine"), reparam.load(bundle, device="cpu") as vae:
        raise KeyError("mine")
    with pytest.raises(ClosedError):
        vae.info()


def test_the_manifest_outlives_the_model(bundle: Path) -> None:
    with reparam.load(bundle, device="cpu") as vae:
        name = vae.manifest.name
    assert vae.manifest.name == name


def test_a_path_may_be_text_or_any_path(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Own:
        def __fspath__(self) -> str:
            return str(bundle)

    monkeypatch.chdir(bundle.parent)
    for path in (str(bundle), bundle, Own(), bundle.name, f"./{bundle.name}/"):
        with reparam.load(path, device="cpu") as vae:
            assert vae.info().name


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("device", "gpu"),
        ("device", "CPU"),
        ("device", ""),
        ("device", "cuda:"),
        ("device", "cuda:-1"),
        ("device", "cuda:1 "),
        ("device", "cuda:\u0661"),  # an Arabic digit one
        ("device", None),
        ("device", 0),
        ("precision", "fp64"),
        ("precision", None),
        ("threads", 0),
        ("threads", -2),
        ("threads", 1.5),
        ("threads", "2"),
        ("threads", 2**40),
        ("max_batch", 0),
        ("max_batch", -1),
        ("max_batch", 2.5),
        ("max_batch", "8"),
        ("max_batch", None),
    ],
)
def test_an_option_that_cannot_be_honoured_is_refused_by_name(bundle: Path, option: str, value: Any) -> None:
    options: dict[str, Any] = {"device": "cpu"} | {option: value}
    with pytest.raises(OptionError, match=f"^{option}: ") as caught:
        reparam.load(bundle, **options)
    assert isinstance(caught.value, ValueError)
    assert "\n" not in str(caught.value)


def test_a_precision_that_the_bundle_lacks_is_refused_with_those_it_has(bundle: Path) -> None:
    with pytest.raises(OptionError, match=r"^precision: .* has .*fp32.*, got 'fp16'; export it with that precision"):
        reparam.load(bundle, device="cpu", precision="fp16")


@pytest.mark.parametrize("path", ["nowhere", "nowhere/at/all", "", "n" * 250, "n" * 300])
def test_a_place_without_a_bundle_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BundleError) as caught:
        reparam.load(path, device="cpu")
    assert len(path) > 200 or isinstance(caught.value, BundleNotFound)
    assert isinstance(caught.value, ValueError)


def test_not_found_is_also_the_builtin(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere: no such folder; give the folder of a bundle$"):
        reparam.load(tmp_path / "nowhere", device="cpu")


def test_a_path_that_no_system_could_have_is_refused(bundle: Path) -> None:
    with pytest.raises(BundleError, match="null"):
        reparam.load(f"{bundle}\0", device="cpu")


@pytest.mark.parametrize("path", [None, 3, b"bytes"])
def test_a_path_of_another_type_is_refused_by_name(path: Any) -> None:
    with pytest.raises((ReparamError, TypeError), match=r"path|str"):
        reparam.load(path, device="cpu")


def lowest_free_descriptor() -> int:
    number = os.open(os.devnull, os.O_RDONLY)
    os.close(number)
    return number


def test_loading_leaves_no_descriptor_open(bundle: Path, tmp_path: Path) -> None:
    before = lowest_free_descriptor()
    with reparam.load(bundle, device="cpu"):
        assert lowest_free_descriptor() == before
    with pytest.raises(BundleNotFound):
        reparam.load(tmp_path, device="cpu")
    assert lowest_free_descriptor() == before


def test_a_pickled_model_is_a_recipe_that_gives_the_same_numbers(bundle: Path, rows_of: Rows) -> None:
    with reparam.load(bundle, device="cpu", threads=1, max_batch=3) as vae:
        recipe = pickle.dumps(vae)
        wanted = vae.sample(rows_of(10), seed=7)
    assert len(recipe) < 2000  # no weights
    with pickle.loads(recipe) as again:
        assert (again.info().threads, again.info().max_batch) == (1, 3)
        np.testing.assert_array_equal(again.sample(rows_of(10), seed=7), wanted)


@pytest.mark.parametrize(
    "kind", [kind for kind in vars(reparam.errors).values() if isinstance(kind, type) and kind is not ReparamError]
)
def test_every_error_is_ours_and_a_builtin_and_has_an_exit_code(kind: type[ReparamError]) -> None:
    assert issubclass(kind, ReparamError)
    builtins = {base for base in kind.__mro__ if base.__module__ == "builtins"} - {Exception, BaseException, object}
    assert builtins
    assert 1 <= kind.exit_code <= 6


def test_a_pickled_model_never_becomes_another_one(copied: Path) -> None:
    with reparam.load(copied, device="cpu") as vae:
        recipe = pickle.dumps(vae)
    with (copied / "manifest.json").open("ab") as file:
        file.write(b"\n")  # as a new export would change it
    with pytest.raises(BundleError, match="expect_sha256"):
        pickle.loads(recipe)
