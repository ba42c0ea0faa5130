"""What a run would be, without training: resolved options, shapes, parameters, steps and memory. Nothing is written."""

import math
from dataclasses import dataclass
from typing import Any, cast

import msgspec
import torch
from torch import Tensor

from reparam_train import objectives, opening
from reparam_train.data.split import Data
from reparam_train.model import VAE
from reparam_train.options import Options, VAEConfig
from reparam_train.record import RunRecord

_COPIES = 4  # of each weight while Adam trains: itself, its gradient and two moments


@dataclass(frozen=True)
class Plan:
    """A run before its first step."""

    record: RunRecord
    """What run.json would hold: the model, the options, the data and their hash."""
    objective: str
    outputs: dict[str, tuple[int, ...]]
    """Names and row shapes of what the encoder and the decoder give."""
    parameters: dict[str, int]
    """Numbers of weights of the encoder, the decoder and in all."""
    steps_per_epoch: int
    steps: int
    memory: dict[str, int]
    """Bytes: "weights" with their gradients and Adam's moments; "kept", for the gradient of one batch; "batch", with
    its noise."""


def plan(data: Data, config: VAEConfig, options: Options) -> Plan:
    """The plan of `fit(data, config, options)`, checked as `fit` checks it.

    The model is made on torch's meta device: no weight is drawn and no large array allocated. The values kept for the
    gradient are counted on such a batch, in float32; the libraries' own workspace is not in it.

    Raises:
        OptionError, InputError: what `fit` would refuse.
    """
    data = data.head(options.limit)
    record = opening.describe(data, config, options)
    steps = math.ceil(len(data.train) / options.batch_size)
    with torch.device("meta"):
        model = VAE(config)
        objective = objectives.build(model, options, steps_per_epoch=steps)
        rows = min(options.batch_size, len(data.train))
        x = torch.empty(rows, *config.input_shape)
        eps = torch.empty(objective.draws, rows, *config.latent_shape)
        kept = _kept_bytes(objective, x, eps)
        outputs = _outputs(model, x[:1])
    count = {name: sum(value.numel() for value in part.parameters()) for name, part in model.named_children()}
    decoder = count["decoder"] + count["likelihood"]
    total = sum(count.values())
    return Plan(
        record=record,
        objective=objectives.describe(options),
        outputs=outputs,
        parameters={"encoder": total - decoder, "decoder": decoder, "all": total},
        steps_per_epoch=steps,
        steps=steps * options.epochs,
        memory={"weights": 4 * _COPIES * total, "kept": kept, "batch": 4 * (x.numel() + eps.numel())},
    )


def _outputs(model: VAE, x: Tensor) -> dict[str, tuple[int, ...]]:
    """Names and row shapes of both graphs' outputs."""
    names = ("z",) if model.config.posterior == "none" else ("mean", "logvar", "z")
    latent, decoded = model.config.latent_shape, model.decode(model.code(x))
    return dict.fromkeys(names, latent) | {name: tuple(value.shape[1:]) for name, value in decoded.items()}


def _kept_bytes(objective: objectives.Objective, x: Tensor, eps: Tensor) -> int:
    """Bytes that autograd keeps of one forward pass, each storage once, weights and inputs not counted."""
    sizes: dict[int, int] = {}

    def keep(value: Tensor) -> Tensor:
        sizes[_storage(value)] = value.untyped_storage().nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        objective(x, eps, torch.empty(()))
    known = {_storage(value) for value in (*objective.parameters(), *objective.buffers(), x, eps)}
    return sum(size for storage, size in sizes.items() if storage not in known)


def _storage(value: Tensor) -> int:
    """What tells one storage from another; on the meta device their data_ptr is 0."""
    storage: Any = value.untyped_storage()
    return int(storage._cdata)  # noqa: SLF001  torch offers nothing public


def told(found: Plan) -> list[tuple[str, str]]:
    """Lines for people: what, and its value."""
    record, memory = found.record, found.memory
    lines = [
        ("data", f"{record.data}, {record.train_rows:,} rows to train, {record.test_rows:,} to test, {record.layout}"),
        ("objective", found.objective),
        *((name, " x ".join(map(str, shape))) for name, shape in found.outputs.items()),
        *((f"parameters, {name}", f"{count:,}") for name, count in found.parameters.items()),
        ("steps", f"{found.steps:,}, {found.steps_per_epoch:,} an epoch"),
        ("memory, weights, gradients and Adam", f"{memory['weights'] / 2**20:,.3g} MiB"),
        ("memory, kept for the gradient of a batch", f"{memory['kept'] / 2**20:,.3g} MiB"),
        ("memory, batch and noise", f"{memory['batch'] / 2**20:,.3g} MiB"),
    ]
    settings: dict[str, Any] = msgspec.to_builtins(record.config) | msgspec.to_builtins(record.options)
    return lines + [(name, _plain(value)) for name, value in settings.items()]


def _plain(value: object) -> str:
    """A setting as it is typed."""
    if isinstance(value, list | tuple):
        return ",".join(str(size) for size in cast("list[int]", value)) or "-"
    return "-" if value is None else str(value)
