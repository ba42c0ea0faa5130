"""What a model is and how it is trained, as data: frozen, checked when made, and free of torch.

The `Literal`s here are the one list of names: the command's choices, the checks and the tests read them.
"""

import math
from collections.abc import Callable, Collection
from typing import Any, Final, Literal, get_args

import msgspec

from reparam.errors import OptionError
from reparam.laws import Law, check_seed
from reparam_train import functions, sizes, typed
from reparam_train.data.columns import Column
from reparam_train.data.split import Binarize, Data

Net = Literal["mlp", "conv", "resnet"]
Upsample = Literal["transposed", "nearest", "subpixel"]
Activation = Literal["relu", "tanh", "silu", "gelu"]
Posterior = Literal[Law, "none"]
Objective = Literal["elbo", "iwae", "moments", "autoencoder"]
Likelihood = Literal["bernoulli", "gaussian", "laplace", "mixed"]
Scale = Literal["shared", "per-dimension", "optimal"]
Schedule = Literal["constant", "cosine", "step"]
Amp = Literal["none", "bf16"]
Device = Literal["cpu", "cuda", "auto"]

NETS: Final[tuple[Net, ...]] = get_args(Net)
UPSAMPLES: Final[tuple[Upsample, ...]] = get_args(Upsample)
ACTIVATIONS: Final[tuple[Activation, ...]] = get_args(Activation)
POSTERIORS: Final[tuple[Posterior, ...]] = get_args(Posterior)
OBJECTIVES: Final[tuple[Objective, ...]] = get_args(Objective)
LIKELIHOODS: Final[tuple[Likelihood, ...]] = get_args(Likelihood)
SCALES: Final[tuple[Scale, ...]] = get_args(Scale)
BINARIZE: Final[tuple[Binarize, ...]] = get_args(Binarize)
SCHEDULES: Final[tuple[Schedule, ...]] = get_args(Schedule)
AMPS: Final[tuple[Amp, ...]] = get_args(Amp)
DEVICES: Final[tuple[Device, ...]] = get_args(Device)

LATENT: Final = 10
LATENT_CHANNELS: Final = 4  # of resnet; the usual number of Rombach et al. 2022
UPSAMPLE: Final[dict[str, Upsample]] = {"conv": "transposed", "resnet": "nearest"}


def _choose(name: str, value: str, allowed: Collection[str]) -> None:
    if value not in allowed:
        raise OptionError(f"{name}: must be one of {', '.join(allowed)}, got {value!r}")


def _at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise OptionError(f"{name}: must be at least 1, got {value}")


def _not_negative(name: str, value: float) -> None:
    if not (math.isfinite(value) and value >= 0):
        raise OptionError(f"{name}: must be a finite number of at least 0, got {value}")


def _positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise OptionError(f"{name}: must be a finite number above 0, got {value}")


class VAEConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that is needed to build a model's layers. Raises `OptionError` for wrong types and fields at odds."""

    net: str
    """"mlp"; "conv" or "resnet" for rows of shape (length,), (channels, length) or (channels, height, width); or your
    own, as package.module:function (see nets/own.py)."""
    input_shape: tuple[int, ...]
    """Shape of one row, as (64,) or (1, 8, 8)."""
    latent: int
    """Width of z; its channels where the latent is spatial (resnet)."""
    hidden: tuple[int, ...]
    """Widths of the encoder's layers (mlp), channels of its stride-2 convolutions (conv) or of each level (resnet); the
    decoder mirrors it. An own net may leave it empty."""
    activation: Activation = "relu"
    upsample: Upsample | None = None
    """conv, resnet: how the decoder doubles a side; None becomes the net's own way, transposed or nearest."""
    blocks: int = 1
    """resnet: residual blocks of each level."""
    attention: bool = False
    """resnet: self-attention of the smallest map."""
    latent_sides: tuple[int, ...] = ()
    """An own net's: sides of its spatial latent, as (4, 4); () for a vector."""
    posterior: Posterior = "normal"
    """Law of the standardised noise eps in z = mean + std eps; "none" is a plain autoencoder, which takes no noise."""
    likelihood: Likelihood = "bernoulli"
    std: float | None = None
    """gaussian, laplace: the fixed standard deviation of p(x|z) in the data's units; None finds it as `scale` says."""
    columns: tuple[Column, ...] = ()
    """mixed: what the columns of a row mean, from the left; their widths add up to the row's."""
    scale: Scale = "shared"
    """gaussian, laplace: "shared" learns one for all dimensions, "per-dimension" is an output of the decoder, "optimal"
    (gaussian) is the root mean square of x - x_hat."""

    def __post_init__(self) -> None:
        typed.settle(self)
        _choose("activation", self.activation, ACTIVATIONS)
        _choose("posterior", self.posterior, POSTERIORS)
        _choose("likelihood", self.likelihood, LIKELIHOODS)
        for name in ("latent", "blocks"):
            _at_least_one(name, getattr(self, name))
        self._check_net()
        if self.std is not None:
            _positive("std", self.std)
        _choose("scale", self.scale, SCALES)
        if self.likelihood in ("bernoulli", "mixed") and (self.std is not None or self.scale != "shared"):
            name = "std" if self.scale == "shared" else "scale"
            raise OptionError(
                f"{name}: belongs to likelihood gaussian or laplace, got {self.likelihood}; leave {name} out"
            )
        self._check_columns()
        if self.std is not None and self.scale != "shared":
            raise OptionError(f"scale: std fixes one for all dimensions, got {self.scale} too; leave one of them out")
        if self.scale == "optimal" and self.likelihood != "gaussian":
            raise OptionError(f"scale: optimal belongs to likelihood gaussian, got {self.likelihood}; use shared")

    def _check_net(self) -> None:
        own = functions.is_name(self.net)
        if not own and self.net not in NETS:
            raise OptionError(
                f"net: must be one of {', '.join(NETS)}, or package.module:function for your own, got {self.net!r}"
            )
        for name, widths in (("input_shape", self.input_shape), ("hidden", self.hidden)):
            if min(widths, default=1) < 1 or not (widths or (own and name == "hidden")):
                raise OptionError(f"{name}: must hold one or more sizes of at least 1, got {list(widths)}")
        sizes.check(self.net, self.input_shape, self.hidden)
        for name, nets, given in (
            ("upsample", ("conv", "resnet"), self.upsample is not None),
            ("blocks", ("resnet",), self.blocks != 1),
            ("attention", ("resnet",), self.attention),
        ):
            if given and not own and self.net not in nets:
                raise OptionError(f"{name}: belongs to net {' or '.join(nets)}, got {self.net}; leave {name} out")
        if self.latent_sides and (not own or min(self.latent_sides) < 1):
            raise OptionError(
                f"latent_sides: sizes of at least 1 of an own net's latent, got {list(self.latent_sides)} with net "
                f"{self.net}; leave latent_sides out"
            )
        if self.upsample is not None:
            _choose("upsample", self.upsample, UPSAMPLES)
        elif self.net in UPSAMPLE:
            msgspec.structs.force_setattr(self, "upsample", UPSAMPLE[self.net])

    def _check_columns(self) -> None:
        if (self.likelihood == "mixed") != bool(self.columns):
            raise OptionError(
                f"columns: likelihood mixed needs them and no other takes them, got {self.likelihood} with "
                f"{len(self.columns)}; the columns come with the data, or in Python with columns="
            )
        width = sum(column.width for column in self.columns)
        if self.columns and self.input_shape != (width,):
            raise OptionError(f"columns: their widths add up to {width}, got rows of shape {list(self.input_shape)}")
        names = [column.name for column in self.columns]
        if len(set(names)) != len(names):
            raise OptionError(f"columns: each name stands once, got {names}")

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of one row of z: (latent,), or (latent, *sides) where it is spatial."""
        if self.net != "resnet":
            return (self.latent, *self.latent_sides)
        return (self.latent, *sizes.latent_sides(self.input_shape, levels=len(self.hidden)))

    @property
    def raw_shape(self) -> tuple[int, ...]:
        """Shape of one row of the decoder's raw output: the input's, twice its first axis for scale per-dimension."""
        parts = 2 if self.scale == "per-dimension" else 1
        return (parts * self.input_shape[0], *self.input_shape[1:])

    @property
    def law(self) -> Law:
        """Of the noise; `OptionError` for a plain autoencoder, which takes none."""
        if self.posterior == "none":
            raise OptionError("posterior: a plain autoencoder has none, so there is neither noise nor rate nor ELBO")
        return self.posterior


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a model is trained. Raises `OptionError` for values of another type or out of range."""

    epochs: int = 100
    """Passes over the training split."""
    batch_size: int = 64
    """Rows a step; the last step of an epoch takes what is left."""
    lr: float = 2e-3
    """Step size of Adam."""
    adam_eps: float = 1e-8
    """Added to the denominator of Adam."""
    seed: int = 0
    """Of the first weights, the order of rows and the noise; 0 <= seed < 2^64."""
    device: Device = "auto"
    """"auto" takes CUDA where torch sees a card."""
    validate_every: int = 5
    """Epochs between two validations, each of which leaves a checkpoint; the last epoch always ends with one."""
    threads: int | None = None
    """CPU threads of torch; None takes what affinity and the container's quota allow. The last bit of a result may
    depend on it."""
    limit: int | None = None
    """Use only so many first rows of each split, for trials; None uses all."""
    schedule: Schedule = "constant"
    """Of the step size: "cosine" falls from lr to 0 over all epochs, "step" multiplies it by lr_decay now and then."""
    lr_decay: float = 0.1
    """step: factor of the step size."""
    lr_decay_every: int = 30
    """step: epochs between two such factors."""
    clip_norm: float | None = None
    """Largest Euclidean norm of the whole gradient; a longer one is scaled down to it. None leaves it as it is."""
    patience: int | None = None
    """Stop after so many validations in a row without a better test ELBO (distortion, of a plain autoencoder); the last
    weights are kept. None trains all epochs."""
    checkpoint_every: int | None = None
    """Steps between two checkpoints besides those of validation; None makes none."""
    amp: Amp = "none"
    """"bf16" computes the layers in bfloat16; weights, losses and validation stay float32."""
    compile: bool = False
    """Compile the loss with torch.compile; on a CPU it needs a C++ compiler. Other last bits than without."""
    objective: Objective = "elbo"
    """What training makes smaller; validation reports the plain ELBO for each (the distortion for "autoencoder")."""
    beta: float = 1.0
    """elbo: weight of the KL."""
    warmup: float = 0.0
    """elbo: epochs in which the KL's weight rises linearly from 0 to beta."""
    free_bits: float = 0.0
    """elbo: nats of each latent dimension's KL, averaged over the batch, that cost nothing."""
    samples: int = 1
    """iwae: draws of z for each row, k."""
    mean_penalty: float = 0.5
    """moments: alpha, weight of |mean|^2."""
    std_penalty: float = 1.0
    """moments: beta, weight of |std - 1|^2."""
    binarize: Binarize = "none"
    """bernoulli: grey values x become draws of Bernoulli(x), once for each row ("static") or anew in each step
    ("dynamic"); test rows always once."""

    def __post_init__(self) -> None:
        typed.settle(self)
        _choose("device", self.device, DEVICES)
        _choose("binarize", self.binarize, BINARIZE)
        _choose("schedule", self.schedule, SCHEDULES)
        _choose("amp", self.amp, AMPS)
        for name in ("epochs", "batch_size", "validate_every", "lr_decay_every"):
            _at_least_one(name, getattr(self, name))
        for name in ("threads", "limit", "patience", "checkpoint_every"):
            if getattr(self, name) is not None:
                _at_least_one(name, getattr(self, name))
        _positive("lr", self.lr)
        _positive("lr_decay", self.lr_decay)
        if self.clip_norm is not None:
            _positive("clip_norm", self.clip_norm)
        _positive("adam_eps", self.adam_eps)
        check_seed(self.seed)
        _choose("objective", self.objective, OBJECTIVES)
        _at_least_one("samples", self.samples)
        defaults = dict(zip(self.__struct_fields__, self.__struct_defaults__, strict=True))
        for name, objective in _BELONGS.items():
            _not_negative(name, getattr(self, name))
            if objective != self.objective and getattr(self, name) != defaults[name]:
                raise OptionError(f"{name}: belongs to objective {objective}, got {self.objective}; leave {name} out")


_BELONGS: Final[dict[str, Objective]] = {
    "beta": "elbo",
    "warmup": "elbo",
    "free_bits": "elbo",
    "samples": "iwae",
    "mean_penalty": "moments",
    "std_penalty": "moments",
}


def check_pair(config: VAEConfig, options: Options) -> None:
    """`OptionError` for options that do not fit the model: objective to posterior, binarize to likelihood."""
    if options.binarize != "none" and config.likelihood != "bernoulli":
        raise OptionError(f"binarize: belongs to likelihood bernoulli, got {config.likelihood}; leave binarize out")
    if (config.posterior == "none") != (options.objective == "autoencoder"):
        raise OptionError(
            f"objective: autoencoder goes with posterior none and no other objective does, "
            f"got {options.objective} with {config.posterior}; change one of the two"
        )


def config_for(
    data: Data,
    *,
    net: str | Callable[[VAEConfig], tuple[Any, Any]] | None = None,
    hidden: tuple[int, ...] | None = None,
    activation: Activation | None = None,
    latent: int | None = None,
    upsample: Upsample | None = None,
    blocks: int = 1,
    attention: bool = False,
    latent_sides: tuple[int, ...] = (),
    posterior: Posterior = "normal",
    likelihood: Likelihood | None = None,
    std: float | None = None,
    scale: Scale = "shared",
    columns: tuple[Column, ...] | None = None,
) -> VAEConfig:
    """A model for these data; what is left out is chosen from their shape and range.

    Args:
        data: what the model is trained on.
        net: left out, conv for images and signals with channels, and mlp for anything else. Your own is a function from
            the configuration to (encoder, decoder), or its name as package.module:function; see nets/own.py.
        hidden: left out, 200,200 for mlp; for conv and resnet as many as the size needs, 32,64 for 8 x 8 images.
        activation: between the layers; left out, silu for resnet, else relu.
        latent: width of z, or its channels where it is spatial; left out, 10, and 4 for resnet.
        upsample: how the decoder of conv or resnet doubles a side; left out, transposed for conv, nearest for resnet.
        blocks: residual blocks of each level of a resnet.
        attention: whether a resnet's smallest map has self-attention.
        latent_sides: of an own net's spatial latent.
        posterior: law of the standardised noise.
        likelihood: left out, mixed for a table whose columns are known, bernoulli for data known to lie in [0, 1],
            gaussian for others or where `std` or `scale` is given.
        std: fixed standard deviation of gaussian or laplace, in the data's units; None finds it.
        scale: where std is None, how it is found.
        columns: of a table, for likelihood mixed; left out, those that the data know of.

    Raises:
        OptionError: a value out of range, or a net that does not take rows of this shape or cannot be imported again.
    """
    given = data.columns if columns is None else columns
    unit = data.low is not None and std is None and scale == "shared"
    law: Likelihood = likelihood or ("mixed" if given else "bernoulli" if unit else "gaussian")
    maps = len(data.shape) > 1 and sizes.is_spatial(data.shape)
    chosen = functions.name_of(net, option="net") if callable(net) else net or ("conv" if maps else "mlp")
    resnet = chosen == "resnet"
    return VAEConfig(
        net=chosen,
        input_shape=data.shape,
        latent=(LATENT_CHANNELS if resnet else LATENT) if latent is None else latent,
        hidden=sizes.hidden(chosen, data.shape) if hidden is None else hidden,
        activation=activation or ("silu" if resnet else "relu"),
        upsample=upsample,
        blocks=blocks,
        attention=attention,
        latent_sides=latent_sides,
        posterior=posterior,
        likelihood=law,
        columns=given if law == "mixed" else (),
        std=std,
        scale=scale,
    )
