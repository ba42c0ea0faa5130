"""A call that was given a timeout ends in time, and the model is as good as before."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reparam
from reparam.engine.session import GraphSession
from reparam.errors import DeadlineExceeded, OptionError, RunError

Calls = dict[str, Callable[..., Any]]
NODES, ROWS = 4000, 30_000  # of one run that takes far longer than its rows are read


def arrays(found: Any) -> list[Any]:
    """Every number of a result, in order."""
    if isinstance(found, np.ndarray):
        return [found]
    if isinstance(found, reparam.Posterior):
        return [found.mean, found.logvar]
    if isinstance(found, reparam.Evaluation):
        return [np.float64(found.negative_elbo), np.float64(found.rate)]
    return [array for part in found for array in arrays(part)]


@pytest.fixture
def calls(vae: reparam.VAE, rows_of: Callable[[int], Any]) -> Calls:
    """Every call that takes a timeout."""
    x = rows_of(5)
    z = vae.encode(x).mean
    waited: Calls = {
        name: lambda call=call, **options: asyncio.run(call(**options))
        for name, call in {
            "aencode": lambda **options: vae.aencode(x, **options),
            "asample": lambda **options: vae.asample(x, seed=1, **options),
            "adecode": lambda **options: vae.adecode(z, **options),
            "areconstruct": lambda **options: vae.areconstruct(x, **options),
            "agenerate": lambda **options: vae.agenerate(3, seed=1, **options),
        }.items()
    }
    return waited | {
        "encode": lambda **options: vae.encode(x, **options),
        "sample": lambda **options: vae.sample(x, seed=1, **options),
        "decode": lambda **options: vae.decode(z, **options),
        "reconstruct": lambda **options: vae.reconstruct(x, seed=1, **options),
        "generate": lambda **options: vae.generate(3, seed=1, **options),
        "elbo": lambda **options: vae.elbo(x, seed=1, **options),
        "anomaly": lambda **options: vae.anomaly(x, seed=1, **options),
        "log_likelihood": lambda **options: vae.log_likelihood(x, samples=2, seed=1, **options),
        "evaluate": lambda **options: vae.evaluate(x, samples=2, **options),
        "stream": lambda **options: list(vae.stream(x, op="sample", seed=1, **options)),
        "stream of parts": lambda **options: list(vae.stream(iter([x]), op="encode", **options)),
    }


NAMES = (
    *("encode", "sample", "decode", "reconstruct", "generate", "elbo", "anomaly", "log_likelihood", "evaluate"),
    *("stream", "stream of parts", "aencode", "asample", "adecode", "areconstruct", "agenerate"),
)


@pytest.mark.parametrize("name", NAMES)
def test_no_time_is_no_result_and_time_enough_changes_no_bit(calls: Calls, name: str) -> None:
    call = calls[name]
    wanted = arrays(call())
    with pytest.raises(DeadlineExceeded, match=r"timeout: not done within 0 s; allow more"):
        call(timeout=0)
    for timeout in (300, 1e6, np.int64(300), np.float32(300), None):
        for array, before in zip(arrays(call(timeout=timeout)), wanted, strict=True):
            np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("timeout", [-1, float("nan"), float("inf"), "1", 1e300, [1], 10**400, True])
def test_what_is_no_time_is_refused_by_name(calls: Calls, name: str, timeout: object) -> None:
    with pytest.raises(OptionError, match=r"timeout: must be seconds, a number from 0 to [0-9]+, got"):
        calls[name](timeout=timeout)


def test_a_run_is_stopped_in_the_middle_and_the_model_is_as_good_as_before(
    tiny: Callable[..., Path], onnx: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = [onnx.node("Tanh", f"t{place}" if place else "x", f"t{place + 1}") for place in range(NODES)]
    nodes += [onnx.node("Identity", f"t{NODES}", "mean"), onnx.node("Sub", "x x", "logvar")]
    folder = tiny(tmp_path / "b", encoder=onnx.encoder(*nodes, onnx.node("Add", "mean eps", "z")))
    stopped: list[str] = []
    run = GraphSession.run

    def watched(self: GraphSession, *arguments: Any) -> Any:
        try:
            return run(self, *arguments)
        except RunError as error:
            stopped.append(str(error))
            raise

    with reparam.load(folder, device="cpu", threads=1, max_batch=ROWS) as vae:
        x = np.random.default_rng(0).uniform(0, 1, (ROWS, 2)).astype(np.float32)
        few = vae.encode(x[:100]).mean
        monkeypatch.setattr(GraphSession, "run", watched)
        for _ in range(20):  # on a machine that others use, the time may be over before the run begins
            with pytest.raises(DeadlineExceeded, match=r"timeout: not done within 0\.05 s"):
                vae.encode(x, timeout=0.05)
            if stopped:
                break
        assert "terminate" in stopped[0]
        count = len(stopped)
        np.testing.assert_array_equal(vae.encode(x).mean[:100], few)
        np.testing.assert_array_equal(vae.encode(x[:100], timeout=300).mean, few)
        assert len(stopped) == count


def test_a_call_of_many_chunks_ends_between_two(bundle: Path) -> None:
    with reparam.load(bundle, device="cpu", threads=1, max_batch=1) as vae:
        x = np.zeros((100_000, *vae.manifest.input.shape), np.float32)
        out = np.full((len(x), *vae.manifest.latent.shape), 7, np.float32)
        for name in ("encode", "sample"):
            with pytest.raises(DeadlineExceeded):
                vae.encode(x, timeout=0.05) if name == "encode" else vae.sample(x, seed=0, out=out, timeout=0.05)
        assert (out[-1] == 7).all()
        assert (out[0] != 7).any()


def test_each_part_of_a_stream_has_the_time_anew(bundle: Path) -> None:
    with reparam.load(bundle, device="cpu", threads=1, max_batch=2) as vae:
        stream = vae.stream(np.zeros((6, *vae.manifest.input.shape), np.float32), op="encode", timeout=60)
        assert sum(1 for _ in stream) == 3


def test_a_failure_before_the_end_is_told_as_such(tiny: Callable[..., Path], onnx: Any, tmp_path: Path) -> None:
    nodes = [
        onnx.node("Cast", "x", "places", (5, onnx.message((1, "to"), (20, 2), (3, 7)))),
        onnx.node("GatherElements", "x places", "mean", (5, onnx.message((1, "axis"), (20, 2), (3, 1)))),
        onnx.node("Sub", "x x", "logvar"),
        onnx.node("Add", "x eps", "z"),
    ]
    with reparam.load(tiny(tmp_path / "b", encoder=onnx.encoder(*nodes)), device="cpu") as vae:
        with pytest.raises(RunError, match="onnxruntime failed"):
            vae.encode(np.full((1, 2), 1e6, np.float32), timeout=60)
        assert vae.encode(np.zeros((1, 2), np.float32)).mean.tolist() == [[0.0, 0.0]]
