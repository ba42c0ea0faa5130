"""A model's likelihood in the words of a manifest: kind, constants, columns."""

from reparam.bundle.manifest import Bernoulli, Column, Gaussian, Laplace, Likelihood, Mixed
from reparam_train.data.columns import places
from reparam_train.model import VAE


def named(model: VAE) -> Likelihood:
    """p(x given z) with its constants; None for a scale that the decoder gives."""
    constants = model.likelihood_constants()
    match model.config.likelihood:
        case "bernoulli":
            return Bernoulli()
        case "gaussian":
            return Gaussian(std=constants.get("std"))
        case "laplace":
            return Laplace(scale=constants.get("scale"))
        case "mixed":
            return Mixed(
                columns=tuple(
                    Column(
                        name=column.name,
                        kind=column.kind,
                        start=start,
                        stop=stop,
                        categories=column.categories or None,
                        std=constants.get(column.name),
                        shift=column.shift,
                        scale=column.scale,
                    )
                    for column, start, stop in places(model.config.columns)
                )
            )
