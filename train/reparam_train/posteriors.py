"""The posterior q(z|x) as a location-scale family, z = mean + std eps, and its divergence from the prior N(0, I).

eps has mean 0 and variance 1 under one of three laws: normal, uniform on the interval of half-width sqrt 3, laplace of
scale 1 / sqrt 2. D. P. Kingma and M. Welling, "Auto-Encoding Variational Bayes", ICLR 2014 (arXiv:1312.6114), section
2.4, names such families. The noise is an argument: nothing is drawn here.
"""

import math
from typing import Final

from torch import Tensor

from reparam import laws

LOGVAR_BOUNDS: Final = (-30.0, 20.0)  # of the autoencoders of latent diffusion (Rombach et al. 2022): exp stays finite

# Entropy of the standardised laws, nats a dimension.
_ENTROPY: Final[dict[laws.Law, float]] = {
    "normal": math.log(2 * math.pi * math.e) / 2,
    "uniform": math.log(2 * math.sqrt(3)),
    "laplace": 1 + math.log(2) / 2,
}


def bounded(logvar: Tensor) -> Tensor:
    """logvar, clamped to `LOGVAR_BOUNDS`; any shape, the same in and out."""
    return logvar.clamp(*LOGVAR_BOUNDS)


def sample(mean: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
    """Reparameterisation: z = mean + exp(logvar / 2) * eps.

    Args:
        mean: [batch, *latent].
        logvar: [batch, *latent], log of the variance.
        eps: [..., batch, *latent], standardised noise (mean 0, variance 1); leading axes are draws.

    Returns:
        z, of the shape of eps.

    Source:
        Kingma and Welling 2014, section 2.4 and equation 10.
    """
    return mean + (logvar / 2).exp() * eps  # [..., batch, *latent]


def kl_each(mean: Tensor, logvar: Tensor, law: laws.Law = "normal") -> Tensor:
    """Divergence of each dimension from the prior, KL(q(z_j|x) || N(0, 1)), in nats.

    The cross-entropy to N(0, 1) is log(2 pi) / 2 + (mean^2 + var) / 2 whatever the law, and the entropy of q is that of
    eps plus logvar / 2. Their difference, with std = exp(logvar / 2):

    - normal: (mean^2 + var - logvar - 1) / 2
    - uniform: -log(2 sqrt(3) std) + log(2 pi) / 2 + (mean^2 + var) / 2
    - laplace: -log(sqrt(2) std) - 1 + log(2 pi) / 2 + (mean^2 + var) / 2

    The last two are those of the normal law plus its surplus of entropy, 0.1765 and 0.0724 nats: of all laws with this
    mean and variance, the normal one is the nearest to the prior.

    Args:
        mean: [batch, *latent].
        logvar: [batch, *latent].
        law: of eps.

    Returns:
        [batch, *latent], never negative but for rounding.

    Source:
        Kingma and Welling 2014, appendix B, for the normal law. var - 1 is computed as expm1(logvar), to keep its
        digits near the prior.
    """
    gap = _ENTROPY["normal"] - _ENTROPY[law]
    each: Tensor = (mean.square() + logvar.expm1() - logvar) / 2  # [batch, *latent]
    return each + gap if gap else each


def kl(mean: Tensor, logvar: Tensor, law: laws.Law = "normal") -> Tensor:
    """Divergence from the prior, KL(q(z|x) || N(0, I)): `kl_each` summed over the latent, [batch], in nats per row.

    Examples:
        >>> import torch
        >>> kl(torch.zeros(2, 3), torch.zeros(2, 3))
        tensor([0., 0.])
    """
    return kl_each(mean, logvar, law).flatten(1).sum(1)  # [batch]


def log_density(eps: Tensor, logvar: Tensor, law: laws.Law = "normal") -> Tensor:
    """The value of log q(z|x) for z = mean + exp(logvar / 2) * eps, in nats, summed over the latent.

    log q(z|x) = sum over j of log p(eps_j) - logvar_j / 2, with log p(eps) of the standardised law:
    normal -(eps^2 + log(2 pi)) / 2, uniform -log(2 sqrt 3) within its half-width, laplace -sqrt(2) |eps| - log(2) / 2.

    Args:
        eps: [..., batch, *latent], drawn from the law (for uniform, so, within the half-width).
        logvar: [batch, *latent].
        law: of eps.

    Returns:
        [..., batch].
    """
    if law == "normal":
        each = (eps.square() + math.log(2 * math.pi)) / -2
    elif law == "laplace":
        each = eps.abs() * -math.sqrt(2) - math.log(2) / 2
    else:
        each = eps * 0 - _ENTROPY["uniform"]
    return _over_latent(each - logvar / 2, logvar.ndim - 1)


def log_prior(z: Tensor, *, axes: int = 1) -> Tensor:
    """The value of log p(z) under N(0, I), in nats, summed over the latent: [..., batch] for z [..., batch, *latent].

    Args:
        z: any point.
        axes: how many the latent has.
    """
    return _over_latent(z.square() + math.log(2 * math.pi), axes) / -2


def _over_latent(each: Tensor, axes: int) -> Tensor:
    """The sum over the last so many axes."""
    return each.flatten(-axes).sum(-1)
