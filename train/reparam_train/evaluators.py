"""Evaluates a run as the runtime evaluates a bundle: the same scoring code, over torch in place of onnxruntime.

So that the two agree to rounding: rows, noise and sums are the runtime's; only the two graphs are this model.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from reparam.arrays import FloatArray
from reparam.bundle.manifest import Golden, Input, Latent, Manifest, Mixed
from reparam.engine.device import Device
from reparam.engine.pair import Pair
from reparam.engine.rows import Rows
from reparam.errors import BundleError, MissingExtra, OptionError
from reparam.evaluation import Evaluation, evaluate_rows
from reparam_train.data.columns import Column
from reparam_train.data.reading import OWN_SPLIT, Reading
from reparam_train.data.sources import load_as
from reparam_train.data.split import Binarize, Split
from reparam_train.options import DEVICES
from reparam_train.options import Device as DeviceName

MAX_BATCH: Final = 256


class SplitRows:
    """The rows of some splits, one split after another, read in pieces as they are asked for.

    Attributes:
        low: the least value of the data's range; None where it is not known.
        high: the greatest.
    """

    def __init__(self, splits: list[Split], limit: int | None, *, low: float | None, high: float | None) -> None:
        self._splits = splits
        self._limit = limit
        self.low = low
        self.high = high

    def __len__(self) -> int:
        """How many there are."""
        rows = sum(map(len, self._splits))
        return rows if self._limit is None else min(rows, self._limit)

    def __iter__(self) -> Iterator[FloatArray]:
        """Pieces, float32 [some, *shape], of bounded size."""
        return self.part(0, len(self))

    def part(self, start: int, stop: int) -> Iterator[FloatArray]:
        """Pieces of the rows from start to stop; no others are read."""
        left, passed = len(self), 0
        for split in self._splits:
            for places in split.head(left).pieces():
                wanted = places[max(0, start - passed) : max(0, stop - passed)]
                if len(wanted):
                    yield split.batch(wanted)
                passed += len(places)
                left -= len(places)


def pieces(data: str, *, split: str, limit: int | None, target: Path | None) -> SplitRows:
    """The rows of a source that a run or bundle is evaluated on: split, read and binarised as its training did.

    Args:
        data: what `reparam train` takes.
        split: "train", "test", or "all".
        limit: the first so many rows, None for all.
        target: the run or bundle, which says how its training saw its rows; None where a model says nothing of it.
    """
    seen = _Seen() if target is None else _seen_by(target)
    found = load_as(data, seen.reading, seen.columns).binarized(seen.binarize, seen.seed)
    splits = {"train": [found.train], "test": [found.test], "all": [found.train, found.test]}[split]
    return SplitRows(splits, limit, low=found.low, high=found.high)


def rows(
    data: str, *, split: str, limit: int | None, target: Path | None, span: tuple[float, float] | None = None
) -> FloatArray:
    """The same rows in one array, for those who want few of them.

    With span, the range of x that a model takes, rows of a source whose range is known, as images' is, come in that.
    """
    found = pieces(data, split=split, limit=limit, target=target)
    x = np.concatenate(list(found))
    if span is None or found.low is None or found.high is None or span == (found.low, found.high):
        return x
    unit = (x - np.float32(found.low)) / np.float32(found.high - found.low)
    return np.float32(span[0]) + np.float32(span[1] - span[0]) * unit


@dataclass(frozen=True)
class _Seen:
    """How training saw its rows."""

    reading: Reading = OWN_SPLIT
    columns: tuple[Column, ...] = ()
    binarize: Binarize = "none"
    seed: int = 0


def _seen_by(target: Path) -> _Seen:
    from reparam.bundle.manifest import MANIFEST_NAME
    from reparam.bundle.reader import read_bundle
    from reparam_train import record

    if (target / MANIFEST_NAME).exists():
        return _seen_by_bundle(read_bundle(target, precisions=()).manifest)
    run = record.read(target)
    return _Seen(run.reading, run.columns, run.options.binarize, run.options.seed)


def _seen_by_bundle(manifest: Manifest) -> _Seen:
    """What a manifest says of it; a bundle of another program may say nothing."""
    columns: tuple[Column, ...] = ()
    if isinstance(manifest.likelihood, Mixed):
        columns = tuple(
            Column(
                name=each.name,
                kind=each.kind,
                categories=each.categories or (),
                shift=each.shift,
                scale=each.scale,
            )
            for each in manifest.likelihood.columns
        )
    training = manifest.training
    if training is None:
        return _Seen(columns=columns)
    options = {name: training.options.get(name) for name in ("test_every", "layout", "binarize")}
    try:
        reading = msgspec.convert({name: options[name] for name in ("test_every", "layout")}, Reading)
        binarize = msgspec.convert(options["binarize"] or "none", Binarize)
    except msgspec.ValidationError as error:
        raise BundleError(f"training.options: must be those of `reparam train`, {error}; export it again") from None
    return _Seen(reading, columns, binarize, training.seed)


class TorchGraph:
    """One of a model's two functions, run as a graph of the contract."""

    def __init__(self, function: Callable[[dict[str, Any]], dict[str, Any]], device: Any) -> None:
        self._function = function
        self._device = device

    @property
    def provider(self) -> str:
        """Who runs it."""
        return f"torch on {self._device}"

    def run(self, names: list[str], feeds: dict[str, FloatArray]) -> list[FloatArray]:
        """The named outputs, float32, for inputs by name."""
        import torch

        with torch.inference_mode():
            found = self._function({name: torch.as_tensor(value, device=self._device) for name, value in feeds.items()})
            return [found[name].cpu().numpy() for name in names]


def evaluate(
    run: Path,
    x: FloatArray | Iterator[FloatArray],
    *,
    seed: int,
    samples: int,
    device: str,
    threads: int | None,
    progress: Callable[[int], None],
) -> Evaluation:
    """What the field reports of a run's model; see `reparam.VAE.evaluate`.

    Raises:
        CheckpointError: no run there.
        OptionError: a plain autoencoder, which has no posterior to score.
        InputError: rows that the model does not take.
    """
    try:
        from reparam_train import device as devices
        from reparam_train import posteriors
        from reparam_train.checkpoint import read_run
        from reparam_train.named import named
    except ModuleNotFoundError as error:
        raise MissingExtra(f"evaluating a run needs {error.name}; pip install 'reparam[train]'") from None
    found = read_run(run)
    model, config = found.model, found.model.config
    if config.posterior == "none":
        raise OptionError(f"evaluate: {run} is a plain autoencoder, which has no posterior to score")
    names: dict[str, DeviceName] = {known: known for known in DEVICES}
    name = names.get(device)
    if name is None:
        raise OptionError(f"device: a run is evaluated on {', '.join(DEVICES)}, got {device!r}")
    where = devices.pick(name)
    model.to(where)

    def encode(feeds: dict[str, Any]) -> dict[str, Any]:
        mean, logvar = model.encode(feeds["x"])
        return {"mean": mean, "logvar": logvar, "z": posteriors.sample(mean, logvar, feeds["eps"])}

    manifest = Manifest(
        name="run",
        id="0" * 32,
        deterministic=False,
        input=Input(shape=config.input_shape, layout=found.record.layout),
        latent=Latent(shape=config.latent_shape, noise=config.law),
        likelihood=named(model),
        graphs=(),
        golden=Golden(file="none", bytes=1, sha256="0" * 64, source="pytorch", batches=(1,)),
        verification=(),
        versions={},
    )
    decoder = TorchGraph(lambda feeds: dict(model.decode(feeds["z"])), where)
    pair = Pair(manifest, TorchGraph(encode, where), decoder, Device("cpu"), "fp32", threads or 0)
    with devices.torch_settings(threads):
        return evaluate_rows(Rows(pair, max_batch=MAX_BATCH), x, seed=seed, samples=samples, progress=progress)
