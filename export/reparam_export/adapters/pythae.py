"""Models of pythae with a Gaussian posterior, and its plain autoencoders; as objects, or as folders of default nets.

    mean, logvar = encoder(x).embedding, encoder(x).log_covariance       (z = embedding of a plain autoencoder)
    x_hat        = decoder(z).reconstruction

reconstruction_loss "mse" is half the sum of squared errors, a Gaussian of standard deviation 1; "bce" is Bernoulli of
a probability. Its logits are what the decoder's closing sigmoid takes, on a copy without it; where a decoder closes
with none, they are log p - log(1 - p) with p held in [2^-15, 1 - 2^-15]: nearer to 1 a float32 leaves 1 - p no digits.

Source: C. Chadebec, L. Vincent and S. Allassonniere, "Pythae: Unifying Generative Autoencoders in Python", NeurIPS 2022
(arXiv:2206.08309); pythae 0.1.2, models/*/*_model.py.
"""

import copy
from typing import Any, Final

import torch
from torch import Tensor, nn

from reparam.bundle.manifest import Bernoulli, Gaussian, Input, Latent, Likelihood
from reparam.errors import ExportError, OptionError
from reparam.verification import FOREIGN
from reparam_export.adapters.copies import as_traceable
from reparam_export.adapters.paths import as_path
from reparam_export.adapters.pythae_folder import is_folder, read_folder
from reparam_export.adapters.trial import trial_rows, tried
from reparam_export.source import Source, in_eval_mode

_SCORED: Final = frozenset(
    {
        *("VAE", "BetaVAE", "BetaTCVAE", "DisentangledBetaVAE", "FactorVAE", "INFOVAE_MMD", "Adversarial_AE"),
        *("IWAE", "CIWAE", "MIWAE", "PIWAE"),
    }
)
_UNSCORED: Final = frozenset({"MSSSIM_VAE", "VAEGAN"})  # their reconstruction loss is no log-likelihood
_DETERMINISTIC: Final = frozenset({"AE", "RAE_GP", "RAE_L2", "WAE_MMD"})
_REFUSED: Final = {
    "HVAE": "its z is moved by gradients of the decoder after it is drawn",
    "PoincareVAE": "its latent space is hyperbolic",
    "RHVAE": "its z is moved by gradients of the decoder after it is drawn",
    "SVAE": "its posterior is von Mises-Fisher, no location-scale family",
    "VAE_IAF": "its posterior is a flow, no location-scale family",
    "VAE_LinNF": "its posterior is a flow, no location-scale family",
    "VAMP": "its prior is learned, and a bundle's is standard normal",
    "VQVAE": "its latent is quantised",
}
_EDGE: Final = 2.0**-15


def source(model: object, *, name: str, input_shape: tuple[int, ...] | None) -> Source | None:
    """The adapter of `reparam.adapters`.

    Raises:
        CheckpointError: a folder that cannot be read without running pickled code.
        ExportError: a model of pythae that has no posterior of a location-scale family.
        OptionError: an input_shape that is not the model's, or that is needed and missing.
        VerificationError: the model gives a value that is not finite.
    """
    path = as_path(model)
    if path is not None:
        if not is_folder(path):
            return None
        model = read_folder(path)
    bases = [base for base in type(model).__mro__ if base.__module__.startswith("pythae.models.")]
    if not isinstance(model, nn.Module) or not bases:
        return None
    kind = bases[0].__name__
    if kind not in _SCORED | _UNSCORED | _DETERMINISTIC:
        reason = _REFUSED.get(kind, "it is no autoencoder that this adapter knows")
        raise ExportError(f"model: pythae's {kind} is not exported: {reason}")
    whose = type(model)
    scored = kind in _SCORED and getattr(whose, "loss_function", None) is getattr(bases[0], "loss_function", None)
    with in_eval_mode(model):  # the copy, if there is one, is made of a model in this mode
        return _made(as_traceable(model, what="model"), name, input_shape, kind, scored=scored)


def _made(vae: Any, name: str, input_shape: tuple[int, ...] | None, kind: str, *, scored: bool) -> Source:
    deterministic = kind in _DETERMINISTIC
    shape = _shape(vae.model_config.input_dim, input_shape)
    bce = scored and vae.model_config.reconstruction_loss == "bce"
    likelihood: Likelihood | None = (Bernoulli() if bce else Gaussian(std=1.0)) if scored else None

    def encode(x: Tensor) -> tuple[Tensor, ...]:
        found = vae.encoder(x)
        return (found["embedding"],) if deterministic else (found["embedding"], found["log_covariance"])

    def reconstruct(decoder: Any, z: Tensor) -> Tensor:
        found: Tensor = decoder(z)["reconstruction"]
        return found if found.shape[1:] == shape else found.reshape(-1, *shape)  # its loss flattens both

    rows = Input(shape=shape, layout="features" if len(shape) == 1 else "channels_first")
    bare = _without_sigmoid(vae.decoder, encode(trial_rows(rows))[0])
    if bce or bare is not None:
        rows = Input(shape=shape, layout=rows.layout, low=0.0, high=1.0)

    def decode(z: Tensor) -> dict[str, Tensor]:
        if not bce:
            return {"x_hat": reconstruct(vae.decoder, z)}
        if bare is None:
            x_hat = reconstruct(vae.decoder, z)
            return {"x_hat": x_hat, "logits": torch.logit(x_hat, eps=_EDGE)}
        logits = reconstruct(bare, z)
        return {"x_hat": torch.sigmoid(logits), "logits": logits}

    return Source(
        name=name,
        module=nn.ModuleList([vae, *([] if bare is None else [bare])]),
        encode=encode,
        decode=decode,
        input=rows,
        latent=Latent(shape=tried(encode, decode, rows), noise=None if deterministic else "normal"),
        likelihood=likelihood,
        training=None,
        bound=FOREIGN,
    )


def _shape(own: tuple[int, ...] | None, given: tuple[int, ...] | None) -> tuple[int, ...]:
    """The model's own shape, or the given one where it says none."""
    if own is None and given is None:
        raise OptionError("input_shape: the model's input_dim says none; give that of one row, without the batch")
    if own is not None and given not in (None, tuple(own)):
        raise OptionError(f"input_shape: the model takes rows of {list(own)}, got {list(given or ())}; leave it out")
    return tuple(own or given or ())


def _without_sigmoid(decoder: nn.Module, z: Tensor) -> nn.Module | None:
    """A copy of the decoder that lacks its closing sigmoid; None where it closes with none.

    Whether a sigmoid closes is seen by the numbers: it must give the decoder's own to the bit.
    """
    try:
        bare = copy.deepcopy(decoder)
    except Exception:  # a module of anyone's that cannot be copied has no such copy
        return None
    parts: dict[str, nn.Module] = dict(bare.named_modules())  # pyright: ignore[reportUnknownArgumentType]  # torch's
    places = [place for place, part in parts.items() if isinstance(part, nn.Sigmoid)]
    if not places:
        return None
    parent, _, last = places[-1].rpartition(".")
    setattr(bare.get_submodule(parent), last, nn.Identity())
    found: Tensor = bare(z)["reconstruction"]
    wanted: Tensor = decoder(z)["reconstruction"]
    return bare if torch.equal(torch.sigmoid(found), wanted) else None
