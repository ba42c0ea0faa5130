"""The options that describe a model and its training, each once; `train`, `compare` and `sweep` share them."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from reparam_train.options import (
    ACTIVATIONS,
    AMPS,
    BINARIZE,
    DEVICES,
    LATENT,
    LATENT_CHANNELS,
    LIKELIHOODS,
    NETS,
    OBJECTIVES,
    POSTERIORS,
    SCALES,
    SCHEDULES,
    UPSAMPLES,
    Options,
    VAEConfig,
)

Command = TypeVar("Command", bound=Callable[..., object])
Decorator = Callable[[Any], Any]
_DEFAULTS: Final = Options()


def _sizes(_: click.Context, param: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """A tuple of integers, from "200,200"."""
    try:
        return None if value is None else tuple(int(part) for part in value.split(","))
    except ValueError:
        rule = "must be whole numbers with commas between them, such as 200,200"
        raise click.BadParameter(f"{rule}; got {value!r}", param=param) from None


def option(name: str, kind: Any, meaning: str, *, default: object = None, **more: Any) -> Decorator:
    """An option that is None where it is not given, so that what is continued keeps what it was started with."""
    shown = getattr(_DEFAULTS, name[2:].replace("-", "_")) if default is None else default
    return click.option(name, type=kind, default=None, **more, help=f"{meaning}  [default: {shown}]")


def together(*options: Decorator) -> Callable[[Command], Command]:
    """One decorator that adds all these options, in this order."""

    def decorate(command: Command) -> Command:
        for add in reversed(options):
            command = add(command)
        return command

    return decorate


def parted(given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What was given of the command line, as fields of `VAEConfig` and fields of `Options`."""
    chosen = {name: value for name, value in given.items() if value is not None}
    return {name: chosen.pop(name) for name in VAEConfig.__struct_fields__ if name in chosen}, chosen


model_options: Final = together(
    option(
        "--net",
        str,
        f"Layers: {', '.join(NETS)}, or package.module:function, your own function from the configuration to (encoder, "
        "decoder); the current folder is searched too.",
        default="conv for images and signals with channels, else mlp",
        metavar="NET",
    ),
    option(
        "--hidden",
        str,
        "Widths of the mlp's layers, channels of conv's stride-2 convolutions or of resnet's levels.",
        default="mlp 200,200; conv and resnet from the size, 32,64 for 8 x 8",
        metavar="N,N...",
        callback=_sizes,
    ),
    option("--activation", click.Choice(ACTIVATIONS), "Between the layers.", default="relu; silu for resnet"),
    option(
        "--latent",
        int,
        "Width of z; for resnet, its channels at each place of the smallest map.",
        default=f"{LATENT}; {LATENT_CHANNELS} for resnet",
    ),
    option(
        "--upsample",
        click.Choice(UPSAMPLES),
        "conv, resnet: how the decoder doubles a side. subpixel, a convolution and a shuffle, suits int8.",
        default="conv transposed, resnet nearest",
    ),
    option("--blocks", int, "resnet: residual blocks of each level.", default=1),
    option("--attention/--no-attention", None, "resnet: self-attention of the smallest map.", default="no-attention"),
    option(
        "--latent-sides",
        str,
        "Your own net: sides of its spatial latent, after --latent channels.",
        default="none, z is a vector",
        metavar="N,N...",
        callback=_sizes,
    ),
    option(
        "--posterior",
        click.Choice(POSTERIORS),
        "Law of the noise eps in z = mean + std eps.",
        default="normal; none for objective autoencoder",
    ),
    option(
        "--likelihood",
        click.Choice(LIKELIHOODS),
        "Law of x given z. bernoulli needs values in [0, 1].",
        default="mixed for tables; bernoulli for digits, idx and uint8; else gaussian",
    ),
    option(
        "--std",
        float,
        "Fixed standard deviation of gaussian or laplace, in the data's units.",
        default="found, as --scale says",
    ),
    option(
        "--scale",
        click.Choice(SCALES),
        "Scale of gaussian or laplace: one learned, one for each dimension as an output of the decoder, or the "
        "best one.",
        default="shared",
    ),
    option(
        "--binarize",
        click.Choice(BINARIZE),
        "bernoulli: grey values as draws of 0 or 1, once a row or anew each step. Test rows once.",
    ),
)
"""Layers, posterior, likelihood, and how rows become binary."""

objective_options: Final = together(
    option("--objective", click.Choice(OBJECTIVES), "What training makes smaller. The test ELBO is plain for each."),
    option("--beta", float, "elbo: weight of the KL."),
    option("--warmup", float, "elbo: epochs in which that weight rises linearly from 0.", metavar="EPOCHS"),
    option("--free-bits", float, "elbo: free nats of each latent dimension's KL, mean over the batch.", metavar="NATS"),
    option("--samples", int, "iwae: draws of z a row.", metavar="K"),
    option("--mean-penalty", float, "moments: alpha of alpha |mean|^2 + beta |std - 1|^2.", metavar="ALPHA"),
    option("--std-penalty", float, "moments: beta of it.", metavar="BETA"),
)
"""What training makes smaller."""

training_options: Final = together(
    option("--epochs", int, "Passes over the training rows."),
    option("--batch-size", int, "Rows a step."),
    option("--lr", float, "Step size of Adam."),
    option("--adam-eps", float, "Added to the denominator of Adam."),
    option("--device", click.Choice(DEVICES), "Where to train; auto takes CUDA where there is a card."),
    option("--validate-every", int, "Epochs between validations; each leaves a checkpoint.", metavar="EPOCHS"),
    option("--checkpoint-every", int, "Steps between checkpoints besides these.", default="none", metavar="STEPS"),
    option(
        "--patience", int, "Stop after so many validations without a better test ELBO.", default="never", metavar="N"
    ),
    option("--schedule", click.Choice(SCHEDULES), "Of the step size: cosine falls to 0 over all epochs."),
    option("--lr-decay", float, "step: factor of the step size."),
    option("--lr-decay-every", int, "step: epochs between two factors.", metavar="EPOCHS"),
    option("--clip-norm", float, "Largest norm of the whole gradient.", default="none"),
    option("--amp", click.Choice(AMPS), "bf16 computes the layers in bfloat16; weights and losses stay float32."),
    option("--compile/--no-compile", None, "Compile the loss with torch.compile.", default="no-compile"),
    option("--threads", int, "CPU threads.", default="all that affinity and quota allow"),
    option("--limit", int, "Use only the first ROWS of each split, for trials.", default="all", metavar="ROWS"),
)
"""How it is made smaller."""

seed_option: Final = option("--seed", int, "Of first weights, order and noise, 0 to 2^64 - 1.")
