"""Encoder and decoder of one bundle, running: what the face, the verification and the benchmark stand on."""

import dataclasses
from collections.abc import Mapping

from reparam.bundle.manifest import Manifest, Precision, Role
from reparam.bundle.reader import Bundle
from reparam.engine.card import CardSession
from reparam.engine.device import Device, resolve, warn_caller
from reparam.engine.memory import MACHINE, Budget, check_memory
from reparam.engine.room import Room
from reparam.engine.session import Contract, Graph, GraphSession
from reparam.engine.threads import available_threads
from reparam.errors import DeviceUnavailable, OptionError
from reparam.integers import whole


@dataclasses.dataclass(frozen=True)
class Pair:
    """Both graphs of a bundle on one device, in one precision, with one number of threads each."""

    manifest: Manifest
    encoder: Graph
    decoder: Graph
    device: Device
    precision: Precision
    threads: int
    tf32: bool = False


def session_of(graph: Graph) -> GraphSession:
    """The session of onnxruntime that a graph of a loaded bundle is; a stand-in of another library has none."""
    if not isinstance(graph, GraphSession):
        raise TypeError(f"graph: must be a session of onnxruntime, got {type(graph).__qualname__}")
    return graph


def encoder_contract(manifest: Manifest) -> Contract:
    """Inputs and outputs that the manifest promises of the encoder."""
    latent = manifest.latent_axes
    eps = {} if manifest.deterministic else {"eps": latent}
    outputs = dict.fromkeys(manifest.encoder_outputs, latent)
    return Contract("encoder", {"x": manifest.input_axes, **eps}, outputs, manifest.input.factors, manifest.dtype)


def decoder_contract(manifest: Manifest) -> Contract:
    """Inputs and outputs that the manifest promises of the decoder."""
    outputs = dict.fromkeys(manifest.decoder_outputs, manifest.input_axes)
    return Contract("decoder", {"z": manifest.latent_axes}, outputs, manifest.input.factors, manifest.dtype)


def start_pair(
    bundle: Bundle,
    *,
    device: str = "auto",
    precision: Precision = "fp32",
    threads: int | None = None,
    memory: Budget = MACHINE,
    tf32: bool = False,
) -> Pair:
    """Creates both sessions.

    Args:
        bundle: read with the graphs of `precision`.
        device: see `reparam.engine.device.resolve`.
        precision: which variant to run.
        threads: of each session; None takes what affinity and the container's quota allow.
        memory: what both graphs may need by estimate.
        tf32: whether a card may use TF32.

    Raises:
        OptionError, BundleError, DeviceUnavailable: what cannot be had, and why.
    """
    count = available_threads() if threads is None else whole("threads", threads, low=1, high=1024)
    if tf32 and device == "cpu":
        raise OptionError("tf32: is a mode of CUDA cards, and device is cpu; leave it out")
    chosen = resolve(device)
    rooms = check_memory(bundle, precision, memory, on_host=chosen.kind == "cpu")
    try:
        return _start(bundle, chosen, precision, count, rooms, tf32=tf32)
    except DeviceUnavailable as error:
        if device != "auto" or chosen.kind == "cpu":
            raise
        warn_caller(f"reparam runs on the CPU: {error}")
        rooms = check_memory(bundle, precision, memory, on_host=True)
        return _start(bundle, Device("cpu"), precision, count, rooms)


def _start(
    bundle: Bundle,
    device: Device,
    precision: Precision,
    threads: int,
    rooms: Mapping[Role, Room],
    *,
    tf32: bool = False,
) -> Pair:
    def session(contract: Contract) -> GraphSession:
        room = rooms.get(contract.role)
        graph = bundle.graph(contract.role, precision)
        where = f"{bundle.place}/{getattr(bundle.manifest.graph(contract.role, precision), 'file', contract.role)}"
        if device.kind == "cpu":
            return GraphSession(graph, contract, device=device, threads=threads, where=where, room=room)
        # what stays float32 in an fp16 graph has no more digits to lose
        return CardSession(
            graph, contract, device=device, threads=threads, where=where, room=room, tf32=tf32 or precision == "fp16"
        )

    encoder, decoder = session(encoder_contract(bundle.manifest)), session(decoder_contract(bundle.manifest))
    tf32 = tf32 and device.kind != "cpu"
    return Pair(bundle.manifest, encoder, decoder, device, precision, threads, tf32=tf32)
