"""The aggregate posterior: what the latents of real rows look like together, fitted by a Gaussian mixture.

Where it differs from the prior, samples from the prior land where the decoder was never trained. A density fitted to
encoded rows after training mends that without training again: Ghosh, Sajjadi, Vergari, Black and Schoelkopf, "From
Variational to Deterministic Autoencoders" (2020), section 4. Needs the extra `aggregate`.
"""

import math
import warnings
from typing import Any, Final

import numpy as np

from reparam.arrays import FloatArray
from reparam.errors import InputError, MissingExtra, OptionError
from reparam.integers import whole
from reparam.laws import check_seed
from reparam.mixture import GaussianMixture

_LARGEST: Final = 1024  # values in a latent: a full covariance has the square of it


def fit_mixture(z: FloatArray, *, components: int, seed: int) -> GaussianMixture:
    """The mixture that scikit-learn fits to latents by expectation maximisation, with full covariances.

    Args:
        z: latents of rows, [n, *latent], at least 2 and as many as components.
        components: how many, at least 1.
        seed: 0 <= seed < 2^64; of the start of the fit.

    Raises:
        MissingExtra: scikit-learn is not installed.
        OptionError: components or seed out of range, or latents too large for full covariances.
        InputError: too few rows.
    """
    components, seed = whole("components", components, low=1), check_seed(seed)
    flat = z.reshape(len(z), math.prod(z.shape[1:])).astype(np.float64)
    if len(flat) < max(2, components):
        raise InputError(f"x: must have at least {max(2, components)} rows for {components} components, got {len(z)}")
    if flat.shape[1] > _LARGEST:
        raise OptionError(
            f"fit_prior: full covariances are fitted to at most {_LARGEST} values in a latent, got {flat.shape[1]}"
        )
    try:
        from sklearn import mixture  # pyright: ignore[reportMissingTypeStubs]
    except ImportError:
        raise MissingExtra("fitting a prior needs scikit-learn; pip install 'reparam[aggregate]'") from None
    fitted: Any = mixture.GaussianMixture(components, random_state=np.random.RandomState(np.random.MT19937(seed)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of few iterations and repeated rows: what was found is a prior all the same
        fitted.fit(flat)
    keep = fitted.weights_ > 0  # a component that no row is nearest to may die
    weights = fitted.weights_[keep]
    symmetric = (fitted.covariances_ + fitted.covariances_.transpose(0, 2, 1)) / 2
    means = fitted.means_.reshape(components, *z.shape[1:])
    return GaussianMixture(weights / weights.sum(), means[keep], symmetric[keep])
