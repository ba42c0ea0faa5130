"""`tiny_bundle`: a bundle with random weights and everything a real one has, for the tests of other programs."""

import hashlib
import math
import os
from pathlib import Path
from typing import Final, Literal

import msgspec

from reparam.bundle.golden import Case, encode_golden
from reparam.bundle.manifest import (
    MANIFEST_NAME,
    Bernoulli,
    Gaussian,
    Golden,
    Graph,
    Input,
    Laplace,
    Latent,
    Likelihood,
    Manifest,
)
from reparam.bundle.writer import publish
from reparam.errors import OptionError
from reparam.integers import whole
from reparam.laws import Law
from reparam.testing.network import Network

_LIKELIHOODS: Final[dict[str, Likelihood]] = {
    "bernoulli": Bernoulli(),
    "gaussian": Gaussian(std=0.5),
    "laplace": Laplace(scale=0.5),
}
_BATCHES: Final = (1, 3)
_MOST_VALUES: Final = 2**14  # of a row, so that the golden vectors stay below 1 MiB


def tiny_bundle(
    path: str | os.PathLike[str],
    *,
    input_shape: tuple[int, ...] = (1, 8, 8),
    latent_shape: tuple[int, ...] = (2,),
    likelihood: Literal["bernoulli", "gaussian", "laplace"] | None = "bernoulli",
    posterior: Law = "normal",
    deterministic: bool = False,
    seed: int = 0,
) -> Path:
    """Writes a small bundle that loads, verifies and does all that `VAE` can; no PyTorch, no onnx, a few milliseconds.

    Its weights are drawn from the seed, so the numbers mean nothing, but they differ between rows and between seeds,
    mean and logvar both depend on x, and x_hat on z. The same arguments give the same bytes.

    Args:
        path: the folder to become, as of an export; a bundle that is there is replaced.
        input_shape: one row of x; three sizes are channels, height and width. At most 16,384 values.
        latent_shape: one row of z.
        likelihood: of x given z; Gaussian and Laplace with the scale 0.5, None for a bundle that names none.
        posterior: the law of the noise.
        deterministic: a plain autoencoder: z alone, no posterior.
        seed: 0 <= seed < 2^64, of the weights.

    Returns:
        The path.

    Raises:
        OptionError: a shape or seed out of its range, or an unknown likelihood or law.
        OutputError: the folder cannot be written, or holds what is not a bundle.

    Examples:
        >>> import reparam, tempfile
        >>> from reparam.testing import tiny_bundle
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     vae = reparam.load(tiny_bundle(f"{folder}/tiny", input_shape=(5,)), device="cpu")
        >>> vae.generate(3, seed=7).shape
        (3, 5)
    """
    if likelihood is not None and likelihood not in _LIKELIHOODS:
        raise OptionError(f"likelihood: must be {', '.join(_LIKELIHOODS)} or None, got {likelihood!r:.80}")
    network = Network(
        _shape("input_shape", input_shape),
        _shape("latent_shape", latent_shape),
        logits=likelihood == "bernoulli",
        deterministic=deterministic,
        seed=seed,
    )
    graphs = {"encoder.onnx": network.encoder(), "decoder.onnx": network.decoder()}
    vectors = encode_golden({Case(batch): network.vectors(batch, posterior) for batch in _BATCHES})
    manifest = Manifest(
        name="tiny",
        id=hashlib.sha256(b"".join(graphs.values())).hexdigest()[:32],
        deterministic=deterministic,
        input=Input(
            shape=network.input, layout="channels_first" if len(network.input) == 3 else "features", low=0.0, high=1.0
        ),
        latent=Latent(shape=network.latent, noise=None if deterministic else posterior),
        likelihood=None if likelihood is None else _LIKELIHOODS[likelihood],
        graphs=(
            _entry("encoder", "encoder.onnx", graphs["encoder.onnx"]),
            _entry("decoder", "decoder.onnx", graphs["decoder.onnx"]),
        ),
        golden=Golden(file="golden.npz", bytes=len(vectors), sha256=_sha256(vectors), source="onnx", batches=_BATCHES),
        verification=(),
        versions={},
    )
    told = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    publish(Path(path), {MANIFEST_NAME: told, **graphs, "golden.npz": vectors})
    return Path(path)


def _shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    sizes = tuple(whole(f"{name}[{axis}]", size, low=1) for axis, size in enumerate(shape))
    if not 1 <= len(sizes) <= 7 or math.prod(sizes) > _MOST_VALUES:
        raise OptionError(f"{name}: must have 1 to 7 sizes and at most {_MOST_VALUES} values, got {list(sizes)}")
    return sizes


def _entry(role: Literal["encoder", "decoder"], file: str, data: bytes) -> Graph:
    return Graph(role=role, file=file, precision="fp32", opset=18, ir_version=9, bytes=len(data), sha256=_sha256(data))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
