"""Arms opened: our own paths over models that they share, and those of other packages."""

import dataclasses
import functools
import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from reparam.benchmark.opened import GROUP, Opened
from reparam.benchmark.paths import load_for, open_path
from reparam.benchmark.plan import OWN_PATHS
from reparam.bundle.manifest import Trust
from reparam.bundle.reader import Bundle
from reparam.engine.device import missing_for_cuda
from reparam.engine.instructions import NO_INT8, has_int8
from reparam.errors import CheckpointError, DeviceUnavailable, MissingExtra, ReparamError, printable
from reparam.vae import VAE

Engine = tuple[str, str, str, int]  # device, precision, path, threads


@dataclasses.dataclass(frozen=True)
class Refusal:
    """Why an arm does not run here."""

    status: Literal["unavailable", "fell_back"]
    reason: str


def told(error: Exception) -> str:
    """An error in one line, whoever raised it."""
    first = (str(error).splitlines() or [""])[0][:300]
    return first if isinstance(error, ReparamError) else printable(f"{type(error).__name__}: {first}")


def open_engine(bundle: Path, engine: Engine, *, run: Path | None, model: Callable[[], VAE]) -> Opened:
    """One path of one device, precision and number of threads.

    Args:
        bundle: its folder.
        engine: device, precision, path, threads.
        run: a training run, for other libraries' arms.
        model: loads the model behind our own paths, or has it; see `paths.load_for`.

    Raises:
        ReparamError: why it cannot be had.
    """
    device, precision, path, threads = engine
    if path in OWN_PATHS:
        return open_path(path, model())
    for entry in importlib.metadata.entry_points(group=GROUP, name=path):
        made: Any = entry.load()
        opened: Opened = made(bundle, device=device, precision=precision, threads=threads, run=run)
        return opened
    raise MissingExtra(f"no package gives the benchmark arm {path!r}; pip install 'reparam[train]' for torch")


class Engines:
    """Every engine of a benchmark, opened once; our own paths of one device, precision and threads share a model."""

    def __init__(
        self, path: Path, bundle: Bundle, *, run: Path | None, max_batch: int, named: bool, trust: Trust
    ) -> None:
        self._bundle, self._manifest, self._pin = path, bundle.manifest, bundle.sha256
        self._run, self._max_batch = run, max_batch
        self._trust: Trust = trust
        self._named = named  # whether precisions were
        self._models: dict[tuple[str, str, int], VAE] = {}
        self._opened: dict[Engine, Opened | Refusal] = {}

    def model(self, device: str, precision: str, threads: int) -> VAE:
        """The model behind our own paths."""
        key = device, precision, threads
        if key not in self._models:
            self._models[key] = load_for(
                self._bundle,
                device=device,
                precision=precision,
                threads=threads,
                max_batch=self._max_batch,
                pin=self._pin,
                trust=self._trust,
            )
        return self._models[key]

    def open(self, engine: Engine) -> Opened | Refusal:
        """An engine, or why there is none."""
        if engine not in self._opened:
            self._opened[engine] = self._try(engine)
        return self._opened[engine]

    def close(self) -> None:
        """Lets go of all of them."""
        for each in self._opened.values():
            if not isinstance(each, Refusal):
                each.close()
        for model in self._models.values():
            model.close()

    def _saturates(self, device: str, precision: str) -> bool:
        """Whether it is int8 on a CPU that is not made for it, and nobody named it."""
        return precision == "int8" and device == "cpu" and not (self._named or has_int8())

    def _try(self, engine: Engine) -> Opened | Refusal:
        device, precision, path, threads = engine
        held = self._manifest.precisions
        if path in OWN_PATHS and precision not in held:  # by name: a report tells no path of the machine
            told_held = f"{self._manifest.name} has {', '.join(held)}, got {precision}"
            return Refusal("unavailable", f"precision: {told_held}; export it with that precision")
        try:
            if self._saturates(device, precision):
                return Refusal("unavailable", f"{NO_INT8}; --precisions fp32,int8 times it all the same")
            model = functools.partial(self.model, device, precision, threads)
            opened = open_engine(self._bundle, engine, run=self._run, model=model)
        except DeviceUnavailable as error:
            # with a cause it failed to start, openly; with none, where nothing is missing, onnxruntime went elsewhere
            strayed = path in OWN_PATHS and error.__cause__ is None and device != "cpu" and not missing_for_cuda()
            return Refusal("fell_back" if strayed else "unavailable", str(error))
        except Exception as error:  # anyone's arm: it must not take the others with it
            if path not in OWN_PATHS and isinstance(error, MissingExtra | CheckpointError):
                raise  # what was named is not there: the library of --against, or the run of --run
            return Refusal("unavailable", told(error))
        if opened.facts.stray is not None:
            return Refusal("fell_back", opened.facts.stray)
        return opened
