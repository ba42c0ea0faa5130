"""PyTorch as arms of `reparam benchmark`: the same weights, numpy to numpy, as it is and compiled.

The model is rebuilt from the bundle, or read from its run; the benchmark's gate then holds it against the bundle, so
that a run with other weights is refused before anything is timed. Imports without torch.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reparam.benchmark.feeds import Array, Feeds
from reparam.benchmark.opened import Call, Facts, Opened
from reparam.benchmark.report import Operation
from reparam.errors import DeviceUnavailable, MissingExtra, OptionError

if TYPE_CHECKING:
    from reparam_train.model import VAE


def eager(bundle: Path, *, device: str, precision: str, threads: int, run: Path | None) -> Opened:
    """The arm "torch": layers called one by one.

    Raises:
        MissingExtra: no torch.
        DeviceUnavailable: torch does not see the device.
        OptionError: the model cannot be had from the bundle; or another precision than fp32.
        CheckpointError: `run` holds none.
    """
    return _Torch(_model(bundle, run, precision), device, threads, compile_it=False)


def compiled(bundle: Path, *, device: str, precision: str, threads: int, run: Path | None) -> Opened:
    """The arm "torch-compile": both functions through torch.compile; errors are those of `eager`."""
    return _Torch(_model(bundle, run, precision), device, threads, compile_it=True)


def _model(bundle: Path, run: Path | None, precision: str) -> "VAE":
    if precision != "fp32":
        raise OptionError(f"precision: torch's arms run fp32, got {precision}")
    try:
        from reparam_train.checkpoint import read_run
        from reparam_train.rebuilt import from_bundle
    except ModuleNotFoundError as error:
        raise MissingExtra(f"torch's arms need {error.name}; pip install 'reparam[train]'") from None
    return from_bundle(bundle) if run is None else read_run(run).model


class _Torch:
    """A model in torch; see `reparam.benchmark.opened.Opened`."""

    def __init__(self, model: "VAE", device: str, threads: int, *, compile_it: bool) -> None:
        import torch

        from reparam_train.device import check_compiler

        if device != "cpu" and not torch.cuda.is_available():
            raise DeviceUnavailable(f"device: torch {torch.__version__} sees no card for {device}")
        self._where, self._threads = torch.device(device), threads
        model = model.to(self._where).eval()
        deterministic = model.config.posterior == "none"
        encode: Callable[..., Any] = model.code if deterministic else model.encode
        decode: Callable[..., Any] = model.decode
        if compile_it:
            check_compiler(self._where)
            compile_: Any = torch.compile  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            encode, decode = compile_(encode), compile_(decode)
        self._encode, self._decode, self._deterministic = encode, decode, deterministic
        notes = ("compiled anew for the first two batch sizes; load and first call find what is in torch's cache",)
        self.facts: Facts = Facts(
            requested=None,
            active=f"torch {torch.__version__} on {self._where}",
            waits="a call returns when its results are in numpy arrays; on a card the copy to the host waits for it",
            copies="x, eps or z are shared with torch on the CPU and copied to a card; results are copied from a card",
            notes=notes if compile_it else (),
        )

    def call(self, operation: Operation, feeds: Feeds) -> Call:
        """See `Opened`."""
        if operation == "decode":
            return Call(lambda: self._run(self._x_hat, feeds.z), lambda found: {"x_hat": found[0]})
        if operation == "reconstruct":
            given = (feeds.x,) if feeds.eps is None else (feeds.x, feeds.eps)
            return Call(lambda: self._run(self._through, *given), lambda found: {"x_hat": found[0]})
        names = ("z",) if self._deterministic else ("mean", "logvar")
        return Call(lambda: self._run(self._moments, feeds.x), lambda found: dict(zip(names, found, strict=True)))

    def close(self) -> None:
        """Nothing to let go of."""

    def _run(self, function: Callable[..., tuple[Any, ...]], *given: Array) -> list[Array]:
        """A function of tensors, from numpy arrays to numpy arrays."""
        import torch

        if torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)
        with torch.inference_mode():
            found = function(*(torch.as_tensor(each, device=self._where) for each in given))
            return [each.cpu().numpy() for each in found]

    def _moments(self, x: Any) -> tuple[Any, ...]:
        found = self._encode(x)
        return (found,) if self._deterministic else tuple(found)

    def _x_hat(self, z: Any) -> tuple[Any, ...]:
        return (self._decode(z)["x_hat"],)

    def _through(self, x: Any, eps: Any = None) -> tuple[Any, ...]:
        from reparam_train import posteriors

        found = self._moments(x)
        return self._x_hat(found[0] if eps is None else posteriors.sample(found[0], found[1], eps))
