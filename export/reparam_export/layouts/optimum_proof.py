"""Holds the graphs of the optimum layout against the bundle's golden vectors, as a pipeline would run them."""

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from reparam.bundle.gate import Promised, check_graph
from reparam.bundle.golden import decode_golden
from reparam.bundle.manifest import Manifest, Precision
from reparam.bundle.outline import Admitted
from reparam.bundle.reader import Bundle
from reparam.engine.device import Device
from reparam.engine.pair import Pair
from reparam.engine.session import Contract, GraphSession
from reparam.verification import bound_of, compare
from reparam_export.passes.stamp import IR_VERSION

Arrays = list[npt.NDArray[Any]]


def prove_pipeline_graphs(
    bundle: Bundle, precision: Precision, encoder: tuple[Contract, bytes], decoder: tuple[Contract, bytes]
) -> None:
    """Runs both graphs, noise and range put back around them, on every golden case.

    Args:
        bundle: read with its golden vectors.
        precision: of the graphs; the manifest's bound for it holds.
        encoder: `sample` to `latent_parameters`, and its bytes.
        decoder: `latent_sample` to `sample`, and its bytes.

    Raises:
        VerificationError: an output differs from the source model's by more than the bound.
    """
    manifest, device = bundle.manifest, Device("cpu")
    sessions = [
        _session(contract, data, bundle.graph(contract.role, precision), device)
        for contract, data in (encoder, decoder)
    ]
    means = msgspec.structs.replace(manifest, likelihood=None)  # x_hat alone: nothing is scored here
    pair = Pair(means, _Encoder(sessions[0], manifest), _Decoder(sessions[1], manifest), device, precision, 1)
    golden = manifest.golden.file
    cases = decode_golden(bundle.files[golden], manifest, where=f"{bundle.place}/{golden}")
    compare(pair, cases, bound=bound_of(manifest, precision))


def _session(contract: Contract, data: bytes, of: Admitted, device: Device) -> GraphSession:
    """A rewritten graph, past the gate as the one that it was made of."""
    where = f"vae_{contract.role}/model.onnx"
    names = Promised(of.outline.opset, IR_VERSION, tuple(contract.inputs), tuple(contract.outputs))
    graph = check_graph(data, names, where=where, strict=of.strict)
    return GraphSession(graph, contract, device=device, threads=1, where=where)


class _Ranged:
    """A graph of the layout, whose images are in [-1, 1], for callers whose images are in the model's own range."""

    def __init__(self, session: GraphSession, manifest: Manifest) -> None:
        low, high = manifest.input.low, manifest.input.high
        assert low is not None  # `pipeline_config` refused it
        assert high is not None
        self._session, self._low, self._span = session, np.float32(low), np.float32(high - low)

    @property
    def provider(self) -> str:
        """Who runs it."""
        return self._session.provider


class _Encoder(_Ranged):
    """The layout's encoder with the contract of a bundle's: x in its own range, and z drawn with eps."""

    def run(self, names: list[str], feeds: dict[str, npt.NDArray[Any]]) -> Arrays:
        """Mean, logvar and z."""
        sample = np.float32(2) * (feeds["x"] - self._low) / self._span - np.float32(1)
        (parameters,) = self._session.run(["latent_parameters"], {"sample": sample})
        mean, logvar = np.split(parameters, 2, axis=1)
        found = {"mean": mean, "logvar": logvar, "z": mean + np.exp(logvar / 2) * feeds["eps"]}
        return [found[name] for name in names]


class _Decoder(_Ranged):
    """The layout's decoder with the contract of a bundle's, x_hat alone."""

    def run(self, names: list[str], feeds: dict[str, npt.NDArray[Any]]) -> Arrays:
        """x_hat in its own range."""
        (sample,) = self._session.run(["sample"], {"latent_sample": feeds["z"]})
        return [(sample + np.float32(1)) * (self._span / 2) + self._low for _ in names]
