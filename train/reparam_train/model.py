"""The variational autoencoder: an encoder for q(z|x), a decoder for p(x|z), and nothing random inside."""

import torch
from torch import Tensor, nn

from reparam.errors import OptionError
from reparam.laws import check_seed
from reparam_train import likelihoods, posteriors
from reparam_train.nets import conv, mlp
from reparam_train.options import VAEConfig

__all__ = ["VAE", "VAEConfig"]


class VAE(nn.Module):
    """Encoder and decoder of one model, with a diagonal location-scale posterior and the prior N(0, I).

    With posterior "none" it is a plain autoencoder: `code` gives z, and `encode`, which needs a posterior, refuses.

    Args:
        config: the layers, the posterior and the likelihood; kept as `config`.

    Source:
        D. P. Kingma and M. Welling, "Auto-Encoding Variational Bayes", ICLR 2014 (arXiv:1312.6114).

    Examples:
        >>> config = VAEConfig(net="mlp", input_shape=(64,), latent=2, hidden=(16,))
        >>> model = VAE.build(config, seed=7)
        >>> mean, logvar = model.encode(torch.zeros(3, 64))
        >>> list(mean.shape), list(model.decode(mean))
        ([3, 2], ['x_hat', 'logits'])
    """

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config = config
        shape, hidden, activation = config.input_shape, config.hidden, config.activation
        self.encoder = (conv if config.net == "conv" else mlp).Encoder(shape, hidden, activation)
        self.mean = nn.Linear(self.encoder.width, config.latent)
        if config.posterior != "none":
            self.logvar = nn.Linear(self.encoder.width, config.latent)
        self.likelihood = likelihoods.build(
            config.likelihood, std=config.std, scale=config.scale, columns=config.columns
        )
        raw = (self.likelihood.parts * shape[0], *shape[1:])
        self.decoder = (conv if config.net == "conv" else mlp).Decoder(raw, hidden, activation, config.latent)

    @classmethod
    def build(cls, config: VAEConfig, *, seed: int) -> "VAE":
        """A model whose first weights are a function of (config, seed); torch's global generator is left as it was.

        Raises:
            OptionError: seed not in 0 <= seed < 2^64.
        """
        with torch.random.fork_rng(devices=[]):  # pyright: ignore[reportUnknownMemberType]  # torch leaves it untyped
            torch.default_generator.manual_seed(check_seed(seed))  # torch.manual_seed would reach CUDA's as well
            return cls(config)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The posterior q(z|x) of each row.

        Args:
            x: float32 [batch, *input_shape], in the data's own units.

        Returns:
            mean and logvar, each [batch, latent]; logvar lies in [-30, 20].

        Raises:
            OptionError: a plain autoencoder has no posterior; call `code`.
        """
        if self.config.posterior == "none":
            raise OptionError("encode: a plain autoencoder has no posterior; call code(x) for its z")
        features = self.encoder(self.likelihood.standardised(x))  # [batch, width]
        mean, logvar = self.mean(features).to(x.dtype), self.logvar(features).to(x.dtype)  # autocast gives bfloat16
        return mean, posteriors.bounded(logvar)  # [batch, latent] each

    def code(self, x: Tensor) -> Tensor:
        """The z of each row, [batch, latent], where no noise enters: a plain autoencoder's, else the mean of q(z|x)."""
        z: Tensor = self.mean(self.encoder(self.likelihood.standardised(x)))  # [batch, latent]
        return z.to(x.dtype)

    def decode(self, z: Tensor) -> likelihoods.Outputs:
        """The law p(x|z) of each row, z [batch, latent], as named outputs in contract order.

        Returns:
            "x_hat" first, the mean of p(x|z) in the data's own units; then "logits" for bernoulli and mixed, "x_logvar"
            or "x_logscale" where gaussian or laplace has a scale for each dimension; each [batch, *input_shape].
        """
        return self.likelihood.outputs(self.decoder(z).to(z.dtype))

    def log_prob(self, x: Tensor, outputs: likelihoods.Outputs) -> Tensor:
        """The value of log p(x|z) in nats per row, [batch], of x [batch, *input_shape] under what `decode` gave."""
        return self.likelihood.log_prob(x, outputs)

    def likelihood_constants(self) -> dict[str, float]:
        """{"std": ...} or {"scale": ...} of all dimensions, or the std of each column by name; in the data's units."""
        return self.likelihood.constants()

    def forward(self, x: Tensor, eps: Tensor) -> tuple[Tensor, Tensor, likelihoods.Outputs]:
        """mean, logvar and the outputs of z = mean + exp(logvar / 2) * eps, for eps [batch, latent]."""
        mean, logvar = self.encode(x)
        return mean, logvar, self.decode(posteriors.sample(mean, logvar, eps))
