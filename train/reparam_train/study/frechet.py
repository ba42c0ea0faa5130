"""A Frechet distance between two sets of rows, in a feature space that the training rows fix.

    d^2 = |m1 - m2|^2 + tr(C1 + C2 - 2 (C1^1/2 C2 C1^1/2)^1/2)

is the squared distance between the normal laws that have the sets' means m and covariances C: D. C. Dowson and B. V.
Landau, "The Frechet Distance between Multivariate Normal Distributions", Journal of Multivariate Analysis 1982,
equation 4. Image generation uses it on the features of a classifier (M. Heusel et al., NeurIPS 2017); here the features
are those of no trained network:

    f(x) = V^T x, the columns of V being the k leading principal components of the training rows, k = min(32, values in
    a row, rows - 1), the rows flattened and in the data's own units.

So f is a projection, and d^2 has the unit of x squared. It is not whitened: whitening divides by the smallest
variances, which few rows tell least about, and would make of a distance between images one between their noise.

A sample covariance adds to d^2, the more the fewer rows there are, so all sets are as large as each other where that
can be: as many samples as training rows (at most 10,000), and beside each distance stands its floor, the distance
between that many training rows and the test rows.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from reparam_train.data.split import Split

FloatArray = npt.NDArray[np.float64]

COMPONENTS: Final = 32
ROWS: Final = 10_000


@dataclass(frozen=True)
class Moments:
    """Mean [k] and covariance [k, k] of rows in the feature space."""

    mean: FloatArray
    covariance: FloatArray


@dataclass(frozen=True)
class Features:
    """The feature space."""

    components: FloatArray
    """V [values in a row, k], orthonormal columns, the one of largest variance first."""
    explained: float
    """Share of the variance of the rows that they hold."""

    def project(self, rows: npt.NDArray[Any]) -> FloatArray:
        """Features [n, k] of rows [n, *shape]."""
        return rows.reshape(len(rows), -1).astype(np.float64) @ self.components

    def moments(self, rows: npt.NDArray[Any]) -> Moments:
        """Of rows [n, *shape]; a single row has covariance 0."""
        features = self.project(rows)  # [n, k]
        off = features - features.mean(0)
        return Moments(features.mean(0), off.T @ off / max(1, len(off) - 1))


def first_rows(split: Split, limit: int = ROWS) -> npt.NDArray[np.float32]:
    """The first rows of a split, [at most limit, *shape]."""
    return split.batch(np.arange(min(len(split), limit)))


def principal_features(rows: npt.NDArray[Any]) -> Features:
    """The feature space of training rows [n, *shape]; each component's sign makes its largest entry positive."""
    off = rows.reshape(len(rows), -1).astype(np.float64)  # [n, d]
    off -= off.mean(0)
    n, d = off.shape
    if d <= n:
        variances, vectors = np.linalg.eigh(off.T @ off)  # [d], [d, d], smallest first
    else:  # fewer rows than values: the same subspace from the [n, n] of their products
        variances, left = np.linalg.eigh(off @ off.T)
        vectors = off.T @ left
    k = max(1, min(COMPONENTS, d, n - 1))
    vectors = np.linalg.qr(vectors[:, ::-1][:, :k])[0]  # of length 1 where they were made from products
    largest = vectors[np.abs(vectors).argmax(0), np.arange(k)]
    total = float(variances.clip(0).sum())
    share = float(variances[::-1][:k].clip(0).sum()) / total if total else 1.0
    return Features(vectors * np.where(largest < 0, -1.0, 1.0), share)


def squared_distance(one: Moments, two: Moments) -> float:
    """The d^2 above, in float64; never below 0.

    tr (C1^1/2 C2 C1^1/2)^1/2 is the sum of the singular values of C1^1/2 C2^1/2, which loses fewer digits.
    """
    shared = np.linalg.svd(_root(one.covariance) @ _root(two.covariance), compute_uv=False).sum()
    off = one.mean - two.mean
    return max(0.0, float(off @ off + np.trace(one.covariance) + np.trace(two.covariance) - 2 * shared))


def _root(matrix: FloatArray) -> FloatArray:
    """The symmetric root of a positive semidefinite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    root: FloatArray = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    return root
