"""log p(x given z) in numpy, for each likelihood that a manifest can name; sums over dimensions, in nats."""

import functools
import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from reparam.arrays import FloatArray
from reparam.bundle.manifest import Bernoulli, Gaussian, Laplace, Mixed
from reparam.posterior import row_sums

Nats = npt.NDArray[np.float64]


@functools.singledispatch
def log_prob(likelihood: object, x: FloatArray, outputs: Mapping[str, FloatArray]) -> Nats:  # noqa: ARG001  the form
    """Score each row: log p(x given z).

    Args:
        likelihood: the manifest's, with its constants.
        x: [n, *input].
        outputs: the decoder's by name, each [n, *input].

    Returns:
        float64 [n], in nats; for a continuous likelihood the logarithm of a density, in the data's own units.
    """
    raise TypeError(f"likelihood: no score is known for {type(likelihood).__qualname__}")


@log_prob.register
def _(likelihood: Bernoulli, x: FloatArray, outputs: Mapping[str, FloatArray]) -> Nats:  # noqa: ARG001  no constants
    """The sum of x l - log(1 + exp(l)), l the logits, in the form that cannot overflow."""
    logits = outputs["logits"].astype(np.float64)
    return row_sums(x * logits - np.logaddexp(0.0, logits))


@log_prob.register
def _(likelihood: Gaussian, x: FloatArray, outputs: Mapping[str, FloatArray]) -> Nats:
    """The sum of -1/2 (((x - x_hat) / std)^2 + log(2 pi std^2)); std is one for all, or exp(x_logvar / 2)."""
    error = x.astype(np.float64) - outputs["x_hat"]
    if likelihood.std is not None:
        return row_sums(-0.5 * ((error / likelihood.std) ** 2 + math.log(2.0 * math.pi * likelihood.std**2)))
    logvar = outputs["x_logvar"].astype(np.float64)
    return row_sums(-0.5 * (error**2 * np.exp(-logvar) + logvar + math.log(2.0 * math.pi)))


@log_prob.register
def _(likelihood: Laplace, x: FloatArray, outputs: Mapping[str, FloatArray]) -> Nats:
    """The sum of -|x - x_hat| / scale - log(2 scale); scale is one for all, or exp(x_logscale)."""
    error = np.abs(x.astype(np.float64) - outputs["x_hat"])
    if likelihood.scale is not None:
        return row_sums(-error / likelihood.scale - math.log(2.0 * likelihood.scale))
    logscale = outputs["x_logscale"].astype(np.float64)
    return row_sums(-error * np.exp(-logscale) - logscale - math.log(2.0))


@log_prob.register
def _(likelihood: Mixed, x: FloatArray, outputs: Mapping[str, FloatArray]) -> Nats:
    """The sum over columns, each by its own law; a categorical one is log softmax(logits) at its one-hot value."""
    total = np.zeros(len(x))
    for column in likelihood.columns:
        own = {name: values[:, column.start : column.stop] for name, values in outputs.items()}
        rows = x[:, column.start : column.stop]
        match column.kind:
            case "gaussian":
                total += log_prob(Gaussian(std=column.std), rows, own)
            case "bernoulli":
                total += log_prob(Bernoulli(), rows, own)
            case "categorical":
                logits = own["logits"].astype(np.float64)
                total += row_sums(rows * (logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)))
    return total
