"""What the runtime costs above bare onnxruntime, in one paired run; run by `make bench`.

Arms are interleaved and their medians compared as ratios, since machines drift. Every arm's numbers are held against
bare onnxruntime's before anything is timed: a fast wrong answer is refused. The model is an MLP 784-400-20 with random
weights, exported for the purpose; one thread.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import reparam
import reparam_export
from reparam.engine.pair import session_of
from reparam_train import VAE, VAEConfig

CONFIG = VAEConfig(net="mlp", input_shape=(784,), latent=20, hidden=(400,))
MOMENTS = ["mean", "logvar"]


def paired(one: Callable[[], object], other: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median microseconds of two calls, taken in turn and in both orders; the first tenth is not counted."""
    seconds: tuple[list[float], list[float]] = ([], [])
    arms = [(one, seconds[0]), (other, seconds[1])]
    for turn in range(-rounds // 10, rounds):
        for call, found in arms if turn % 2 else reversed(arms):
            begin = time.perf_counter()
            call()
            if turn >= 0:
                found.append(time.perf_counter() - begin)
    return 1e6 * statistics.median(seconds[0]), 1e6 * statistics.median(seconds[1])


def bare_binding(session: Any, feeds: dict[str, np.ndarray], outs: dict[str, np.ndarray]) -> Any:
    """Onnxruntime's own IOBinding over arrays that stay."""
    binding = session.io_binding()
    for name, array in feeds.items():
        binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
    for name, array in outs.items():
        binding.bind_output(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
    return binding


def encode(folder: Path, model: VAE, batch: int, rounds: int) -> dict[str, Any]:
    """`encode` of the model and of a pinned one, against bare onnxruntime on the very same session, and PyTorch.

    One session, so that neither arm finds the weights further from the processor than the other.
    """
    vae = reparam.load(folder, device="cpu", threads=1)
    bare = session_of(vae._rows.pair.encoder)._session  # noqa: SLF001  the session itself, without us
    x = reparam.noise("uniform", 0, range(batch), CONFIG.input_shape)
    feeds = {"x": x, "eps": np.zeros((batch, CONFIG.latent), np.float32)}
    outs = {name: np.empty((batch, CONFIG.latent), np.float32) for name in MOMENTS}
    binding, rows = bare_binding(bare, feeds, outs), torch.from_numpy(x)
    wanted = bare.run(MOMENTS, feeds)
    with vae.pinned(batch) as fast, torch.inference_mode():
        for found in (vae.encode(x), fast.encode(x)):
            if not (np.array_equal(found.mean, wanted[0]) and np.array_equal(found.logvar, wanted[1])):
                raise SystemExit("encode and bare onnxruntime differ: nothing was timed")
        arms: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
            "encode_over_run": (lambda: vae.encode(x), lambda: bare.run(MOMENTS, feeds)),
            "pinned_over_binding": (lambda: fast.encode(x), lambda: bare.run_with_iobinding(binding)),
            "pinned_over_torch": (lambda: fast.encode(x), lambda: model.encode(rows)),
            # what nothing that stands on onnxruntime can go below
            "binding_over_torch": (lambda: bare.run_with_iobinding(binding), lambda: model.encode(rows)),
        }
        times = {name: paired(*arm, rounds) for name, arm in arms.items()}
    ratios = {name: ours / theirs for name, (ours, theirs) in times.items()}
    return {"batch": batch, **ratios, "microseconds": times, "rows_per_second_of_run": 1 / ratios["encode_over_run"]}


def noise_rate() -> dict[str, float]:
    """Millions of normals a second in rows of 20, against numpy's own stateful generator."""
    rows = range(50_000)
    generator = np.random.default_rng(0)
    times = paired(
        lambda: reparam.noise("normal", 0, rows, (20,)),
        lambda: generator.standard_normal((len(rows), 20), np.float32),
        20,
    )
    return {
        f"{name}_millions_per_s": len(rows) * 20 / took for name, took in zip(("noise", "numpy"), times, strict=True)
    }


def main() -> None:
    """Prints one JSON document."""
    torch.set_num_threads(1)
    model = VAE.build(CONFIG, seed=0).eval()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "mlp"
        reparam_export.export(model, folder)
        found = [encode(folder, model, batch, rounds) for batch, rounds in ((1, 4000), (16, 2000), (256, 500))]
    print(json.dumps({"encode": found, "noise": noise_rate()}, indent=2))


if __name__ == "__main__":
    main()
