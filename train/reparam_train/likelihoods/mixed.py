"""Columns of different kinds side by side, as in a table: continuous, binary and categorical, each scored as its own.

    log p = sum over columns of
        gaussian     -1/2 (((x - x_hat) / std)^2 + log(2 pi std^2)), one learned std a column
        bernoulli    x l - log(1 + exp(l))
        categorical  sum over its categories c of x_c log softmax(l)_c, x one-hot

The variance of every column is its own, so that no unit of measurement outweighs another: A. Nazabal, P. M. Olmos,
Z. Ghahramani and I. Valera, "Handling Incomplete Heterogeneous Data using VAEs", Pattern Recognition 2020, section 3.1.
As there, layers see and give a gaussian column as (x - shift) / scale, with the column's fixed shift and
scale; x_hat, std and the density stay in the data's own units.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from reparam_train.data.columns import Column, places
from reparam_train.likelihoods.likelihood import Likelihood, Outputs


class Mixed(Likelihood):
    """A law for each column of rows [width].

    Args:
        columns: side by side from the left; a categorical one is a one-hot block as wide as its categories.
    """

    def __init__(self, columns: tuple[Column, ...]) -> None:
        super().__init__()
        self._columns = columns
        gaussians = [column for column in columns if column.kind == "gaussian"]
        self.log_std = nn.Parameter(torch.zeros(len(gaussians))) if gaussians else None  # of (x - shift) / scale
        units = [(column.shift, column.scale) for column in columns for _ in range(column.width)]
        self._plain = set(units) == {(0, 1)}
        self._units: Tensor  # [2, width], not in checkpoints: the configuration holds the columns
        self.register_buffer("_units", torch.tensor(units).T.contiguous(), persistent=False)

    def standardised(self, x: Tensor) -> Tensor:
        """(x - shift) / scale in gaussian columns, others as they are; [batch, width]."""
        return x if self._plain else (x - self._units[0]) / self._units[1]

    def outputs(self, raw: Tensor) -> Outputs:
        """x_hat (means, probabilities) and logits (of gaussian columns: x_hat again), both [batch, width]."""
        if not self._plain:
            raw = raw * self._units[1] + self._units[0]
        parts = [_mean(column.kind, raw[:, start:stop]) for column, start, stop in places(self._columns)]
        return {"x_hat": torch.cat(parts, 1), "logits": raw}

    def raw_at(self, mean: Tensor) -> Tensor:
        """The logits of a mean, or for gaussian columns the standardised mean; [width], both."""
        mean = self.standardised(mean[None])[0]
        parts = [_raw(column.kind, mean[start:stop]) for column, start, stop in places(self._columns)]
        return torch.cat(parts)

    def log_prob(self, x: Tensor, outputs: Outputs) -> Tensor:
        """The value of log p(x|z) in nats per row, [batch]."""
        logits, total = outputs["logits"], x.new_zeros(len(x))
        gaussian = 0
        for column, start, stop in places(self._columns):
            value, raw = x[:, start:stop], logits[:, start:stop]  # [batch, width of the column]
            if column.kind == "gaussian":
                assert self.log_std is not None
                log_std, gaussian = self.log_std[gaussian] + math.log(column.scale), gaussian + 1
                scaled = (value - raw) * (-log_std).exp()
                each = (scaled.square() + 2 * log_std + math.log(2 * math.pi)) / -2
            elif column.kind == "bernoulli":
                each = -functional.binary_cross_entropy_with_logits(raw, value, reduction="none")
            else:
                each = value * raw.log_softmax(1)
            total = total + each.sum(1)
        return total

    def constants(self) -> dict[str, float]:
        """Standard deviation of each gaussian column, by its name, in the data's units."""
        columns = [column for column in self._columns if column.kind == "gaussian"]
        logs = [] if self.log_std is None else list(self.log_std.detach())
        return {column.name: column.scale * math.exp(float(log)) for column, log in zip(columns, logs, strict=True)}


def _mean(kind: str, raw: Tensor) -> Tensor:
    """The mean of a column's law."""
    if kind == "gaussian":
        return raw
    return raw.sigmoid() if kind == "bernoulli" else raw.softmax(1)


def _raw(kind: str, mean: Tensor) -> Tensor:
    """What `_mean` makes the mean of a column's law, with probabilities kept from 0 and 1."""
    if kind == "gaussian":
        return mean
    return mean.logit(1e-3) if kind == "bernoulli" else mean.clamp(min=1e-3).log()
