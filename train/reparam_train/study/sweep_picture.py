"""sweep.png: the rate-distortion front, with lines of equal ELBO and the dimensions in use."""

# pyright: reportUnknownMemberType=false
# (matplotlib leaves **kwargs untyped in most of its methods)

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from reparam.pictures import figure, png
from reparam_train.study.numbers import Measured
from reparam_train.study.runs import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GREY = "0.5"


def draw(study: Study, points: Sequence[tuple[float, Measured]], *, test_rows: int) -> bytes:
    """The picture of (beta, numbers), as PNG: each seed a small dot, the mean over seeds a large one with its beta."""
    page = figure(10, 6.4)
    axes = page.add_subplot()
    points = sorted(points, key=lambda point: point[0])
    rates = [[run.rate or 0.0 for run in arm.runs.values()] for _, arm in points]
    distortions = [[run.distortion for run in arm.runs.values()] for _, arm in points]
    x, y = ([float(np.mean(values)) for values in each] for each in (rates, distortions))
    axes.plot(x, y, color="C0", linewidth=1, zorder=2)
    axes.scatter(np.concatenate(rates), np.concatenate(distortions), s=12, color="C0", alpha=0.4, linewidths=0)
    axes.scatter(x, y, s=45, color="C0", zorder=3)
    dimensions = prod(study.config.latent_shape)
    units = [arm.mean["active_units"] for _, arm in points]
    best = max(range(len(points)), key=lambda place: -(x[place] + y[place]))
    for place, (beta, _) in enumerate(points):
        axes.annotate(
            f"β = {beta:g}\n{units[place]:.3g} of {dimensions} active",
            (x[place], y[place]), xytext=(9, 9), textcoords="offset points", fontsize=9,
            weight="bold" if place == best else "normal",
        )  # fmt: skip
    axes.margins(x=0.16, y=0.14)
    axes.autoscale_view()
    left, right = axes.get_xlim()
    low, high = axes.get_ylim()
    _elbo_lines(axes, (left, right), (low, high))
    seeds = len(study.seeds)
    axes.set_xlabel("rate: KL(q(z|x) ‖ N(0, I)), nats a row")
    axes.set_ylabel("distortion: −log p(x|z), nats a row")
    axes.set_title(
        f"{study.data}: rate and distortion of {test_rows:,} held-out rows, "
        f"{seeds} seed{'s' if seeds > 1 else ''}; grey lines have one ELBO; bold is the best",
        loc="left", fontsize=11, pad=18,
    )  # fmt: skip
    axes.spines[["top", "right"]].set_visible(False)
    return png(page)


def _elbo_lines(axes: "Axes", across: tuple[float, float], up: tuple[float, float]) -> None:
    """Lines rate + distortion = -ELBO through the picture, each named where it enters from the left or the top."""
    from matplotlib.ticker import MaxNLocator

    sums = MaxNLocator(nbins=7).tick_values(across[0] + up[0], across[1] + up[1])
    for total in sums:
        enters = max(across[0], total - up[1])
        if enters < across[1] and total - enters > up[0]:
            axes.axline((enters, total - enters), slope=-1, color="0.88", linewidth=1, zorder=0)
            at_top = enters > across[0]
            axes.annotate(
                f"ELBO {0 - total:g}", (enters, total - enters), xytext=(4, 2) if at_top else (4, 4),
                textcoords="offset points", fontsize=8, color=_GREY, va="bottom", annotation_clip=False,
            )  # fmt: skip
    axes.set_xlim(*across)
    axes.set_ylim(*up)
