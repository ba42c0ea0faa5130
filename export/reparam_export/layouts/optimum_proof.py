"""Holds the graphs of the optimum layout against the bundle's golden vectors, as a pipeline would run them."""

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from reparam.bundle.golden import decode_golden
from reparam.bundle.manifest import Manifest, Precision
from reparam.bundle.reader import Bundle
from reparam.engine.device import Device
from reparam.engine.pair import Pair
from reparam.engine.session import Contract, GraphSession
from reparam.verification import BOUNDS, compare

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
        GraphSession(data, contract, device=device, threads=1, where=f"vae_{contract.role}/model.onnx")
        for contract, data in (encoder, decoder)
    ]
    means = msgspec.structs.replace(manifest, likelihood=None)  # x_hat alone: nothing is scored here
    pair = Pair(means, _Encoder(sessions[0], manifest), _Decoder(sessions[1], manifest), device, precision, 1)
    golden = manifest.golden.file
    cases = decode_golden(bundle.files[golden], manifest, where=f"{bundle.place}/{golden}")
    bound = next((done.bound for done in manifest.verification if done.precision == precision), BOUNDS["fp32"])
    compare(pair, cases, bound=bound)


class _Encoder:
    """The layout's encoder with the contract of a bundle's: x in its own range, and z drawn with eps."""

    def __init__(self, session: GraphSession, manifest: Manifest) -> None:
        self._session, self._manifest = session, manifest

    @property
    def provider(self) -> str:
        """Who runs it."""
        return self._session.provider

    def run(self, names: list[str], feeds: dict[str, npt.NDArray[Any]]) -> Arrays:
        """Mean, logvar and z."""
        low, high = self._manifest.input.low, self._manifest.input.high
        assert low is not None
        assert high is not None
        sample = np.float32(2) * (feeds["x"] - np.float32(low)) / np.float32(high - low) - np.float32(1)
        (parameters,) = self._session.run(["latent_parameters"], {"sample": sample})
        mean, logvar = np.split(parameters, 2, axis=1)
        found = {"mean": mean, "logvar": logvar, "z": mean + np.exp(logvar / 2) * feeds["eps"]}
        return [found[name] for name in names]


class _Decoder:
    """The layout's decoder with the contract of a bundle's, x_hat alone."""

    def __init__(self, session: GraphSession, manifest: Manifest) -> None:
        self._session, self._manifest = session, manifest

    @property
    def provider(self) -> str:
        """Who runs it."""
        return self._session.provider

    def run(self, names: list[str], feeds: dict[str, npt.NDArray[Any]]) -> Arrays:
        """x_hat in its own range."""
        low, high = self._manifest.input.low, self._manifest.input.high
        assert low is not None
        assert high is not None
        (sample,) = self._session.run(["sample"], {"latent_sample": feeds["z"]})
        return [(sample + np.float32(1)) * np.float32((high - low) / 2) + np.float32(low) for _ in names]
