import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reparam_train.study.frechet import Moments, principal_features, squared_distance


def moments(seed: int, k: int, n: int = 50) -> Moments:
    rows = np.random.default_rng(seed).normal(size=(n, k)) @ np.random.default_rng(seed + 1).normal(size=(k, k))
    return Moments(rows.mean(0), np.cov(rows.T).reshape(k, k))


@given(st.integers(0, 10_000), st.integers(1, 8))
@settings(max_examples=30, deadline=None)
def test_the_distance_is_that_of_the_formula_over_the_eigenvalues_of_the_product(seed: int, k: int) -> None:
    one, two = moments(seed, k), moments(seed + 77, k)
    # the roots of eigenvalues near 0 lose half of their digits here
    root = np.sqrt(np.linalg.eigvals(one.covariance @ two.covariance).real.clip(0)).sum()  # Dowson and Landau's form
    plain = ((one.mean - two.mean) ** 2).sum() + np.trace(one.covariance + two.covariance) - 2 * root
    assert squared_distance(one, two) == pytest.approx(plain, abs=1e-6 * np.trace(one.covariance + two.covariance))
    assert squared_distance(one, two) == pytest.approx(squared_distance(two, one), rel=1e-9, abs=1e-9)
    assert squared_distance(one, one) == pytest.approx(0, abs=1e-9 * np.trace(one.covariance))


def test_known_distances() -> None:
    eye = np.eye(3)
    shifted = Moments(np.array([3.0, 4.0, 0.0]), eye)
    assert squared_distance(Moments(np.zeros(3), eye), shifted) == pytest.approx(25)
    scaled = Moments(np.zeros(3), 9 * eye)  # 3 dimensions, standard deviations 1 and 3
    assert squared_distance(Moments(np.zeros(3), eye), scaled) == pytest.approx(3 * (3 - 1) ** 2)
    flat = Moments(np.zeros(3), np.zeros((3, 3)))
    assert squared_distance(flat, scaled) == pytest.approx(27)


@pytest.mark.parametrize("shape", [(200, 6), (20, 2, 5, 4), (5, 50)])
def test_the_features_are_orthonormal_and_keep_the_distance_between_the_training_rows(shape: tuple[int, ...]) -> None:
    rows = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    features = principal_features(rows)
    k = features.components.shape[1]
    np.testing.assert_allclose(features.components.T @ features.components, np.eye(k), atol=1e-9)
    covariance = features.moments(rows).covariance
    variances = np.linalg.eigvalsh(np.cov(rows.reshape(len(rows), -1).T))[::-1]
    np.testing.assert_allclose(np.diag(covariance), variances[:k], rtol=1e-6, atol=1e-9)
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() < 1e-9
    assert features.explained == pytest.approx(variances[:k].sum() / variances.sum())


def test_what_is_measured_does_not_depend_on_a_rotation_within_the_features() -> None:
    rng = np.random.default_rng(3)
    train, one, two = (rng.normal(size=(60, 5)) for _ in range(3))
    features = principal_features(train)
    there = squared_distance(features.moments(one), features.moments(two))
    plain = squared_distance(*(Moments(x.mean(0), np.cov(x.T)) for x in (one, two)))
    assert there == pytest.approx(plain)  # all 5 components are kept, so nothing is lost


def test_rows_that_are_all_equal_have_a_distance() -> None:
    features = principal_features(np.ones((4, 3)))
    assert features.explained == 1
    assert squared_distance(features.moments(np.ones((4, 3))), features.moments(np.ones((1, 3)))) == 0
