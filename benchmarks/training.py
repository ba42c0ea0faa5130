"""Rows a second of training beside another trainer of the same model; run by `make bench-train MNIST=DIR`.

The model is an MLP VAE, 784-512-20, ReLU, Bernoulli likelihood on grey values, Adam at 1e-3, batches of 100, two
threads. Arms run in turn, a few rounds of four epochs each; the last two of them are timed, as the first hold start-up
and compilation. Ours pays for a validation of ten rows and a checkpoint in them. The loss of the last epoch is compared
first: an arm that is not as good is refused.

Needs MNIST's four idx files, `pip install pythae==0.1.2` beside `reparam[train]`, and a C++ compiler.
"""

import argparse
import contextlib
import io
import json
import logging
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reparam_train import Options, config_for, fit
from reparam_train.data import Data, load
from reparam_train.observers import Validation

EPOCHS, TIMED = 4, 2
HIDDEN, LATENT, BATCH, LR = 512, 20, 100, 1e-3
Arm = Callable[[Data, Path], tuple[float, float]]


def pythae(data: Data, folder: Path) -> tuple[float, float]:
    """Seconds an epoch and the last epoch's loss, of pythae's trainer."""
    from pythae.models import VAE, VAEConfig
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from pythae.trainers.training_callbacks import TrainingCallback

    class Clock(TrainingCallback):
        def __init__(self) -> None:
            self.times: list[float] = []
            self.loss = float("nan")

        def on_epoch_begin(self, *_: Any, **__: Any) -> None:
            self.times.append(time.perf_counter())

        def on_log(self, _: Any, logs: dict[str, float], **__: Any) -> None:
            self.loss = float(logs["train_epoch_loss"])
            self.last = time.perf_counter()

    clock = Clock()
    torch.manual_seed(0)
    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=LATENT, reconstruction_loss="bce")
    rows = torch.from_numpy(data.train.batch(np.arange(len(data.train))))
    settings = BaseTrainerConfig(
        output_dir=str(folder),
        num_epochs=EPOCHS,
        learning_rate=LR,
        per_device_train_batch_size=BATCH,
        keep_best_on_train=True,
        no_cuda=True,
    )
    from pythae.data.datasets import BaseDataset

    dataset = BaseDataset(rows, torch.zeros(len(rows)))
    logging.disable(logging.INFO)
    with contextlib.redirect_stderr(io.StringIO()):  # its progress bars
        BaseTrainer(VAE(config), dataset, training_config=settings, callbacks=[clock]).train()
    return (clock.last - clock.times[-TIMED]) / TIMED, clock.loss


def ours(**more: Any) -> Arm:
    """The same of `reparam_train.fit`."""

    def arm(data: Data, folder: Path) -> tuple[float, float]:
        times: list[float] = []

        def clock(_: Validation) -> None:
            times.append(time.perf_counter())

        config = config_for(data, net="mlp", hidden=(HIDDEN,), latent=LATENT, activation="relu", likelihood="bernoulli")
        options = Options(epochs=EPOCHS, batch_size=BATCH, lr=LR, validate_every=TIMED, threads=2, device="cpu", **more)
        result = fit(data, config, options, out=folder / "run", observers=[clock])
        return (times[-1] - times[-2]) / TIMED, result.metrics["train_loss"]

    return arm


ARMS: dict[str, Arm] = {
    "pythae 0.1.2": pythae,
    "reparam": ours(),
    "reparam --compile": ours(compile=True),
    "reparam --compile --amp bf16": ours(compile=True, amp="bf16"),
}


def main() -> None:
    """Prints one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mnist", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(2)
    whole = load(given.mnist)
    data = Data(whole.name, whole.train, whole.test.head(10), whole.low, whole.high, whole.layout)
    seconds: dict[str, list[float]] = {name: [] for name in ARMS}
    losses: dict[str, float] = {}
    for _ in range(given.rounds):
        for name, arm in ARMS.items():
            with tempfile.TemporaryDirectory() as folder:
                once, losses[name] = arm(data, Path(folder))
            seconds[name].append(once)
    reference = losses["pythae 0.1.2"]
    wrong = [name for name, loss in losses.items() if not loss <= reference * 1.01]
    if wrong:
        raise SystemExit(f"not as good a loss as {reference:.2f}: {', '.join(wrong)}; {losses}")
    rates = {name: len(data.train) / statistics.median(times) for name, times in seconds.items()}
    report = {
        "arms": {
            name: {
                "rows_per_second": round(rate),
                "times": round(rate / rates["pythae 0.1.2"], 2),
                "train_loss_nats": round(losses[name], 2),
                "epoch_seconds": [round(value, 3) for value in seconds[name]],
            }
            for name, rate in rates.items()
        },
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "threads": torch.get_num_threads(),
        "cpu_flags": sorted(_flags() & {"avx2", "avx512f", "avx512_bf16", "amx_bf16"}),
    }
    print(json.dumps(report, indent=2))


def _flags() -> set[str]:
    """The processor's own words for what it can do; empty where the system does not tell."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("flags"):
                return set(line.partition(":")[2].split())
    return set()


if __name__ == "__main__":
    main()
