"""Several processes as one, as torchrun starts them: each takes a slice of every batch, and gradients are averaged.

Order and noise are functions of the place in the global batch, so a slice is all that a process needs to know: one
process or four make the same run, to rounding. Without torchrun everything here is that of one process, and costs
nothing.
"""

# pyright: reportUnknownMemberType=false
# (torch.distributed leaves its collectives untyped)

import contextlib
import os
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, distributed, nn

_T = TypeVar("_T")


@dataclass(frozen=True)
class Group:
    """The processes of a run, and which of them this one is."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0

    def slice(self, rows: int) -> range:
        """The places of a batch of so many rows that are this process's own, neighbouring.

        Of fewer rows than processes each takes all: not every layer can go back through an empty batch.
        """
        if rows < self.size:
            return range(rows)
        return range(rows * self.rank // self.size, rows * (self.rank + 1) // self.size)

    def share(self, rows: int) -> float:
        """The weight of this process's slice in the mean over so many rows; those of all processes add up to 1."""
        return 1 / self.size if rows < self.size else len(self.slice(rows)) / rows

    def once(self, function: Callable[[], _T]) -> _T:
        """What a function gives or raises in the first process, where alone it is called, in all of them."""
        if self.size == 1:
            return function()
        found: list[Any] = [None, None]
        if self.first:
            try:
                found[0] = function()
            except Exception as error:
                found[1] = error
        distributed.broadcast_object_list(found)
        if found[1] is not None:
            raise found[1]
        return cast("_T", found[0])

    def gather(self, values: list[_T]) -> list[_T]:
        """The values of all processes: the first of each, then the second of each, as they were dealt out."""
        if self.size == 1:
            return values
        parts: list[Any] = [None] * self.size
        distributed.all_gather_object(parts, values)
        longest = max(map(len, parts))
        return [part[place] for place in range(longest) for part in parts if place < len(part)]

    def agree(self, loss: Tensor, signal: int) -> tuple[float, int]:
        """The sum of the losses of all processes, and the largest signal that one of them received; 0 for none."""
        if self.size == 1:
            return loss.item(), signal
        total, number = loss.detach().clone(), torch.tensor(signal, device=loss.device)
        distributed.all_reduce(total)
        distributed.all_reduce(number, distributed.ReduceOp.MAX)
        return total.item(), int(number.item())

    def averaging(self, module: nn.Module, *, all_used: bool) -> nn.Module:
        """The module, so wrapped that a backward pass leaves the mean of all processes' gradients.

        Args:
            module: the same in all processes.
            all_used: whether each pass uses every parameter; else those without a gradient are looked for.
        """
        if self.size == 1:
            return module
        return nn.parallel.DistributedDataParallel(module, find_unused_parameters=not all_used)


def row_mean(values: Tensor) -> Tensor:
    """The mean over the rows of the global batch, detached: values [rows, ...] of this process to [...]."""
    values = values.detach()
    if not _initialized():
        return values.mean(0)
    total, rows = values.sum(0), torch.tensor(float(len(values)), device=values.device)
    distributed.all_reduce(total)
    distributed.all_reduce(rows)
    return total / rows


def local_device(device: torch.device) -> torch.device:
    """The card of this process under torchrun, one for each; any other device as it is."""
    if device.type == "cuda" and _launched():
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return device


@contextlib.contextmanager
def joined(device: torch.device) -> Generator[Group]:
    """The group that torchrun started this process in, joined and left again; a group of one without torchrun."""
    if _initialized():  # by the program that calls us, which will also leave it
        yield Group(distributed.get_rank(), distributed.get_world_size())
        return
    if not _launched():
        yield Group()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Group(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()


def is_first() -> bool:
    """Whether this process is the only one, or the first of those that torchrun started."""
    return not _launched() or os.environ["RANK"] == "0"


def _initialized() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def _launched() -> bool:
    return distributed.is_available() and distributed.is_torchelastic_launched() and int(os.environ["WORLD_SIZE"]) > 1
