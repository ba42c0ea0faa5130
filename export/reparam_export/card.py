"""The model card, README.md of a bundle: what it is, how to load it, how it was trained, how far it is proved."""

from collections.abc import Sequence
from typing import Final

import msgspec

from reparam.bundle.manifest import (
    Axes,
    Bernoulli,
    Gaussian,
    Laplace,
    Likelihood,
    Manifest,
    Mixed,
    Plain,
    Training,
    Verification,
)
from reparam.engine.pair import decoder_contract, encoder_contract
from reparam.verification import told
from reparam_export.precision.told import variant_section

_VARIATIONAL: Final = (
    "A variational autoencoder as two ONNX graphs. The noise `eps` is an input: no graph draws random numbers."
)
_DETERMINISTIC: Final = (
    "A plain autoencoder as two ONNX graphs: its encoder gives z alone, takes no noise and has no posterior. Nothing "
    "in its training made z follow the prior, so what is decoded from draws of the prior need not resemble the data."
)


def model_card(manifest: Manifest, *, has_preview: bool) -> str:
    """The card as Markdown; every figure in it stands in the manifest too."""
    parts = [
        f"# {manifest.name}",
        _DETERMINISTIC if manifest.deterministic else _VARIATIONAL,
        "![Samples from the prior](preview.png)" if has_preview else "",
        _usage(manifest),
        _contract(manifest),
        _training(manifest.training) if manifest.training else "",
        "\n\n".join(_verification(done) for done in manifest.verification),
        *(variant_section(variant, manifest) for variant in manifest.variants),
        _limits(manifest),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _shape(shape: Axes) -> str:
    return "[batch, " + ", ".join(str(size) for size in shape) + "]"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _usage(manifest: Manifest) -> str:
    encode = "q = vae.encode(x_hat)                     # q.mean, q.logvar, q.kl() in nats per row"
    if manifest.deterministic:
        encode = "z = vae.sample(x_hat)                     # no seed and no eps: a plain autoencoder takes no noise"
    load, needs = f'reparam.load("{manifest.name}")    ', ""
    if manifest.trust is not msgspec.UNSET:
        load = f'reparam.load("{manifest.name}", trust="exporter")'
        needs = (
            "A graph holds operators that are not on the list of the runtime's gate, so it is refused without "
            '`trust="exporter"`: give that where you would run a program of whoever exported this.\n\n'
        )
    return f"""## Use

{needs}```python
import reparam
vae = {load} # this folder
x_hat = vae.generate(16, seed=7)          # {manifest.input.dtype} {_shape(manifest.input.shape).replace("batch", "16")}
{encode}
```"""


def _contract(manifest: Manifest) -> str:
    encoder, decoder = encoder_contract(manifest), decoder_contract(manifest)
    groups = (
        ("encoder.onnx", "input", encoder.inputs),
        ("encoder.onnx", "output", encoder.outputs),
        ("decoder.onnx", "input", decoder.inputs),
        ("decoder.onnx", "output", decoder.outputs),
    )
    rows = [
        (f"`{file}`", way, f"`{name}`", f"{manifest.dtype(name)} {_shape(axes)}")
        for file, way, names in groups
        for name, axes in names.items()
    ]
    low, high = manifest.input.low, manifest.input.high
    span = "not recorded" if low is None or high is None else f"{low:g} to {high:g}"
    known = "not known, so no ELBO can be had"
    if manifest.likelihood is not None:
        known = _likelihood(manifest.likelihood)
    return f"""## Graphs

{_table(("file", "way", "name", "dtype and shape"), rows)}

- Values of x: {span}, layout {manifest.input.layout.replace("_", " ")}.{_form(manifest)}
- Likelihood: {known}.
- Prior: standard normal. Law of `eps`: {manifest.latent.noise or "none, there is no noise"}.
- Opset {manifest.graphs[0].opset}, ir_version {manifest.graphs[0].ir_version}, id `{manifest.id}`."""


def _form(manifest: Manifest) -> str:
    """What is said of raw images and open sides, where there are any."""
    found = ""
    if manifest.input.dtype == "uint8":
        found += "\n- The graphs take and give uint8 images: 0 to 255 stands for that range."
    if manifest.input.factors is not None:
        height, width = manifest.input.factors
        found += (
            f"\n- Height and width are open: multiples of {height} and {width}, by which they exceed the latent's. "
            f"`vae.generate(16, seed=7, size=({4 * height}, {4 * width}))`."
        )
    return found


def _likelihood(likelihood: Likelihood) -> str:
    match likelihood:
        case Bernoulli():
            return "Bernoulli of `logits`"
        case Gaussian(std=None):
            return "Gaussian around `x_hat` with variance exp(`x_logvar`)"
        case Gaussian(std=std):
            return f"Gaussian around `x_hat` with standard deviation {std:.6g}"
        case Laplace(scale=None):
            return "Laplace around `x_hat` with scale exp(`x_logscale`)"
        case Laplace(scale=scale):
            return f"Laplace around `x_hat` with scale {scale:.6g}"
        case Mixed(columns=columns):
            told = [f"`{column.name}` {column.kind} at {column.start}:{column.stop}" for column in columns]
            return f"mixed columns of `logits`: {', '.join(told)}"


def _training(training: Training) -> str:
    shown = [(f"`{key}`", _value(value)) for key, value in training.options.items() if value is not None]
    metrics = [(key.replace("_", " "), f"{value:.6g}") for key, value in training.metrics.items()]
    scored = "It stopped between two validations, so these weights have no score."
    if any(name.startswith("test") for name, _ in metrics):
        scored = f"On the test rows, in nats per row:\n\n{_table(('metric', 'value'), metrics)}"
    return f"""## Training

Data: {training.data.name}, {training.data.train_rows:,} rows to train and {training.data.test_rows:,} to test.
Objective: {training.objective}. {scored}

Options:

{_table(("option", "value"), shown)}"""


def _value(value: Plain | Sequence[Plain]) -> str:
    return str(value) if isinstance(value, str) or not isinstance(value, Sequence) else ", ".join(map(str, value))


def _verification(done: Verification) -> str:
    rows = [(f"`{name}`", f"{worst.absolute:.2e}", f"{worst.relative:.2e}") for name, worst in done.worst.items()]
    return f"""## Verification, {done.precision}

Against the source model, at batch {", ".join(map(str, done.batches))}, by onnxruntime {done.onnxruntime} \
({done.provider}). Allowed: {told(done.bound)}. `reparam verify` repeats it.

{_table(("output", "worst absolute error", "relative to the largest value"), rows)}"""


def _limits(manifest: Manifest) -> str:
    data = "the training data" if manifest.training is None else f"`{manifest.training.data.name}`"
    return f"""## Limits

Trained on {data} alone: rows unlike them are encoded without complaint, and what is generated resembles them."""
