"""The variational autoencoder: an encoder for q(z|x), a decoder for p(x|z), and nothing random inside."""

from typing import cast

import torch
from torch import Tensor, nn

from reparam.errors import OptionError
from reparam.laws import check_seed
from reparam_train import functions, likelihoods, posteriors, sizes
from reparam_train.nets import conv, mlp, own, resnet
from reparam_train.options import NETS, VAEConfig

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
        self.likelihood = likelihoods.build(
            config.likelihood, std=config.std, scale=config.scale, columns=config.columns
        )
        if functions.is_name(config.net):  # its encoder gives the moments itself
            self.encoder, self.decoder = own.build(config)
            return
        room = {"mlp": mlp, "conv": conv, "resnet": resnet}[config.net]
        encoder = self.encoder = room.Encoder(config)
        self.mean = encoder.head()
        if config.posterior != "none":
            self.logvar = encoder.head()
        self.decoder = room.Decoder(config)

    @classmethod
    def build(cls, config: VAEConfig, *, seed: int) -> "VAE":
        """A model whose first weights are a function of (config, seed); torch's global generator is left as it was.

        Raises:
            OptionError: seed not in 0 <= seed < 2^64.
        """
        with torch.random.fork_rng(devices=[]):  # pyright: ignore[reportUnknownMemberType]  # torch leaves it untyped
            torch.default_generator.manual_seed(check_seed(seed))  # torch.manual_seed would reach CUDA's as well
            return cls(config)

    def start_at(self, mean: Tensor) -> None:
        """Sets the decoder's last bias so that x_hat is near the data's mean, [*input_shape], before any step.

        So the first thousands of steps are not spent on finding it. A convolution has one bias a channel, and gets the
        mean of the channel. Nothing happens to an own net, nor to mixed columns behind a convolution.

        Source:
            The reference code of Burda et al. 2016 starts Bernoulli decoders so.
        """
        config, per_value = self.config, self.config.net == "mlp"
        if config.net not in NETS or (config.likelihood == "mixed" and not per_value):
            return
        last = cast("nn.Module", self.decoder.last)
        bias = last.get_parameter("bias")
        if not per_value:  # the same mean all over the map
            maps = mean.reshape(sizes.maps(config.input_shape)).flatten(1)  # [channels, values]
            mean = maps.mean(1, keepdim=True).expand_as(maps).reshape(config.input_shape)
        raw = self.likelihood.raw_at(mean)  # [*raw_shape]
        if not per_value:  # a subpixel layer has several biases a channel
            channels = self.likelihood.parts * sizes.maps(config.input_shape)[0]
            raw = raw.reshape(channels, -1)[:, :1].expand(-1, bias.numel() // channels)
        with torch.no_grad():
            bias.copy_(raw.flatten())

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The posterior q(z|x) of each row.

        Args:
            x: float32 [batch, *input_shape], in the data's own units.

        Returns:
            mean and logvar, each [batch, *latent]; logvar lies in [-30, 20].

        Raises:
            OptionError: a plain autoencoder has no posterior; call `code`.
        """
        if self.config.posterior == "none":
            raise OptionError("encode: a plain autoencoder has no posterior; call code(x) for its z")
        found = self.encoder(self.likelihood.standardised(x))  # features, or an own net's moments
        mean, logvar = (self.mean(found), self.logvar(found)) if hasattr(self, "mean") else found
        mean, logvar = mean.to(x.dtype), logvar.to(x.dtype)  # autocast gives bfloat16
        return mean, posteriors.bounded(logvar)  # [batch, *latent] each

    def code(self, x: Tensor) -> Tensor:
        """The z of each row [batch, *latent], where no noise enters: a plain autoencoder's, or the mean of q(z|x)."""
        found = self.encoder(self.likelihood.standardised(x))  # features, or what an own net gives
        if hasattr(self, "mean"):
            found = self.mean(found)
        elif isinstance(found, tuple):
            found = cast("tuple[Tensor, ...]", found)[0]
        z: Tensor = found.to(x.dtype)  # [batch, *latent]
        return z

    def decode(self, z: Tensor) -> likelihoods.Outputs:
        """The law p(x|z) of each row, z [batch, *latent], as named outputs in contract order.

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
        """mean, logvar and the outputs of z = mean + exp(logvar / 2) * eps, for eps [batch, *latent]."""
        mean, logvar = self.encode(x)
        return mean, logvar, self.decode(posteriors.sample(mean, logvar, eps))
