"""What int8 gains and costs on this CPU, in one paired run on one thread; run by `make bench-int8`.

models/mnist, a fully connected model, and a convolutional model of 64 x 64 x 3 images with transposed convolutions,
which is trained here on drawn shapes for a few minutes, are exported with `reparam export`'s own int8. First the gate:
a loss of ELBO above 1 % on test rows, and nothing is timed. Then fp32 and int8 take turns, and medians are compared.
"""

import argparse
import functools
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import reparam_export
from reparam.bundle.golden import decode_golden
from reparam.bundle.manifest import Manifest
from reparam.bundle.reader import Bundle, read_bundle
from reparam.engine.pair import start_pair
from reparam.engine.rows import Rows
from reparam.scores import elbo_terms
from reparam_export.precision.measure import medians
from reparam_export.precision.variants import Wanted, add_variants
from reparam_train import Options, config_for, fit
from reparam_train.data import from_arrays
from reparam_train.evaluators import rows
from reparam_train.options import Activation

MODELS = Path(__file__).resolve().parents[1] / "models"
LOSS = 0.01  # of the ELBO, above which a fast answer is no answer
SECONDS, EPOCHS = 4.0, 15  # timed for each graph and batch; trained
Array = npt.NDArray[np.float32]


def shapes(n: int, side: int, seed: int) -> Array:
    """Images [n, 3, side, side] in 0 to 1: one to three discs and squares on a gradient, colours and places drawn."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side].astype(np.float32)
    images = np.empty((n, 3, side, side), np.float32)
    for image in images:
        first, second = random.random((2, 3, 1, 1))
        slope = x * random.normal() + y * random.normal()
        ramp = (slope - slope.min()) / (np.ptp(slope) + 1e-6)
        image[:] = first * ramp + second * (1 - ramp)
        for _ in range(random.integers(1, 4)):
            across, down = random.uniform(side / 8, side * 7 / 8, 2)
            size, colour = random.uniform(side / 13, side / 4), random.random((3, 1, 1))
            away = (
                np.hypot(x - across, y - down) if random.random() < 0.5 else np.maximum(abs(x - across), abs(y - down))
            )
            cover = np.clip(size + 0.5 - away, 0, 1)
            image[:] = image * (1 - cover) + colour * cover
    return images


def compare(files: Mapping[str, bytes], manifest: Manifest, test: Array, batch: int) -> dict[str, Any]:
    """The ELBO of both precisions on test rows, then rows a second of each graph at the batch and at 1."""
    bundle = Bundle(manifest.name, manifest, files)
    pairs = {name: start_pair(bundle, device="cpu", precision=name, threads=1) for name in ("fp32", "int8")}
    nats = {
        name: -float(elbo_terms(Rows(pair, max_batch=64), test, seed=0, first_row=0, allow_nan=False).elbo.mean())
        for name, pair in pairs.items()
    }
    loss = (nats["int8"] - nats["fp32"]) / abs(nats["fp32"])
    if not loss < LOSS:
        raise SystemExit(f"{manifest.name}: int8 loses {loss:.2%} of the ELBO: nothing was timed")
    found: dict[str, Any] = {"test_rows": len(test), "negative_elbo": nats, "loss": loss, "times": []}
    eps = np.zeros((batch, *manifest.latent.shape), np.float32)
    (z,) = pairs["fp32"].encoder.run(["z"], {"x": test[:batch], "eps": eps})
    feeds = {"encoder": {"x": test[:batch], "eps": eps}, "decoder": {"z": z}}
    for role, names in (("encoder", ["mean", "logvar", "z"]), ("decoder", list(manifest.decoder_outputs))):
        for size in (batch, 1):
            feed = {name: values[:size] for name, values in feeds[role].items()}
            seconds = medians(
                {name: functools.partial(getattr(pair, role).run, names, feed) for name, pair in pairs.items()},
                seconds=SECONDS,
            )
            rates = {name: size / each for name, each in seconds.items()}
            found["times"].append(
                {"graph": role, "batch": size, "rows_per_second": rates, "ratio": rates["int8"] / rates["fp32"]}
            )
    return found


def mnist(data: str) -> dict[str, Any]:
    """models/mnist, calibrated on 512 training rows."""
    bundle = read_bundle(MODELS / "mnist", golden=True)
    manifest = bundle.manifest
    vectors = decode_golden(bundle.files[manifest.golden.file], manifest, where="golden.npz")
    train = rows(data, split="train", limit=512, target=MODELS / "mnist")
    wish = Wanted(("fp32", "int8"), train, keep_slower=True)
    files, found = add_variants(bundle.files, manifest, vectors, wish, progress=lambda _: None)
    return compare(files, found, rows(data, split="test", limit=2000, target=MODELS / "mnist"), 256)


def images(activation: Activation) -> dict[str, Any]:
    """A convolutional model of drawn images, trained for a few minutes."""
    x = shapes(4600, 64, seed=0)
    data = from_arrays(x[:4000], x[4000:], name="shapes")
    config = config_for(data, net="conv", hidden=(32, 64, 128, 256), activation=activation, latent=64, std=0.1)
    with tempfile.TemporaryDirectory() as folder:
        fit(data, config, Options(epochs=EPOCHS, threads=1), out=f"{folder}/run")
        options: dict[str, Any] = {"precision": ("fp32", "int8"), "calibrate": x[:512], "keep_slower": True}
        reparam_export.export(f"{folder}/run", f"{folder}/shapes-{activation}", **options)
        bundle = read_bundle(f"{folder}/shapes-{activation}")
    return compare(bundle.files, bundle.manifest, x[4000:], 16)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mnist", help="folder of MNIST's idx files")
    parser.add_argument("--activation", choices=["relu", "silu", "tanh", "gelu"], action="append")
    given = parser.parse_args()
    report = {"mnist": mnist(given.mnist)}
    for activation in given.activation or ["relu"]:
        report[f"conv-{activation}"] = images(activation)
    print(json.dumps(report, indent=2))
