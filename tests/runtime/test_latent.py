"""Ways through the latent space: paths and traversals that keep what they promise, and priors drawn from as data."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reparam
from reparam.errors import InputError, InputNotFound, OptionError, ReparamError

Array = npt.NDArray[np.float32]
Rows = Callable[[int], Array]
Maker = Callable[..., Path]
Path_ = Literal["linear", "spherical"]
PATHS: tuple[Path_, ...] = ("linear", "spherical")
DIGITS = Path(__file__).resolve().parents[2] / "train" / "reparam_train" / "data" / "digits.npz"


@pytest.fixture(scope="module")
def digits() -> tuple[Array, Array]:
    """Training and held-out rows of models/digits, 0 to 1."""
    stored = np.load(DIGITS)
    train, test = (stored[f"{split}_x"][:, None].astype(np.float32) / 16 for split in ("train", "test"))
    return train, test


@pytest.fixture(scope="module")
def plain(tiny: Maker, tmp_path_factory: pytest.TempPathFactory) -> reparam.VAE:
    """mean = x and x_hat = z, so that what happens to latents can be seen."""
    return reparam.load(tiny(tmp_path_factory.mktemp("plain") / "plain"), device="cpu", threads=1)


@pytest.fixture
def mixture() -> reparam.GaussianMixture:
    random = np.random.default_rng(0)
    roots = random.normal(size=(3, 4, 4))
    means = np.array([[-6, 0, 0, 0], [0, 6, 0, 0], [0, 0, 0, 9]]).reshape(3, 2, 2)
    return reparam.GaussianMixture(np.array([0.5, 0.3, 0.2]), means, roots @ roots.transpose(0, 2, 1) + np.eye(4))


# -- paths ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
def test_a_path_begins_and_ends_at_the_reconstructions_to_the_bit(
    vae: reparam.VAE, digits: tuple[Array, Array], path: Path_
) -> None:
    a, b = digits[1][:9], digits[1][9:18]
    found = vae.interpolate(a, b, steps=5, path=path)
    np.testing.assert_array_equal(found[:, 0], vae.reconstruct(a))
    np.testing.assert_array_equal(found[:, -1], vae.reconstruct(b))


finite = st.floats(-1e3, 1e3, width=32)
points = st.lists(st.tuples(finite, finite), min_size=1, max_size=5).map(lambda rows: np.array(rows, np.float32))


@given(a=points, b=points, steps=st.integers(2, 9))
def test_norms_of_an_arc_stay_between_those_of_its_ends(plain: reparam.VAE, a: Array, b: Array, steps: int) -> None:
    n = min(len(a), len(b))
    found = plain.interpolate(a[:n], b[:n], steps=steps, path="spherical")
    norms = np.linalg.norm(found.astype(np.float64), axis=2)
    ends = np.linalg.norm([a[:n], b[:n]], axis=2)
    slack = 1e-5 * (ends.max() + 1e-6)
    assert (norms >= np.minimum(*ends)[:, None] - slack).all()
    assert (norms <= np.maximum(*ends)[:, None] + slack).all()


@given(st.floats(0, 2 * math.pi), st.floats(0, 2 * math.pi), st.floats(0.01, 100), st.integers(3, 9))
def test_an_arc_between_equal_norms_keeps_the_norm_and_turns_evenly(
    plain: reparam.VAE, start: float, end: float, norm: float, steps: int
) -> None:
    ends = [np.array([[math.cos(angle), math.sin(angle)]], np.float32) * np.float32(norm) for angle in (start, end)]
    (found,) = plain.interpolate(*ends, steps=steps, path="spherical").astype(np.float64)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), norm, rtol=1e-5)
    cosines = (found[1:] * found[:-1]).sum(axis=1) / norm**2
    np.testing.assert_allclose(np.arccos(cosines.clip(-1, 1)), np.arccos(cosines.clip(-1, 1)).mean(), atol=2e-3)


def test_an_arc_between_opposite_points_goes_round_and_one_from_nothing_goes_straight(plain: reparam.VAE) -> None:
    x = np.array([[3, 0], [0, 0], [2, 2]], np.float32)
    y = np.array([[-3, 0], [4, 0], [2, 2]], np.float32)
    round_, straight, nowhere = plain.interpolate(x, y, steps=3, path="spherical")[:, 1]
    assert np.linalg.norm(round_) == pytest.approx(3)
    np.testing.assert_allclose(straight, [2, 0], atol=1e-6)
    np.testing.assert_allclose(nowhere, [2, 2], rtol=1e-6)


def test_a_line_is_evenly_spaced(plain: reparam.VAE) -> None:
    found = plain.interpolate(np.zeros((1, 2), np.float32), np.array([[4, -8]], np.float32), steps=5)
    np.testing.assert_array_equal(found[0], [[0, 0], [1, -2], [2, -4], [3, -6], [4, -8]])


def test_another_path_is_refused_by_name(vae: reparam.VAE, rows_of: Rows) -> None:
    with pytest.raises(OptionError, match=r"^path: must be one of linear, spherical, got 'cubic'"):
        vae.interpolate(rows_of(2), rows_of(2), path="cubic")  # type: ignore[arg-type]


# -- traversals ----------------------------------------------------------------------------------------------------


def test_a_traversal_at_the_rows_own_value_is_its_reconstruction_to_the_bit(vae: reparam.VAE, rows_of: Rows) -> None:
    x = rows_of(1)
    mean = vae.encode(x).mean[0]
    for dimension, value in enumerate(mean):
        found = vae.traverse(x, dimension, values=[-1.0, value, 2.5])
        np.testing.assert_array_equal(found[:, 0, 1], vae.reconstruct(x))


def test_a_traversal_varies_one_dimension_and_holds_the_others(plain: reparam.VAE) -> None:
    x = np.array([[5, 6], [7, 8]], np.float32)
    found = plain.traverse(x, [1, 0], values=[-1, 0, 1])
    assert found.shape == (2, 2, 3, 2)
    np.testing.assert_array_equal(found[:, 0, :, 1], [[-1, 0, 1]] * 2)
    np.testing.assert_array_equal(found[:, 0, :, 0], [[5] * 3, [7] * 3])
    np.testing.assert_array_equal(found[:, 1, :, 0], [[-1, 0, 1]] * 2)
    np.testing.assert_array_equal(found[:, 1, :, 1], [[6] * 3, [8] * 3])


def test_a_traversal_of_rows_is_that_of_their_means_and_spans_the_prior_evenly(vae: reparam.VAE, rows_of: Rows) -> None:
    x = rows_of(3)
    found = vae.traverse(x, [0, 2], steps=5, span=2.0)
    np.testing.assert_array_equal(
        found, vae.traverse(z=vae.encode(x).mean, dimensions=[0, 2], values=[-2, -1, 0, 1, 2])
    )


def test_no_rows_and_no_dimensions_give_no_traversals(vae: reparam.VAE, rows_of: Rows) -> None:
    assert vae.traverse(rows_of(0), [0, 1], steps=3).shape == (0, 2, 3, 1, 8, 8)
    assert vae.traverse(rows_of(2), [], steps=3).shape == (2, 0, 3, 1, 8, 8)
    assert vae.interpolate(rows_of(0), rows_of(0), steps=3, path="spherical").shape == (0, 3, 1, 8, 8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dimensions": 8}, "^dimensions: must be an integer from 0 to 7, got 8"),
        ({"dimensions": [0, -1]}, "^dimensions: must be an integer from 0 to 7, got -1"),
        ({"steps": 0}, "^steps: must be an integer of at least 1"),
        ({"span": -1.0}, "^span: must be above 0"),
        ({"span": math.nan}, "^span: must be above 0"),
        ({"values": []}, "^values: must be numbers"),
        ({"values": [[1.0]]}, "^values: must be numbers"),
        ({"values": [math.inf]}, "^values: must be finite"),
        ({"z": np.zeros((1, 8), np.float32)}, "^x, z: give exactly one"),
    ],
)
def test_a_traversal_that_cannot_be_is_refused(
    vae: reparam.VAE, rows_of: Rows, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ReparamError, match=message):
        vae.traverse(rows_of(1), **options)


# -- mixtures ------------------------------------------------------------------------------------------------------


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 2**64 - 81))
def test_parts_of_a_draw_agree_with_the_whole_to_the_bit(
    made: reparam.GaussianMixture, n: int, more: int, at: int
) -> None:
    whole = made.sample(n + more, seed=3, first_row=at)
    parts = [made.sample(n, seed=3, first_row=at), made.sample(more, seed=3, first_row=at + n)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.fixture(scope="module")
def made() -> reparam.GaussianMixture:
    random = np.random.default_rng(1)
    roots = random.normal(size=(4, 5, 5))
    return reparam.GaussianMixture(np.full(4, 0.25), random.normal(size=(4, 5)), roots @ roots.transpose(0, 2, 1))


def test_draws_have_the_moments_of_the_mixture(mixture: reparam.GaussianMixture) -> None:
    n = 200_000
    z = mixture.sample(n, seed=7).reshape(n, 4).astype(np.float64)
    means = mixture.means.reshape(3, 4)
    mean = mixture.weights @ means
    within = np.einsum("k,kij->ij", mixture.weights, mixture.covariances)
    covariance = within + np.einsum("k,ki,kj->ij", mixture.weights, means - mean, means - mean)
    np.testing.assert_allclose(z.mean(axis=0), mean, atol=5 * math.sqrt(covariance.max() / n))
    np.testing.assert_allclose(np.cov(z.T), covariance, atol=0.01 * covariance.max())
    nearest = np.linalg.norm(z[:, None] - means, axis=2).argmin(axis=1)
    np.testing.assert_allclose(np.bincount(nearest) / n, mixture.weights, atol=0.02)


def test_one_standard_normal_component_is_the_models_own_prior(vae: reparam.VAE) -> None:
    (d,) = vae.manifest.latent.shape
    normal = reparam.GaussianMixture(np.ones(1), np.zeros((1, d)), np.eye(d)[None])
    np.testing.assert_array_equal(
        vae.generate(9, seed=7, first_row=4, prior=normal), vae.generate(9, seed=7, first_row=4)
    )


def test_a_fitted_prior_generates_what_its_draws_decode_to(vae: reparam.VAE, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    prior = reparam.GaussianMixture(np.array([0.5, 0.5]), random.normal(size=(2, 8)), np.stack([np.eye(8)] * 2) / 4)
    wanted = vae.decode(prior.sample(300, seed=1, first_row=5))
    np.testing.assert_array_equal(vae.generate(300, seed=1, first_row=5, prior=prior), wanted)
    prior.save(tmp_path / "prior.npz")
    again = reparam.GaussianMixture.load(tmp_path / "prior.npz")
    np.testing.assert_array_equal(vae.generate(300, seed=1, first_row=5, prior=again), wanted)


def test_a_prior_over_other_latents_is_refused(vae: reparam.VAE, mixture: reparam.GaussianMixture) -> None:
    with pytest.raises(InputError, match=r"^prior: must be over latents \[8\], got \[2, 2\]"):
        vae.generate(1, seed=1, prior=mixture)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (([0.5, 0.4], [[0.0], [0.0]], [[[1.0]], [[1.0]]]), "^weights: must be above 0, their sum 1"),
        (([0.0, 1.0], [[0.0], [0.0]], [[[1.0]], [[1.0]]]), "^weights: must be above 0"),
        (([1.0], [[0.0, 0.0]], [[[1.0]]]), r"^means, covariances: must be \[1, \*latent\] and \[1, d, d\]"),
        (([1.0], [0.0], [[[1.0]]]), "^means, covariances"),
        (([1.0], [[0.0, 0.0]], [[[1.0, 2.0], [2.0, 1.0]]]), "^covariances: must be positive definite"),
        (([1.0], [[0.0, 0.0]], [[[1.0, 0.5], [0.0, 1.0]]]), "^covariances: must be symmetric"),
        (([1.0], [[math.nan]], [[[1.0]]]), "^means: must be finite"),
    ],
)
def test_parts_that_are_no_mixture_are_refused(parts: tuple[Any, ...], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        reparam.GaussianMixture(*map(np.array, parts))


def test_a_file_that_is_no_mixture_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match=r"none\.npz: no such file"):
        reparam.GaussianMixture.load(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "other.npz", weights=np.ones(1))
    np.save(tmp_path / "array.npy", np.ones(3))
    for name in ("text.npz", "other.npz", "array.npy"):
        with pytest.raises(InputError, match=rf"{name}: not a Gaussian mixture"):
            reparam.GaussianMixture.load(tmp_path / name)


# -- fitted to digits ----------------------------------------------------------------------------------------------


def energy_distance(a: Array, b: Array) -> float:
    """Of two sets of rows, 0 where they are drawn alike: Szekely and Rizzo (2013), equation 5."""

    def mean_distance(one: Array, other: Array) -> float:
        one, other = (rows.reshape(len(rows), -1).astype(np.float64) for rows in (one, other))
        return float(np.sqrt(((one[:, None] - other) ** 2).sum(axis=2)).mean())

    return 2 * mean_distance(a, b) - mean_distance(a, a) - mean_distance(b, b)


def test_draws_of_a_fitted_prior_come_nearer_to_the_data_than_the_models_own(
    vae: reparam.VAE, digits: tuple[Array, Array]
) -> None:
    pytest.importorskip("sklearn", reason="the extra aggregate is not installed")
    train, test = digits
    prior = vae.fit_prior(train, components=10, seed=0)
    for seed in (1, 2, 3):
        fitted, own = (energy_distance(vae.generate(299, seed=seed, prior=p), test) for p in (prior, None))
        assert fitted < 0.75 * own


def test_the_same_fit_gives_the_same_prior(vae: reparam.VAE, digits: tuple[Array, Array]) -> None:
    pytest.importorskip("sklearn", reason="the extra aggregate is not installed")
    one, two, other = (vae.fit_prior(digits[0][:300], components=3, seed=seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one.covariances, two.covariances)
    assert (one.means != other.means).any()


def test_fitting_refuses_too_few_rows_and_says_which_extra_is_missing(
    vae: reparam.VAE, rows_of: Rows, fresh: Callable[..., Any], bundle: Path
) -> None:
    with pytest.raises(InputError, match=r"^x: must have at least 10 rows for 10 components, got 9"):
        vae.fit_prior(rows_of(9))
    with pytest.raises(InputError, match=r"^x: must have at least 2 rows for 1 components, got 0"):
        vae.fit_prior(rows_of(0), components=1)
    code = (
        "import sys; sys.modules['sklearn'] = None\nimport numpy, reparam\n"
        "reparam.load(sys.argv[1], device='cpu').fit_prior(numpy.zeros((20, 1, 8, 8), 'float32'))"
    )
    done = fresh(code, bundle)
    assert done.err.splitlines()[-1].endswith("pip install 'reparam[aggregate]'")


# -- anomalies -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [0, 20])
def test_held_out_digits_score_lower_than_noise_and_than_digits_with_their_pixels_shuffled(
    vae: reparam.VAE, digits: tuple[Array, Array], samples: int
) -> None:
    random, test = np.random.default_rng(0), digits[1]
    shuffled = random.permuted(test.reshape(299, 64), axis=1).reshape(test.shape)
    usual, odd, noise = (
        vae.anomaly(x, seed=1, samples=samples) for x in (test, shuffled, random.random(test.shape, np.float32))
    )
    for other in (odd, noise):
        assert (usual[:, None] < other).mean() > 0.99  # area under the ROC curve


def test_an_anomaly_score_is_the_negative_elbo_or_log_likelihood(vae: reparam.VAE, rows_of: Rows) -> None:
    x = rows_of(20)
    np.testing.assert_array_equal(vae.anomaly(x, seed=3, first_row=7), -vae.elbo(x, seed=3, first_row=7))
    np.testing.assert_array_equal(vae.anomaly(x, seed=3, samples=4), -vae.log_likelihood(x, seed=3, samples=4))


def test_p_values_of_usual_rows_are_no_smaller_than_chance_and_of_odd_rows_small(
    vae: reparam.VAE, digits: tuple[Array, Array]
) -> None:
    scores = vae.anomaly(digits[1], seed=1)
    p = reparam.p_values(scores[::2], reference=scores[1::2])
    for level in (0.05, 0.2, 0.5):  # 4 standard errors, of the rows and of the reference
        assert (p <= level).mean() < level + 4 * math.sqrt(level * (1 - level) * 2 / len(p))
    odd = vae.anomaly(np.random.default_rng(0).random((50, 1, 8, 8), np.float32), seed=1)
    assert (reparam.p_values(odd, reference=scores) <= 0.02).all()


@given(st.lists(st.integers(0, 9), min_size=1), st.lists(st.integers(0, 9), max_size=9))
def test_a_p_value_counts_the_reference_scores_that_are_as_high(reference: list[int], scores: list[int]) -> None:
    found = reparam.p_values(scores, reference)
    wanted = [(1 + sum(other >= score for other in reference)) / (1 + len(reference)) for score in scores]
    np.testing.assert_allclose(found, wanted, rtol=1e-15)


@pytest.mark.parametrize("bad", [[], [math.nan], [[1.0]]])
def test_a_reference_that_is_none_is_refused(bad: list[Any]) -> None:
    with pytest.raises(InputError, match=r"^reference: must "):
        reparam.p_values([1.0], reference=bad)
