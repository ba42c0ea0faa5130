"""How probable rows are: the ELBO and the importance-sampled log-likelihood, against what can be known exactly."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reparam
from reparam.errors import ClosedError, InputError, InputTypeError, OptionError, ReparamError
from reparam.laws import LAWS, Law

Nats = npt.NDArray[np.float64]
Maker = Callable[..., Path]
Rows = Callable[[int], npt.NDArray[np.float32]]


def log_normal(x: npt.NDArray[Any], mean: Any, variance: float) -> Nats:
    """Log density of independent normals, summed over each row."""
    error = x.astype(np.float64) - mean
    each: Nats = -0.5 * (error**2 / variance + math.log(2 * math.pi * variance))
    return each.reshape(len(x), -1).sum(axis=1)


@pytest.fixture
def x() -> npt.NDArray[np.float32]:
    return np.random.default_rng(4).normal(0, 1.5, (40, 2)).astype(np.float32)


@pytest.fixture
def exact(tiny: Maker, onnx: Any, tmp_path: Path) -> reparam.VAE:
    """p(x given z) = N(z, 1), so p(x) = N(0, 2), and the encoder gives the true posterior, N(x/2, 1/2)."""
    nodes = [
        onnx.node("Add", "x x", "twice"),
        onnx.node("Div", "twice x", "two"),  # where x is not 0
        onnx.node("Div", "x two", "mean"),
        onnx.node("Log", "two", "log2"),
        onnx.node("Neg", "log2", "logvar"),
        onnx.node("Div", "logvar two", "half"),
        onnx.node("Exp", "half", "std"),
        onnx.node("Mul", "std eps", "away"),
        onnx.node("Add", "mean away", "z"),
    ]
    return reparam.load(tiny(tmp_path / "exact", encoder=onnx.encoder(*nodes)), device="cpu", threads=1)


@pytest.mark.parametrize("law", LAWS)
def test_the_elbo_is_log_p_at_the_sample_less_the_divergence(tiny: Maker, tmp_path: Path, x: Any, law: Law) -> None:
    folder = tiny(tmp_path / "b", latent={"shape": [2], "noise": law}, likelihood={"kind": "gaussian", "std": 0.7})
    with reparam.load(folder, device="cpu") as vae:
        wanted = log_normal(x, vae.reconstruct(x, seed=7, first_row=3), 0.49) - vae.encode(x).kl()
        found = vae.elbo(x, seed=7, first_row=3)
    assert (found.dtype, found.shape) == (np.float64, (40,))
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_bernoulli_rows_are_scored_by_their_logits(tiny: Maker, onnx: Any, tmp_path: Path) -> None:
    nodes = [onnx.node("Sigmoid", "z", "x_hat"), onnx.node("Identity", "z", "logits")]
    z, x_hat, logits = (onnx.value(name, "batch", 2) for name in ("z", "x_hat", "logits"))
    decoder = onnx.model(onnx.graph(nodes, [z], [x_hat, logits]))
    folder = tiny(tmp_path / "b", decoder=decoder, likelihood={"kind": "bernoulli"})
    x = np.array([[0, 1], [1, 1], [0.25, 0.5]], np.float32)
    with reparam.load(folder, device="cpu") as vae:
        p = vae.reconstruct(x, seed=7).astype(np.float64)
        log_p = (x * np.log(p) + (1 - x) * np.log1p(-p)).sum(axis=1)
        np.testing.assert_allclose(vae.elbo(x, seed=7), log_p - vae.encode(x).kl(), rtol=1e-5)
        far = 2000 * x  # logits far beyond where exp overflows
        assert np.isfinite(vae.elbo(far, seed=7)).all()


def test_with_the_true_posterior_any_number_of_samples_is_exact(exact: reparam.VAE, x: Any) -> None:
    wanted = log_normal(x, 0, 2)
    for samples in (1, 2, 17):
        found = exact.log_likelihood(x, samples=samples, seed=samples)
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_the_elbo_of_the_true_posterior_averages_to_the_log_likelihood(exact: reparam.VAE) -> None:
    x = np.full((20_000, 2), 0.8, np.float32)
    found = exact.elbo(x, seed=7)
    assert abs(found.mean() - log_normal(x[:1], 0, 2)[0]) < 5 * found.std() / math.sqrt(len(x))


@pytest.mark.parametrize("law", ["normal", "laplace"])
def test_more_samples_come_nearer_to_the_log_likelihood_from_below(
    tiny: Maker, tmp_path: Path, x: Any, law: Law
) -> None:
    with reparam.load(tiny(tmp_path / "b", latent={"shape": [2], "noise": law}), device="cpu") as vae:
        wanted = log_normal(x, 0, 2).mean()
        few, some, many = (vae.log_likelihood(x, samples=samples, seed=7).mean() for samples in (1, 30, 4000))
    assert few < some < many
    assert many == pytest.approx(wanted, abs=0.05)


def test_bounded_noise_stays_a_bound(tiny: Maker, tmp_path: Path, x: Any) -> None:
    with reparam.load(tiny(tmp_path / "b", latent={"shape": [2], "noise": "uniform"}), device="cpu") as vae:
        found = vae.log_likelihood(x, samples=2000, seed=7).mean()
        done = vae.evaluate(x, samples=20)
    assert found < log_normal(x, 0, 2).mean()
    assert done.nll_is_bound


@given(n=st.integers(0, 25), max_batch=st.integers(1, 9), more=st.integers(0, 25), first=st.integers(0, 2**64 - 60))
def test_scores_do_not_depend_on_batches_or_parts(
    load_at: Callable[..., reparam.VAE], rows_of: Rows, *, n: int, max_batch: int, more: int, first: int
) -> None:
    x, whole, parts = rows_of(n + more), load_at(), load_at(max_batch)
    for score in (
        lambda vae, rows, row: vae.elbo(rows, seed=5, first_row=row),
        lambda vae, rows, row: vae.log_likelihood(rows, samples=3, seed=5, first_row=row),
    ):
        found = np.concatenate([score(parts, x[:n], first), score(parts, x[n:], first + n)])
        np.testing.assert_array_equal(found, score(whole, x, first))


def test_the_elbo_is_at_the_z_that_sample_gives(vae: reparam.VAE, rows_of: Rows) -> None:
    x, likelihood = rows_of(30), vae.manifest.likelihood
    x_hat = vae.decode(vae.sample(x, seed=7)).astype(np.float64)
    if hasattr(likelihood, "std"):
        log_p = log_normal(x, x_hat, likelihood.std**2)
    else:
        log_p = (x * np.log(x_hat) + (1 - x) * np.log1p(-x_hat)).reshape(30, -1).sum(axis=1)
    np.testing.assert_allclose(vae.elbo(x, seed=7), log_p - vae.encode(x).kl(), rtol=1e-4)


def test_data_are_more_probable_than_noise(bundle: Path, vae: reparam.VAE) -> None:
    golden = np.load(bundle / "golden.npz")
    rows = golden[max(golden.files, key=lambda name: (name.startswith("x_"), "hat" not in name, len(golden[name])))]
    noise = np.random.default_rng(0).random((200, *vae.manifest.input.shape)).astype(np.float32)
    assert vae.elbo(rows, seed=7).mean() > vae.elbo(noise, seed=7).mean() + 10


def test_an_evaluation_is_the_mean_of_the_scores(vae: reparam.VAE, rows_of: Rows) -> None:
    x = rows_of(50)
    done = vae.evaluate(x, seed=7, samples=5)
    nll = -vae.log_likelihood(x, samples=5, seed=7)
    assert (done.rows, done.seed, done.samples) == (50, 7, 5)
    assert done.negative_elbo == pytest.approx(-vae.elbo(x, seed=7).mean())
    assert done.rate == pytest.approx(vae.encode(x).kl().mean())
    assert done.negative_elbo == pytest.approx(done.rate + done.distortion)
    assert done.nll == pytest.approx(nll.mean())
    assert done.nll_se == pytest.approx(nll.std(ddof=1) / math.sqrt(50), rel=0.05)
    assert done.bits_per_dim == pytest.approx(nll.mean() / math.log(2) / x[0].size)
    assert 0 <= done.active_units <= done.latent == math.prod(vae.manifest.latent.shape)


def test_without_samples_an_evaluation_leaves_the_likelihood_out(vae: reparam.VAE, rows_of: Rows) -> None:
    done = vae.evaluate(rows_of(50))
    assert (done.samples, done.nll, done.nll_se) == (0, None, None)
    assert done.bits_per_dim == pytest.approx(done.negative_elbo / math.log(2) / rows_of(1).size)


def test_one_row_can_be_evaluated(vae: reparam.VAE, rows_of: Rows) -> None:
    done = vae.evaluate(rows_of(1), samples=2)
    assert math.isfinite(done.negative_elbo)
    assert done.active_units == 0


def test_units_that_say_something_are_active(tiny: Maker, tmp_path: Path) -> None:
    x = np.array([[0, 5], [0.01, -5], [0, 3]], np.float32)  # here mean = x
    with reparam.load(tiny(tmp_path / "b"), device="cpu") as vae:
        assert vae.evaluate(x).active_units == 1


def test_progress_is_told_of_every_row(load_at: Callable[..., reparam.VAE], rows_of: Rows) -> None:
    told: list[int] = []
    load_at(7).evaluate(rows_of(20), samples=2, progress=told.append)
    assert told == [7, 7, 6]


def test_no_rows_have_no_scores_and_no_evaluation(vae: reparam.VAE, rows_of: Rows) -> None:
    assert vae.elbo(rows_of(0), seed=7).shape == (0,)
    assert vae.log_likelihood(rows_of(0), samples=2, seed=7).shape == (0,)
    with pytest.raises(InputError, match=r"^x: must have at least one row to be evaluated, got none"):
        vae.evaluate(rows_of(0))


@pytest.mark.parametrize("samples", [-1, 0, 2**30, 1.5, "5", None])
def test_a_number_of_samples_that_cannot_be_is_refused_by_name(vae: reparam.VAE, rows_of: Rows, samples: Any) -> None:
    with pytest.raises(OptionError, match=r"^samples: must be an integer from 1 to 2\^30 - 1, got "):
        vae.log_likelihood(rows_of(3), samples=samples, seed=7)


@pytest.mark.parametrize("n", [0, 3])
@pytest.mark.parametrize("first_row", [-1, 2**64, 1.5, None])
def test_a_row_number_that_cannot_be_is_refused_by_name(
    vae: reparam.VAE, rows_of: Rows, n: int, first_row: Any
) -> None:
    for score in (vae.elbo, lambda x, **more: vae.log_likelihood(x, samples=2, **more)):
        with pytest.raises(ReparamError, match=r"^first_row: "):
            score(rows_of(n), seed=7, first_row=first_row)


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, None])
def test_a_bad_seed_is_refused(vae: reparam.VAE, rows_of: Rows, seed: Any) -> None:
    for score in (vae.elbo, vae.evaluate, lambda x, seed: vae.log_likelihood(x, samples=2, seed=seed)):
        with pytest.raises(OptionError, match=r"^seed: "):
            score(rows_of(3), seed=seed)


def test_scores_hold_their_rows_to_the_rules_of_every_call(vae: reparam.VAE, rows_of: Rows) -> None:
    bad = rows_of(3)
    bad[1] = np.nan
    for score in (vae.elbo, vae.evaluate, lambda x, seed: vae.log_likelihood(x, samples=2, seed=seed)):
        with pytest.raises(InputTypeError, match=r"^x: dtype must be float32"):
            score(rows_of(3).astype(int), seed=7)
        with pytest.raises(InputError, match=r"^x: shape must be \[n, .*got one row"):
            score(rows_of(1)[0], seed=7)
        with pytest.raises(InputError, match=r"^x: must be finite, got nan at row 1"):
            score(bad, seed=7)
    found = vae.elbo(bad, seed=7, allow_nan=True)
    np.testing.assert_array_equal(np.isnan(found), [False, True, False])


def test_a_closed_model_scores_nothing(bundle: Path, rows_of: Rows) -> None:
    vae = reparam.load(bundle, device="cpu")
    vae.close()
    for score in (vae.elbo, vae.evaluate, lambda x, seed: vae.log_likelihood(x, samples=2, seed=seed)):
        with pytest.raises(ClosedError):
            score(rows_of(3), seed=7)


def test_rows_whose_score_is_no_number_are_refused(vae: reparam.VAE) -> None:
    x = np.full((3, 1, 8, 8), 3e38, np.float32)
    for samples in (0, 2):
        with pytest.raises(InputError, match=r"^x: the model gives rows a score that is not finite; bring them to"):
            vae.evaluate(x, samples=samples)
