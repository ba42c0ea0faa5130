"""The runtime's own paths: numpy to numpy, pinned buffers, arrays that stay on the device."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal, cast

from reparam.benchmark.feeds import Array, Feeds
from reparam.benchmark.opened import Call, Facts, Opened
from reparam.benchmark.report import Operation
from reparam.bundle.manifest import Trust
from reparam.engine.captures import beside_captures
from reparam.engine.device import CPU
from reparam.engine.info import Placement
from reparam.engine.instructions import NO_INT8, has_int8
from reparam.engine.wheel import import_onnxruntime
from reparam.errors import OptionError
from reparam.face.base import rows_of
from reparam.posterior import Posterior
from reparam.vae import VAE, load

_RETURNS: Final = "a call returns when its results are in numpy arrays"


def load_for(bundle: Path, *, device: str, precision: str, threads: int, max_batch: int, pin: str, trust: Trust) -> VAE:
    """The model behind our own paths; `pin` is the sha256 of the manifest that the report names."""
    known = cast("Literal['fp32', 'fp16', 'int8']", precision)
    return load(
        bundle, device=device, precision=known, threads=threads, max_batch=max_batch, expect_sha256=pin, trust=trust
    )


def open_path(path: str, vae: VAE) -> Opened:
    """One of our paths through a loaded model.

    Raises:
        OptionError: the path does not exist on the model's device.
    """
    return {"numpy": Numpy, "pinned": PinnedPath, "device": DevicePath, "cuda-graph": CudaGraph}[path](vae)


class Numpy:
    """Through `VAE.encode`, `decode` and `reconstruct`: what most callers do."""

    waits = _RETURNS
    copies = "none: onnxruntime reads the caller's arrays, and hands on those that it made"
    copies_of_cards = "by onnxruntime, x, eps or z to the device and the results back"
    any_batch = True

    def __init__(self, vae: VAE) -> None:
        self._vae = vae
        copies = self.copies if rows_of(vae).pair.device.kind == "cpu" else self.copies_of_cards
        self.facts: Facts = facts_of(vae, waits=self.waits, copies=copies, any_batch=self.any_batch)

    def call(self, operation: Operation, feeds: Feeds) -> Call:
        """See `Opened`."""
        vae = self._vae
        if operation == "decode":
            return Call(lambda: vae.decode(feeds.z), _x_hat)
        if operation == "reconstruct":
            return Call(lambda: vae.reconstruct(feeds.x, eps=feeds.eps), _x_hat)
        if feeds.eps is None:
            return Call(lambda: vae.sample(feeds.x), _z)
        return Call(lambda: vae.encode(feeds.x), _moments)

    def close(self) -> None:
        """The model is not its own."""


class PinnedPath(Numpy):
    """Through `VAE.pinned`: buffers and bindings of one batch size, kept."""

    copies = "x, eps or z into kept buffers, and the results out of them into new arrays"
    copies_of_cards = "x, eps or z to kept buffers on the card, and the results from there into new arrays"
    any_batch = False
    cuda_graph = False  # the path below

    def __init__(self, vae: VAE) -> None:
        super().__init__(vae)
        self._open: list[Callable[[], None]] = []

    def call(self, operation: Operation, feeds: Feeds) -> Call:
        """See `Opened`."""
        sides = feeds.x.shape[1:3] if self._vae.manifest.input.layout == "channels_last" else feeds.x.shape[2:4]
        size = sides if self._vae.manifest.input.factors else None
        fast = self._vae.pinned(len(feeds), size=cast("tuple[int, int] | None", size), cuda_graph=self.cuda_graph)
        self._open.append(fast.close)
        if operation == "decode":
            return Call(lambda: fast.decode(feeds.z), _x_hat)
        if operation == "reconstruct":
            return Call(lambda: fast.decode(fast.sample(feeds.x, eps=feeds.eps)), _x_hat)
        if feeds.eps is None:
            return Call(lambda: fast.sample(feeds.x), _z)
        return Call(lambda: fast.encode(feeds.x), _moments)

    def close(self) -> None:
        """Lets go of the buffers."""
        for close in self._open:
            close()
        self._open.clear()


class CudaGraph(PinnedPath):
    """The same with runs that replay CUDA graphs."""

    cuda_graph = True

    def __init__(self, vae: VAE) -> None:
        if rows_of(vae).pair.device.provider == CPU:
            raise OptionError("cuda-graph: there are CUDA graphs on CUDA devices alone")
        super().__init__(vae)


class DevicePath(Numpy):
    """Through `VAE.device_arrays`: inputs lie on the device before, and results stay there."""

    waits = "onnxruntime waits for its own stream before a call returns; results stay on the device"
    copies = copies_of_cards = "none but of the zeros that encode takes for eps, which are made on the host"

    def __init__(self, vae: VAE) -> None:
        super().__init__(vae)
        self._arrays = vae.device_arrays()
        self._device = rows_of(vae).pair.device

    def call(self, operation: Operation, feeds: Feeds) -> Call:
        """See `Opened`."""
        arrays = self._arrays
        if operation == "decode":
            z = self._there(feeds.z)
            return Call(lambda: arrays.decode(z), lambda found: {"x_hat": found.numpy()})
        x, eps = self._there(feeds.x), None if feeds.eps is None else self._there(feeds.eps)
        if operation == "reconstruct":
            run = lambda: arrays.decode(arrays.sample(x, eps=eps))  # noqa: E731  it is the call that is timed
            return Call(run, lambda found: {"x_hat": found.numpy()})
        if eps is None:
            return Call(lambda: arrays.sample(x), lambda found: {"z": found.numpy()})
        return Call(lambda: arrays.encode(x), lambda found: {"mean": found[0].numpy(), "logvar": found[1].numpy()})

    def _there(self, rows: Array) -> Any:
        """The rows as an OrtValue on the model's device."""
        make = beside_captures(import_onnxruntime().OrtValue.ortvalue_from_numpy, card=self._device.kind != "cpu")
        return make(rows, self._device.kind, self._device.index)


def facts_of(vae: VAE, *, waits: str, copies: str, any_batch: bool) -> Facts:
    """Where a loaded model really runs, whether that is where it was asked to, and what must be said of it."""
    pair = rows_of(vae).pair
    placement = vae.placement()
    int8_alone = pair.precision == "int8" and pair.device.kind == "cpu" and not has_int8()
    return Facts(
        requested=pair.device.provider,
        active=pair.encoder.provider,
        placement=placement,
        waits=waits,
        copies=copies,
        any_batch=any_batch,
        stray=_stray(vae, placement),
        notes=(NO_INT8,) if int8_alone else (),
    )


def _stray(vae: VAE, placement: Placement) -> str | None:
    """Why the model is known not to run on its device: another provider, or nodes on the CPU that read no size."""
    pair, manifest = rows_of(vae).pair, vae.manifest
    wanted = pair.device.provider
    for role, graph, nodes in (
        ("encoder", pair.encoder, placement.encoder),
        ("decoder", pair.decoder, placement.decoder),
    ):
        if graph.provider != wanted:
            return f"{role}: {wanted} was asked for, {graph.provider} runs it"
        if wanted == CPU or nodes is None:
            continue
        entry = manifest.graph("encoder" if role == "encoder" else "decoder", pair.precision)
        elsewhere = sum(count for name, ops in nodes.items() if name != wanted for count in ops.values())
        if elsewhere > (entry.shape_nodes if entry else 0):
            return f"{role}: {elsewhere} of its nodes run outside {wanted}; see its placement"
    return None


def _x_hat(found: Array) -> dict[str, Array]:
    return {"x_hat": found}


def _z(found: Array) -> dict[str, Array]:
    return {"z": found}


def _moments(found: Posterior) -> dict[str, Array]:
    return {"mean": found.mean, "logvar": found.logvar}
