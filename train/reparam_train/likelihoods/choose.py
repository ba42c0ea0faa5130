"""The likelihood that a configuration names."""

from reparam_train.data.columns import Column
from reparam_train.likelihoods.bernoulli import Bernoulli
from reparam_train.likelihoods.gaussian import OptimalGaussian, ScaledGaussian, SharedGaussian
from reparam_train.likelihoods.laplace import ScaledLaplace, SharedLaplace
from reparam_train.likelihoods.likelihood import Likelihood
from reparam_train.likelihoods.mixed import Mixed
from reparam_train.options import Likelihood as Name
from reparam_train.options import Scale


def build(
    name: Name, *, std: float | None = None, scale: Scale = "shared", columns: tuple[Column, ...] = ()
) -> Likelihood:
    """The likelihood of that name.

    Args:
        name: "bernoulli" takes none of the others.
        std: fixed standard deviation; None finds one.
        scale: where std is None, how it is found.
        columns: for "mixed" alone.
    """
    if name == "mixed":
        return Mixed(columns)
    if name == "bernoulli":
        return Bernoulli()
    if scale == "per-dimension":
        return ScaledGaussian() if name == "gaussian" else ScaledLaplace()
    if scale == "optimal":
        return OptimalGaussian()
    return SharedGaussian(std) if name == "gaussian" else SharedLaplace(std)
