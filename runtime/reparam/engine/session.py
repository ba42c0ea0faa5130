"""One graph in onnxruntime: options fixed by us, provider checked, inputs and outputs held against the contract."""

import dataclasses
import re
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Final, Protocol

import numpy.typing as npt

from reparam.bundle.manifest import Axes, Role
from reparam.bundle.outline import Admitted
from reparam.engine.captures import beside_captures
from reparam.engine.device import CUDA, Device, providers
from reparam.engine.libraries import free_on_card
from reparam.engine.room import Room, in_parts
from reparam.engine.wheel import import_onnxruntime
from reparam.errors import BundleError, DeviceUnavailable, OutOfMemory, ReparamError, RunError

_FATAL_ONLY = 4  # log severity: its messages reach us as exceptions
_FULL: Final = re.compile(r"allocate memory|out.of.memory|alloc(ation)?_failed|bad_alloc|bad allocation", re.IGNORECASE)
# what CUDA's libraries say of many things, one of which is that they found no memory of their own
_STARVED: Final = re.compile("CUDNN_BACKEND_API_FAILED|CUBLAS_STATUS_(NOT_INITIALIZED|EXECUTION_FAILED)")
_LITTLE: Final = 2**26
_TYPES = {"float32": "tensor(float)", "uint8": "tensor(uint8)"}  # dtypes in onnxruntime's words


class Graph(Protocol):
    """What runs a graph: a session here, or a stand-in of another library that keeps the contract."""

    @property
    def provider(self) -> str:
        """Who runs it, in onnxruntime's words."""
        ...

    def run(self, names: list[str], feeds: dict[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """The named outputs, [batch, ...] each, for inputs by name."""
        ...


@dataclasses.dataclass(frozen=True)
class Contract:
    """What a graph must take and give: names and rows, in order, batch first, and each one's dtype.

    A row's dynamic axes have names: height and width of x, latent_height and latent_width of z, and factors says how
    many times the latent's side a side of x is.
    """

    role: Role
    inputs: Mapping[str, Axes]
    outputs: Mapping[str, Axes]
    factors: tuple[int, int] | None = None
    dtype: Callable[[str], str] = lambda _: "float32"

    def shapes_for(self, feeds: Mapping[str, npt.NDArray[Any]]) -> Mapping[str, Axes]:
        """Row shapes of the outputs for these inputs, dynamic axes resolved."""
        if self.factors is None:
            return self.outputs
        sizes: dict[int | str, int] = {}
        for name, axes in self.inputs.items():
            sizes |= dict(zip(axes, feeds[name].shape[1:], strict=True))
        for side, factor in zip(("height", "width"), self.factors, strict=True):
            if side in sizes:
                sizes[f"latent_{side}"] = sizes[side] // factor
            else:
                sizes[side] = sizes[f"latent_{side}"] * factor
        return {name: tuple(sizes.get(axis, axis) for axis in axes) for name, axes in self.outputs.items()}


def _options(onnxruntime: ModuleType, threads: int, device: Device) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL_ONLY
    # else bytes with "ORTM" in the right place would be read as onnxruntime's own format, past every check
    options.add_session_config_entry("session.load_model_format", "ONNX")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")  # for `nodes`
    if device.kind != "cpu":
        options.use_deterministic_compute = True
        # cuDNN refuses some uneven pads, which a Pad before the convolution spares it
        options.add_session_config_entry("optimization.disable_specified_optimizers", "Pad_Fusion")
    return options


class GraphSession:
    """A graph that is ready to run, made of bytes that are past the gate. Safe to share between threads.

    Args:
        graph: past the gate.
        contract: what it must take and give.
        device: where it runs.
        threads: of the session.
        where: what messages call the graph.
        room: the memory that runs may take; None for any.
        tf32: whether a card may use TF32.
        capture: whether its runs are captured in CUDA graphs; such a session is for bindings, of one thread.

    Raises:
        BundleError: onnxruntime cannot read the graph, or its inputs and outputs are not the contract's.
        DeviceUnavailable: onnxruntime does not really run on the device.
    """

    def __init__(
        self,
        graph: Admitted,
        contract: Contract,
        *,
        device: Device,
        threads: int,
        where: str,
        room: Room | None = None,
        tf32: bool = False,
        capture: bool = False,
    ) -> None:
        onnxruntime = import_onnxruntime()
        on_card = device.kind != "cpu"
        create = beside_captures(onnxruntime.InferenceSession, card=on_card)
        try:
            # enable_fallback=0: on failure onnxruntime would print to stdout and retry on the CPU
            session = create(
                graph.data,
                _options(onnxruntime, threads, device),
                providers=providers(device, tf32=tf32, capture=capture),
                enable_fallback=0,
            )
            session.disable_fallback()
        except Exception as error:  # its exceptions have no common base
            raise _creation_error(error, device, where) from error
        active = session.get_providers()[0]
        if active != device.provider:
            raise DeviceUnavailable(
                f"device: {device} was asked for but onnxruntime chose {active}; see reparam doctor"
            )
        _check_contract(session, contract, where)
        self._session = session
        # what the public calls hand on to; they check again, some microseconds long, what the contract fixed once
        self._direct = getattr(session, "_sess", session)
        self._run = beside_captures(self._direct.run, card=on_card)
        self._contract = contract
        self._shapes = contract.outputs if contract.factors is None else None
        self._first = next(iter(contract.inputs))
        self._falls = on_card  # a session on the CPU has nowhere to fall
        self._plain = onnxruntime.RunOptions()  # else onnxruntime makes one for each run, in two microseconds
        self._where = where
        self._room = room
        self._asked = None if room is None or room.sure else room  # at each run
        self._provider = str(active)
        self._arena = f"{'cpu' if device.kind == 'cpu' else 'gpu'}:{device.index}"

    @property
    def provider(self) -> str:
        """The execution provider that is active."""
        return self._provider

    def run(self, names: list[str], feeds: dict[str, npt.NDArray[Any]], options: Any = None) -> list[npt.NDArray[Any]]:
        """The named outputs for one batch, of several runs where memory does not hold all its rows at once.

        Raises:
            OutOfMemory: it does not hold one row.
            RunError: onnxruntime failed, with its first line.
        """
        if self._asked is not None:
            most = self._asked.rows({name: array.shape for name, array in feeds.items()}, self._where)
            if most < len(feeds[self._first]):
                return in_parts(lambda part: self.run(names, part, options), feeds, most)
        try:
            found: list[npt.NDArray[Any]] = self._run(names, feeds, self._plain if options is None else options)
        except Exception as error:
            raise self._failed(error) from error
        shapes = self._shapes or self._contract.shapes_for(feeds)
        if self._falls and self._session.get_providers()[0] != self._provider:
            raise DeviceUnavailable(f"device: onnxruntime left {self._provider} during a run; load the model again")
        rows = len(feeds[self._first])
        for name, array in zip(names, found, strict=True):
            if array.shape[1:] != shapes[name] or len(array) != rows:
                raise RunError(f"{self._where}: {name} must have one row for each of {rows}, got {list(array.shape)}")
        return found

    def nodes(self) -> dict[str, dict[str, int]] | None:
        """How many nodes of each operator each provider runs; None where this onnxruntime does not tell."""
        if not hasattr(self._session, "get_provider_graph_assignment_info"):
            return None
        found: dict[str, dict[str, int]] = {}
        for part in self._session.get_provider_graph_assignment_info():
            counts = found.setdefault(str(part.ep_name), {})
            for node in part.get_nodes():
                counts[node.op_type] = counts.get(node.op_type, 0) + 1
        return found

    def shrink(self, feeds: dict[str, npt.NDArray[Any]]) -> None:
        """One run after which the arena gives back what it holds and does not use."""
        onnxruntime = import_onnxruntime()
        options = onnxruntime.RunOptions()
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", self._arena)
        self._run(list(self._contract.outputs), feeds, options)

    # -- bound, for one caller with buffers of its own ----------------------------------------------------------------

    def hold(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Refuses inputs of shapes, [batch, *row], for which memory does not hold one run, never taken in parts.

        Raises:
            OutOfMemory: with how many rows it holds.
        """
        rows = next(iter(shapes.values()))[0]
        if self._room is not None and (most := self._room.rows(shapes, self._where)) < rows:
            raise OutOfMemory(f"{self._where}: no memory for {rows} rows in one run; give at most {most}")

    def io_binding(self) -> Any:
        """A new IOBinding of onnxruntime for this session."""
        return self._session.io_binding()

    def runner(self, binding: Any, buffers: object = None, *, graph: int | None = None) -> Callable[[], None]:
        """What runs on a binding whenever it is called; `RunError` with onnxruntime's first line where it fails.

        Args:
            binding: of this session.
            buffers: what the binding knows by address alone, and what therefore lives as long as this.
            graph: number of the CUDA graph that the first runs capture and later ones replay, -1 for none; None for
                a session that captures nothing.
        """
        run = beside_captures(self._direct.run_with_iobinding, card=self._falls)
        bound = binding if self._direct is self._session else binding._iobinding  # noqa: SLF001  see `_direct`
        options = self._plain
        if graph is not None:
            options = import_onnxruntime().RunOptions()
            options.add_run_config_entry("gpu_graph_id", str(graph))

        def run_bound(_: object = (binding, buffers)) -> None:
            try:
                run(bound, options)
            except Exception as error:
                raise self._failed(error) from error

        return run_bound

    def run_on_device(self, inputs: dict[str, Any], names: list[str], device: Device) -> list[Any]:
        """The named outputs as OrtValues on a device, for inputs that are OrtValues there.

        Waits first for what other streams of the device still write into the inputs; the outputs are complete when
        this returns, as onnxruntime waits for its own stream after a run.
        """
        self.hold({name: tuple(value.shape()) for name, value in inputs.items()})
        binding = self._session.io_binding()
        for name, value in inputs.items():
            binding.bind_ortvalue_input(name, value)
        for name in names:
            binding.bind_output(name, device.kind, device.index)
        try:
            beside_captures(binding.synchronize_inputs, card=self._falls)()
        except Exception as error:
            raise self._failed(error) from error
        self.runner(binding)()
        found: list[Any] = binding.get_outputs()
        return found

    def _failed(self, error: Exception) -> RunError:
        return failure(error, self._where, on_card=self._falls)


def failure(error: Exception, where: str, *, on_card: bool) -> RunError:
    """What a failure of onnxruntime in a run or a copy means: no memory left, or anything else."""
    told = str(error)
    if _FULL.search(told) or (on_card and _STARVED.search(told) and beside_captures(free_on_card)() < _LITTLE):
        place = "the card" if on_card else "this machine"
        return OutOfMemory(f"{where}: no memory left on {place}: {_first_line(error)}; give fewer rows a call")
    return RunError(f"{where}: onnxruntime failed: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:500] if str(error) else type(error).__name__


def _creation_error(error: Exception, device: Device, where: str) -> ReparamError:
    if device.provider == CUDA:
        return DeviceUnavailable(f"device: {device} failed to start: {_first_line(error)}; see reparam doctor")
    return BundleError(f"{where}: onnxruntime cannot load it: {_first_line(error)}; export the bundle again")


def _check_contract(session: Any, contract: Contract, where: str) -> None:
    for kind, wanted in (("inputs", contract.inputs), ("outputs", contract.outputs)):
        try:
            arguments = session.get_inputs() if kind == "inputs" else session.get_outputs()
            found = [(arg.name, arg.type, tuple(arg.shape)) for arg in arguments]
        except UnicodeDecodeError:
            raise BundleError(f"{where}: the names of its {kind} are no text; export the bundle again") from None
        batch = next((shape[0] for _, _, shape in found if shape), None)
        expected = [(name, _TYPES[contract.dtype(name)], (batch, *shape)) for name, shape in wanted.items()]
        if found != expected or not isinstance(batch, str):
            told = _found([(name, contract.dtype(name), ("batch", *shape)) for name, shape in wanted.items()])
            raise BundleError(f"{where}: {kind} must be {told} with a dynamic batch, found {_found(found)}")


def _found(found: list[tuple[str, str, tuple[Any, ...]]]) -> str:
    return ", ".join(f"{name} {kind} [{', '.join(map(str, shape))}]" for name, kind, shape in found)
