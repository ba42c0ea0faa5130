"""What the runtime costs above bare onnxruntime, in one paired run; run by `make bench`.

Arms are interleaved and their medians compared as ratios, since machines drift. Every arm's numbers are held against
the first's before anything is timed: a fast wrong answer is refused. Needs the repository's models/digits.
"""

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime

import reparam

BUNDLE = Path(__file__).resolve().parents[1] / "models" / "digits"


def medians(arms: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each arm, arms taken in turn, after a tenth of the rounds that are not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    for turn in range(-rounds // 10, rounds):
        for name, call in arms.items():
            begin = time.perf_counter()
            call()
            if turn >= 0:
                seconds[name].append(time.perf_counter() - begin)
    return {name: statistics.median(values) for name, values in seconds.items()}


def encode_against_bare(batch: int) -> dict[str, float]:
    """`VAE.encode` against `InferenceSession.run` of the same graph, one thread each."""
    vae = reparam.load(BUNDLE, device="cpu", threads=1)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    bare = onnxruntime.InferenceSession(str(BUNDLE / "encoder.onnx"), options, providers=["CPUExecutionProvider"])
    x = reparam.noise("uniform", 0, range(batch), vae.manifest.input.shape)
    feeds = {"x": x, "eps": np.zeros((batch, *vae.manifest.latent.shape), np.float32)}
    wanted = bare.run(["mean", "logvar"], feeds)
    found = vae.encode(x)
    if not (np.array_equal(found.mean, wanted[0]) and np.array_equal(found.logvar, wanted[1])):
        raise SystemExit("encode and bare onnxruntime differ: nothing was timed")
    times = medians({"bare": lambda: bare.run(["mean", "logvar"], feeds), "encode": lambda: vae.encode(x)}, 1000)
    return {
        "batch": batch,
        "bare_us": times["bare"] * 1e6,
        "encode_us": times["encode"] * 1e6,
        "encode_over_bare": times["encode"] / times["bare"],
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
    values = len(rows) * 20 / 1e6
    return {"noise_millions_per_s": values / times["noise"], "numpy_millions_per_s": values / times["numpy"]}


if __name__ == "__main__":
    print(json.dumps({"encode": [encode_against_bare(n) for n in (1, 16, 256)], "noise": noise_rate()}, indent=2))
