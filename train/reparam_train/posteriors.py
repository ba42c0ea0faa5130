"""The Gaussian posterior q(z|x) = N(mean, diag(exp(logvar))), its sampling and its divergence from the prior N(0, I).

D. P. Kingma and M. Welling, "Auto-Encoding Variational Bayes", ICLR 2014 (arXiv:1312.6114), equation 10 and
appendix B. The noise is an argument: nothing is drawn here.
"""

from typing import Final

from torch import Tensor

LOGVAR_BOUNDS: Final = (-30.0, 20.0)  # of the autoencoders of latent diffusion (Rombach et al. 2022): exp stays finite


def bounded(logvar: Tensor) -> Tensor:
    """logvar, clamped to `LOGVAR_BOUNDS`; [batch, latent] in and out."""
    return logvar.clamp(*LOGVAR_BOUNDS)


def sample(mean: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
    """Reparameterisation: z = mean + exp(logvar / 2) * eps.

    Args:
        mean: [batch, latent].
        logvar: [batch, latent], log of the variance.
        eps: [batch, latent], standardised noise (mean 0, variance 1).

    Returns:
        z [batch, latent].

    Source:
        Kingma and Welling 2014, section 2.4 and equation 10.
    """
    return mean + (logvar / 2).exp() * eps  # [batch, latent]


def kl(mean: Tensor, logvar: Tensor) -> Tensor:
    """Divergence from the prior, KL(q(z|x) || N(0, I)) = 1/2 sum(mean^2 + var - logvar - 1), in nats per row.

    Args:
        mean: [batch, latent].
        logvar: [batch, latent].

    Returns:
        [batch], never negative but for rounding.

    Source:
        Kingma and Welling 2014, appendix B. var - 1 is computed as expm1(logvar), to keep its digits near the prior.

    Examples:
        >>> import torch
        >>> kl(torch.zeros(2, 3), torch.zeros(2, 3))
        tensor([0., 0.])
    """
    return (mean.square() + logvar.expm1() - logvar).flatten(1).sum(1) / 2  # [batch]
