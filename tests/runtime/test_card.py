"""What a card changes: its options, pinned models, CUDA graphs, and runs that do not fit into its memory.

There is none here: `stand_in_card` runs the graphs on the CPU under the card's name.
"""

import ctypes
import pickle
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reparam
from reparam.engine import device as devices
from reparam.errors import DeviceUnavailable, OptionError, OutOfMemory, RunError
from stand_in_card import Card, Value, installed


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> type[Card]:
    """An onnxruntime that has a card."""
    return installed(monkeypatch)


def images(n: int) -> np.ndarray:
    return np.random.default_rng(n).uniform(0, 1, (n, 1, 8, 8)).astype(np.float32)


# -- options -------------------------------------------------------------------------------------------------------


def test_tf32_is_off_unless_it_is_asked_for_and_a_pickle_remembers(bundle: Path, card: type[Card]) -> None:
    with reparam.load(bundle, device="cuda") as vae:
        assert not vae.info().tf32
    with reparam.load(bundle, device="cuda", tf32=True) as vae:
        assert vae.info().tf32
        with pickle.loads(pickle.dumps(vae)) as again:
            assert again.info().tf32
    assert [session.options["use_tf32"] for session in card.made] == ["0", "0", "1", "1", "1", "1"]


def test_fp16_graphs_may_use_tensor_cores(with_variant: Callable[[int], Path], card: type[Card]) -> None:
    with reparam.load(with_variant(0), device="cuda", precision="fp16") as vae:
        assert not vae.info().tf32  # which is a mode of fp32
    assert [session.options["use_tf32"] for session in card.made] == ["1", "1"]


def test_kernels_of_convolutions_are_not_chosen_by_the_clock(bundle: Path, card: type[Card]) -> None:
    reparam.load(bundle, device="cuda").close()
    assert {session.options["cudnn_conv_algo_search"] for session in card.made} == {"HEURISTIC"}


def test_a_pad_before_a_convolution_stays_one_since_cudnn_refuses_some_uneven_pads(
    bundle: Path, card: type[Card]
) -> None:
    reparam.load(bundle, device="cuda").close()
    kept = {each.settings.get_session_config_entry("optimization.disable_specified_optimizers") for each in card.made}
    assert kept == {"Pad_Fusion"}


def test_a_card_is_asked_for_kernels_that_repeat(bundle: Path, card: type[Card]) -> None:
    reparam.load(bundle, device="cuda").close()
    assert all(session.settings.use_deterministic_compute for session in card.made)


def test_tf32_is_refused_on_the_cpu_and_means_nothing_where_auto_takes_it(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OptionError, match=r"^tf32: is a mode of CUDA cards, and device is cpu; leave it out$"):
        reparam.load(bundle, device="cpu", tf32=True)
    monkeypatch.setattr(devices, "missing_for_cuda", lambda: ["libcuda.so.1"])
    with pytest.warns(RuntimeWarning, match="reparam runs on the CPU"), reparam.load(bundle, tf32=True) as vae:
        assert not vae.info().tf32


# -- pinned --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cuda_graph", [None, True, False])
def test_a_pinned_model_on_a_card_gives_what_the_model_gives(
    bundle: Path, card: type[Card], cuda_graph: bool | None
) -> None:
    with reparam.load(bundle, device="cuda") as vae, vae.pinned(5, cuda_graph=cuda_graph) as fast:
        assert fast.cuda_graph == (cuda_graph is not False)
        latent = vae.manifest.latent.shape
        for turn in range(3):
            x = images(5 + turn)[turn:]
            z = fast.sample(x, seed=7, first_row=turn)
            assert np.array_equal(z, vae.sample(x, seed=7, first_row=turn))
            q, wanted = fast.encode(x), vae.encode(x)  # after a sample, whose noise must be gone
            assert np.array_equal(q.mean, wanted.mean)
            assert np.array_equal(q.logvar, wanted.logvar)
            assert np.array_equal(fast.encode(x.astype(np.float64)).mean, wanted.mean)
            mean, logvar, x_hat = np.empty((5, *latent), "f4"), np.empty((5, *latent), "f4"), np.empty_like(x)
            assert fast.encode(x[::-1], out=(mean, logvar)).mean is mean
            assert np.array_equal(mean, vae.encode(x[::-1]).mean)
            assert fast.decode(z, out=x_hat) is x_hat
            assert np.array_equal(x_hat, vae.decode(z))
            assert np.array_equal(fast.decode(z), x_hat)
    graphs = [session for session in card.made if "enable_cuda_graph" in session.options]
    assert len(graphs) == (0 if cuda_graph is False else 2)
    for session in graphs:
        assert all(count > 3 for _, count in session.captured.values())  # first runs, then replays


def test_results_from_a_card_are_the_callers_and_no_buffer(bundle: Path, card: type[Card]) -> None:
    assert card.captures
    with reparam.load(bundle, device="cuda") as vae, vae.pinned(1) as fast:
        first = fast.encode(images(1))
        kept = first.mean.copy()
        fast.encode(images(2)[1:])
        assert np.array_equal(first.mean, kept)


def test_what_is_not_finite_never_reaches_the_card(bundle: Path, card: type[Card]) -> None:
    assert card.captures
    with reparam.load(bundle, device="cuda") as vae, vae.pinned(1) as fast:
        with pytest.raises(reparam.errors.InputError, match="x: must be finite"):
            fast.encode(np.full((1, 1, 8, 8), np.nan, np.float32))
        assert np.isnan(fast.encode(np.full((1, 1, 8, 8), np.nan, np.float32), allow_nan=True).mean).all()


@pytest.mark.parametrize(("change", "error"), [("captures", RunError), ("all_here", DeviceUnavailable)])
def test_where_no_cuda_graph_can_be_captured_plain_runs_take_its_place_unless_it_was_asked_for(
    bundle: Path, card: type[Card], monkeypatch: pytest.MonkeyPatch, change: str, error: type[Exception]
) -> None:
    monkeypatch.setattr(card, change, False)
    with reparam.load(bundle, device="cuda") as vae:
        with vae.pinned(2) as fast:
            assert not fast.cuda_graph
            assert np.array_equal(fast.encode(images(2)).mean, vae.encode(images(2)).mean)
        with pytest.raises(error):
            vae.pinned(2, cuda_graph=True)


def test_device_arrays_give_what_the_model_gives_whatever_the_batch(bundle: Path, card: type[Card]) -> None:
    with reparam.load(bundle, device="cuda") as vae:
        door = vae.device_arrays()
        for n in (3, 2, 2, 5):
            x = Value(images(n))
            z = door.sample(x, seed=5)
            assert np.array_equal(z.memory, vae.sample(images(n), seed=5))
            mean, logvar = door.encode(x)
            wanted = vae.encode(images(n))
            assert np.array_equal(mean.memory, wanted.mean)
            assert np.array_equal(logvar.memory, wanted.logvar)
            assert np.array_equal(door.decode(z).memory, vae.decode(z.memory))
    assert card.made


@pytest.mark.parametrize("call", ["pinned", "sample"])
def test_no_memory_for_buffers_on_a_card_is_an_error_of_ours(
    bundle: Path, card: type[Card], monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_: object) -> None:
        raise RuntimeError("CUDA failure 2: out of memory ; GPU=0")

    assert not card.made
    with reparam.load(bundle, device="cuda") as vae:
        door, x = vae.device_arrays(), Value(images(2))
        monkeypatch.setattr(Value, "ortvalue_from_numpy", full)
        with pytest.raises(OutOfMemory, match="no memory left on the card: CUDA failure 2"):
            _ = vae.pinned(2) if call == "pinned" else door.sample(x, seed=1)


def test_a_cuda_graph_on_the_cpu_is_refused(vae: reparam.VAE) -> None:
    with pytest.raises(OptionError, match=r"^cuda_graph: there is none on the CPU; leave it out"):
        vae.pinned(1, cuda_graph=True)
    with vae.pinned(1, cuda_graph=False) as fast:
        assert not fast.cuda_graph


# -- memory --------------------------------------------------------------------------------------------------------

CALLS: dict[str, Callable[[reparam.VAE, np.ndarray], Any]] = {
    "encode": lambda vae, x: vae.encode(x).mean,
    "sample": lambda vae, x: vae.sample(x, seed=3),
    "reconstruct": lambda vae, x: vae.reconstruct(x, seed=3),
    "elbo": lambda vae, x: vae.elbo(x, seed=3),
    "stream": lambda vae, x: np.concatenate([q[0] for q in vae.stream(x, op="encode")]),
    "timeout": lambda vae, x: vae.encode(x, timeout=60).mean,
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("most", [1, 3, 8])
def test_rows_that_do_not_fit_into_the_cards_memory_are_run_in_halves(
    bundle: Path, card: type[Card], vae: reparam.VAE, call: str, most: int
) -> None:
    x = images(21)
    wanted = CALLS["encode" if call == "timeout" else call](vae, x)
    card.most = most
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with reparam.load(bundle, device="cuda", max_batch=16) as model:
            found = CALLS[call](model, x)
    assert np.allclose(found, wanted, rtol=1e-5, atol=1e-5)
    assert max(card.runs) <= most


def test_the_size_that_fitted_is_kept_and_told_of_once(
    bundle: Path, card: type[Card], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(card, "most", 5)
    with reparam.load(bundle, device="cuda", max_batch=16) as vae:
        with pytest.warns(RuntimeWarning, match=r"16 rows at once do not fit .* at most 4 of that size") as seen:
            vae.encode(images(16))
        assert len(seen) == 1
        assert seen[0].filename == __file__
        assert card.runs == [4, 4, 4, 4]
        card.runs.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            vae.encode(images(9))
        assert card.runs == [4, 4, 1]  # nothing is tried again that did not fit


def test_one_row_that_does_not_fit_is_an_error_in_one_line(
    bundle: Path, card: type[Card], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(card, "most", 0)
    with reparam.load(bundle, device="cuda") as vae, pytest.raises(OutOfMemory) as caught:
        vae.encode(images(4))
    message = str(caught.value)
    assert "encoder.onnx: no memory left on the card: Failed to allocate memory" in message
    assert message.endswith("give fewer rows a call")
    assert "\n" not in message
    assert isinstance(caught.value, MemoryError)
    assert isinstance(caught.value, RunError)


@pytest.mark.parametrize(
    "message",
    [
        "CUDA failure 2: out of memory ; GPU=0",
        "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED",
        "CUDNN failure 4000: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "CUDNN_FE failure 11: CUDA_ERROR_OUT_OF_MEMORY",
        "bad allocation",
    ],
)
def test_the_ways_in_which_onnxruntime_says_so_are_known(
    bundle: Path, card: type[Card], monkeypatch: pytest.MonkeyPatch, message: str
) -> None:
    monkeypatch.setattr(card, "most", 2)
    monkeypatch.setattr(card, "message", message)
    with reparam.load(bundle, device="cuda") as vae, pytest.warns(RuntimeWarning, match="do not fit"):
        vae.encode(images(4))
    assert card.runs == [2, 2]


@pytest.mark.parametrize(("free", "full"), [(2**20, True), (2**33, False)])
def test_a_failure_that_may_have_other_reasons_is_one_of_memory_where_the_card_is_full(
    bundle: Path, card: type[Card], monkeypatch: pytest.MonkeyPatch, free: int, full: bool
) -> None:
    def tell(at: Any, _: object) -> int:
        at._obj.value = free
        return 0

    monkeypatch.setattr(ctypes, "CDLL", lambda _: types.SimpleNamespace(cudaMemGetInfo=tell))
    monkeypatch.setattr(card, "most", 0)
    monkeypatch.setattr(card, "message", "CUDNN_FE failure 11: CUDNN_BACKEND_API_FAILED")
    with reparam.load(bundle, device="cuda") as vae, pytest.raises(RunError) as caught:
        vae.encode(images(1))
    assert isinstance(caught.value, OutOfMemory) == full


def test_any_other_failure_is_not_tried_again(bundle: Path, card: type[Card], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card, "most", 2)
    monkeypatch.setattr(card, "message", "CUDA failure 700: an illegal memory access was encountered")
    with (
        reparam.load(bundle, device="cuda") as vae,
        pytest.raises(RunError, match="onnxruntime failed: CUDA fail") as e,
    ):
        vae.encode(images(4))
    assert not isinstance(e.value, OutOfMemory)
    assert card.runs == []
