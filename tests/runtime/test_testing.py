"""reparam.testing: a tiny bundle is a whole one, for the tests of programs that embed reparam."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reparam
from reparam.errors import OptionError, OutputError
from reparam.testing import tiny_bundle

SHAPES = [((5,), (2,)), ((2, 7), (3,)), ((3, 8, 6), (4, 2, 2))]
LIKELIHOODS = ["bernoulli", "gaussian", "laplace"]


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize(("input_shape", "latent_shape"), SHAPES)
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_a_tiny_bundle_verifies_and_does_all_that_a_model_does(
    tmp_path: Path, input_shape: tuple[int, ...], latent_shape: tuple[int, ...], likelihood: Any
) -> None:
    folder = tiny_bundle(tmp_path / "b", input_shape=input_shape, latent_shape=latent_shape, likelihood=likelihood)
    reparam.verify(folder, device="cpu", threads=1)
    with reparam.load(folder, device="cpu", threads=1) as vae:
        x = vae.generate(9, seed=7)
        assert x.shape == (9, *input_shape)
        posterior, z = vae.encode(x), vae.sample(x, seed=7)
        assert posterior.mean.shape == posterior.logvar.shape == z.shape == (9, *latent_shape)
        for rows in (x, posterior.mean, posterior.logvar, z, vae.decode(z), vae.reconstruct(x), posterior.kl()):
            assert len(np.unique(rows.reshape(9, -1), axis=0)) == 9  # no two rows alike
        assert np.isfinite(vae.elbo(x, seed=7)).all()
        assert np.ptp(vae.log_likelihood(x, samples=3, seed=7)) > 0


def test_a_tiny_bundle_may_be_a_plain_autoencoder(tmp_path: Path) -> None:
    folder = tiny_bundle(tmp_path / "b", deterministic=True)
    reparam.verify(folder, device="cpu", threads=1)
    with reparam.load(folder, device="cpu", threads=1) as vae:
        x = vae.generate(4, seed=7)
        assert vae.sample(x).shape == (4, 2)
        with pytest.raises(OptionError, match="no posterior"):
            vae.encode(x)


def test_a_tiny_bundle_without_a_likelihood_cannot_be_scored(tmp_path: Path) -> None:
    with reparam.load(tiny_bundle(tmp_path / "b", likelihood=None), device="cpu", threads=1) as vae:
        x = vae.generate(4, seed=7)
        with pytest.raises(OptionError, match="names no likelihood"):
            vae.elbo(x, seed=7)


@pytest.mark.parametrize("law", ["normal", "uniform", "laplace"])
def test_the_law_of_the_noise_is_the_one_asked_for(tmp_path: Path, law: Any) -> None:
    with reparam.load(tiny_bundle(tmp_path / "b", posterior=law), device="cpu", threads=1) as vae:
        x = vae.generate(4, seed=7)
        eps = reparam.noise(law, 3, range(4), (2,))
        assert np.array_equal(vae.sample(x, seed=3), vae.sample(x, eps=eps))


def test_the_same_arguments_give_the_same_bytes_and_another_seed_another_model(tmp_path: Path) -> None:
    one, other = tiny_bundle(tmp_path / "one", seed=3), tiny_bundle(tmp_path / "other", seed=3)
    assert content(one) == content(other)
    tiny_bundle(other, seed=4)  # replaces it
    assert content(one)["encoder.onnx"] != content(other)["encoder.onnx"]
    assert reparam.load(one, device="cpu").manifest.id != reparam.load(other, device="cpu").manifest.id


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_shape": ()}, r"input_shape: must have 1 to 7 sizes and at most 16384 values, got \[\]"),
        ({"input_shape": (3, 100, 100)}, r"input_shape: .* got \[3, 100, 100\]"),
        ({"latent_shape": (0,)}, r"latent_shape\[0\]: must be an integer of at least 1, got 0"),
        ({"likelihood": "poisson"}, "likelihood: must be bernoulli, gaussian, laplace or None, got 'poisson'"),
        ({"posterior": "cauchy"}, "law: must be one of normal, uniform, laplace, got 'cauchy'"),
        ({"seed": -1}, "seed: must be an integer from 0 to"),
    ],
)
def test_options_out_of_their_range_are_refused_by_name(tmp_path: Path, options: Any, message: str) -> None:
    with pytest.raises(OptionError, match=f"^{message}"):
        tiny_bundle(tmp_path / "b", **options)
    assert not (tmp_path / "b").exists()


def test_what_is_no_bundle_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="is a folder but no bundle"):
        tiny_bundle(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_it_needs_neither_torch_nor_onnx_nor_onnxruntime(fresh: Callable[..., Any], tmp_path: Path) -> None:
    code = """
import sys
from reparam.testing import tiny_bundle
tiny_bundle(sys.argv[1])
print([name for name in ("torch", "onnx", "onnxruntime", "google.protobuf") if name in sys.modules])
"""
    done = fresh(code, tmp_path / "b")
    assert (done.out, done.err) == ("[]\n", "")
