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
import onnxruntime
import torch

import reparam
import reparam_export
from reparam_train import VAE, VAEConfig

CONFIG = VAEConfig(net="mlp", input_shape=(784,), latent=20, hidden=(400,))
MOMENTS = ["mean", "logvar"]


def medians(arms: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median microseconds of each arm, arms taken in turn, after a tenth of the rounds that are not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    for turn in range(-rounds // 10, rounds):
        for name, call in arms.items():
            begin = time.perf_counter()
            call()
            if turn >= 0:
                seconds[name].append(time.perf_counter() - begin)
    return {name: 1e6 * statistics.median(values) for name, values in seconds.items()}


def bare_binding(session: Any, feeds: dict[str, np.ndarray], outs: dict[str, np.ndarray]) -> Any:
    """Onnxruntime's own IOBinding over arrays that stay."""
    binding = session.io_binding()
    for name, array in feeds.items():
        binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
    for name, array in outs.items():
        binding.bind_output(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
    return binding


def encode(folder: Path, model: VAE, batch: int, rounds: int) -> dict[str, Any]:
    """`encode` of the model and of a pinned one, against bare onnxruntime and PyTorch."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    bare = onnxruntime.InferenceSession(str(folder / "encoder.onnx"), options, providers=["CPUExecutionProvider"])
    vae = reparam.load(folder, device="cpu", threads=1)
    x = reparam.noise("uniform", 0, range(batch), CONFIG.input_shape)
    feeds = {"x": x, "eps": np.zeros((batch, CONFIG.latent), np.float32)}
    outs = {name: np.empty((batch, CONFIG.latent), np.float32) for name in MOMENTS}
    binding, rows = bare_binding(bare, feeds, outs), torch.from_numpy(x)
    wanted = bare.run(MOMENTS, feeds)
    with vae.pinned(batch) as fast, torch.inference_mode():
        for found in (vae.encode(x), fast.encode(x)):
            if not (np.array_equal(found.mean, wanted[0]) and np.array_equal(found.logvar, wanted[1])):
                raise SystemExit("encode and bare onnxruntime differ: nothing was timed")
        times = medians(
            {
                "run": lambda: bare.run(MOMENTS, feeds),
                "encode": lambda: vae.encode(x),
                "binding": lambda: bare.run_with_iobinding(binding),
                "pinned": lambda: fast.encode(x),
                "torch": lambda: model.encode(rows),
            },
            rounds,
        )
    return {
        "batch": batch,
        "microseconds": times,
        "encode_over_run": times["encode"] / times["run"],
        "pinned_over_binding": times["pinned"] / times["binding"],
        "pinned_over_torch": times["pinned"] / times["torch"],
        "rows_per_second_of_run": times["run"] / times["encode"],
    }


def noise_rate() -> dict[str, float]:
    """Millions of normals a second in rows of 20, against numpy's own stateful generator."""
    rows = range(50_000)
    generator = np.random.default_rng(0)
    times = medians(
        {
            "noise": lambda: reparam.noise("normal", 0, rows, (20,)),
            "numpy": lambda: generator.standard_normal((len(rows), 20), np.float32),
        },
        20,
    )
    return {f"{name}_millions_per_s": len(rows) * 20 / time for name, time in times.items()}


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
