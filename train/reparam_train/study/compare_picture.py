"""compare.png: a row for each model with reconstructions, samples from the prior, codes, and its numbers."""

# pyright: reportUnknownMemberType=false
# (matplotlib leaves **kwargs untyped in most of its methods)

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from reparam import noise
from reparam.arrays import FloatArray
from reparam.pictures import figure, is_image, mosaic, png, principal_plane
from reparam_train.checkpoint import read_run
from reparam_train.data.split import Data
from reparam_train.study.numbers import Measured, Ruler, Space, decoded, encoded
from reparam_train.study.runs import Penalties, Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS: Final = 9
_SHOWN: Final = 27  # rows with their reconstructions, and half of the samples
_POINTS: Final = 2000  # in a scatter plot
_LEGIBLE: Final = 0.25  # spread of codes below which labels would lie on each other
# inches: left edge and width of each column, height of a row's panels, of a row with its title, and of the head
_PLACES: Final = ((0.25, 3.0), (3.5, 3.0), (7.0, 2.2), (9.6, 2.75))
_WIDTH, _PANEL, _ROW, _HEAD, _FOOT = 12.6, 2.05, 2.6, 0.6, 0.6
_GREY: Final = "0.35"
_LINES: Final = (  # field, name, format
    ("frechet", "d² of prior samples", ".3f"),
    ("frechet_posterior", "d² of z from posteriors", ".3f"),
    ("nll", "log p(x), nats", ".2f"),
    ("elbo", "ELBO, nats", ".2f"),
    ("rate", "rate, nats", ".2f"),
    ("distortion", "distortion, nats", ".2f"),
    ("squared_error", "squared error", ".4f"),
    ("posterior_std", "posterior std (prior: 1)", ".3f"),
    ("code_scale", "scale of z (prior: 1)", ".2f"),
    ("active_units", "active units", ".1f"),
)


@dataclass(frozen=True)
class Panel:
    """What is drawn of one run; n rows of the test split, as they are."""

    rows: FloatArray
    again: FloatArray
    """Their reconstructions from the code."""
    samples: FloatArray
    """From the prior, rows 0 to n - 1 of the run's seed."""
    codes: FloatArray
    labels: npt.NDArray[Any] | None


def panel(run: Path, data: Data) -> Panel:
    """What is drawn of a finished run, for data before any limit."""
    found = read_run(run)
    options, test = found.record.options, data.head(found.record.options.limit).test
    places = np.arange(min(len(test), _POINTS))
    x = test.binarized(options.seed).batch(places) if options.binarize != "none" else test.batch(places)
    codes = encoded(found.model, x)[0]
    n = max(len(places), 2 * _SHOWN)
    z = noise("normal", options.seed, range(n), codes.shape[1:], stream="prior")
    labels = None if test.labels is None else test.labels[: len(places)]
    return Panel(x, decoded(found.model, codes), decoded(found.model, z), codes, labels)


def draw(study: Study, arms: Sequence[Measured], panels: dict[str, Panel], ruler: Ruler, data: Data) -> bytes:
    """The picture, as PNG; a panel for each arm by its name."""
    height = _HEAD + _ROW * len(arms) + _FOOT
    page = figure(_WIDTH, height, layout=None)
    image = is_image(data.shape)
    seeds = len(study.seeds)
    heads = (
        "Held-out rows over reconstructions" if image else "Held-out rows and reconstructions",
        "Samples from the prior N(0, I)" if image else "Held-out rows and prior samples",
        "Codes of held-out rows",
        f"Mean ± spread over {seeds} seeds" if seeds > 1 else f"Seed {study.seeds[0]}",
    )

    def at(left: float, top: float, text: str, **more: Any) -> None:
        page.text(left / _WIDTH, 1 - top / height, text, va="top", **more)

    for (left, _), text in zip(_PLACES, heads, strict=True):
        at(left, 0.22, text, fontsize=10, color=_GREY)
    for number, arm in enumerate(arms):
        top = _HEAD + _ROW * number
        title, more = _title(arm, study.penalties[number - 1 : number])
        at(_PLACES[0][0], top + 0.02, title, fontsize=12, weight="bold")
        at(_PLACES[1][0], top + 0.05, more, fontsize=10, color=_GREY)
        spots = [
            (left / _WIDTH, 1 - (top + 0.36 + _PANEL) / height, width / _WIDTH, _PANEL / height)
            for left, width in _PLACES
        ]
        one, two, three, four = (page.add_axes(spot) for spot in spots)
        shown = panels[arm.name]
        if image:
            _images(one, two, shown, data)
        else:
            _clouds(one, two, shown, ruler)
        _codes(three, shown)
        _numbers(four, arm)
    at(_PLACES[0][0], height - _FOOT + 0.12, _foot(study, ruler.space), fontsize=9, color=_GREY, linespacing=1.4)
    return png(page)


def _title(arm: Measured, penalties: tuple[Penalties, ...]) -> tuple[str, str]:
    """A model's name, and its loss in symbols."""
    if arm.name == "autoencoder":
        return "Plain autoencoder", "loss: −log p(x|z), z = e(x)"
    if arm.name == "vae":
        return "Variational autoencoder", "loss: −log p(x|z) + KL(q(z|x) ‖ N(0, I)), z = μ + σε"
    ((alpha, beta),) = penalties
    return "Penalised moments", f"loss: −log p(x|z) + {alpha:g} |μ|² + {beta:g} |σ − 1|², z = μ + σε"


def _foot(study: Study, space: Space) -> str:
    return (
        f"d²: squared Fréchet distance to {space.test_rows:,} held-out rows, from {space.training_rows:,} samples, in "
        f"{space.components} principal components of the training rows ({space.explained:.0%} of the variance, not "
        f"whitened). Training rows: {space.floor:.3f}.\n"
        f"Pictures: seed {study.seeds[0]}. Codes: posterior means on their first two principal components; the "
        "circle is two standard deviations of the prior."
    )


def _images(one: "Axes", two: "Axes", shown: Panel, data: Data) -> None:
    low = float(shown.rows.min()) if data.low is None else data.low
    high = float(shown.rows.max()) if data.high is None else data.high
    count = min(_SHOWN, len(shown.rows) // _COLUMNS * _COLUMNS) or len(shown.rows)
    columns = min(_COLUMNS, count)
    lines = [
        part[start : start + columns]
        for start in range(0, count, columns)
        for part in (shown.rows[:count], shown.again[:count])
    ]
    parts = ((one, np.concatenate(lines), columns), (two, shown.samples[: 2 * _SHOWN], _COLUMNS))
    for axes, images, across in parts:
        axes.imshow(mosaic(images, columns=across, low=low, high=high), interpolation="nearest")
        axes.set_anchor("NW")
        axes.set_axis_off()


def _clouds(one: "Axes", two: "Axes", shown: Panel, ruler: Ruler) -> None:
    """Rows that are no images, in the first two features of the Frechet distance."""
    rows = ruler.features.project(shown.rows)
    for axes, others, colour, name in (
        (one, shown.again, "C1", "reconstructions"),
        (two, shown.samples, "C0", "samples"),
    ):
        places = ruler.features.project(others)
        for points, of, label in ((rows, "0.7", "held-out"), (places, colour, name)):
            second = points[:, 1] if points.shape[1] > 1 else np.zeros(len(points))
            axes.scatter(points[:, 0], second, s=6, alpha=0.6, color=of, linewidths=0, label=label)
        axes.margins(0.05, 0.2)  # room for the legend
        axes.legend(fontsize=8, frameon=False, loc="upper right", markerscale=2, handletextpad=0.1)
        _quiet(axes)
        axes.set_xticks([])
        axes.set_yticks([])


def _codes(axes: "Axes", shown: Panel) -> None:
    from matplotlib.patches import Circle
    from matplotlib.patheffects import withStroke

    plane = principal_plane(shown.codes)
    places = plane.project(shown.codes)
    labels = np.zeros(len(places), int) if shown.labels is None else shown.labels
    groups, spread = np.unique(labels), float(np.sqrt(np.square(places).mean()))
    for label in groups:
        group, colour = places[labels == label], f"C{int(label) % 10}"
        axes.scatter(group[:, 0], group[:, 1], s=6, alpha=0.6, color=colour, linewidths=0)
        if len(groups) > 1 and spread > _LEGIBLE:
            x, y = (float(value) for value in np.median(group, axis=0))
            outline = [withStroke(linewidth=2.5, foreground="white")]
            axes.text(
                x, y, str(label), color=colour, weight="bold", fontsize=9, ha="center", va="center",
                path_effects=outline,
            )  # fmt: skip
    origin = plane.project(np.zeros((1, plane.mean.size)))[0]
    axes.add_patch(Circle((float(origin[0]), float(origin[1])), 2, fill=False, color="black", linewidth=1.2, zorder=3))
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.08)
    axes.autoscale_view()
    _quiet(axes)


def _quiet(axes: "Axes") -> None:
    axes.tick_params(labelsize=8, length=2, color=_GREY, labelcolor=_GREY)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("0.7")


def _numbers(axes: "Axes", arm: Measured) -> None:
    axes.set_axis_off()
    for line, (field, name, form) in enumerate(_LINES):
        mean, spread = arm.mean[field], arm.spread[field]
        sign = -1 if field == "nll" else 1
        told = "-" if mean is None else format(sign * mean, form)
        if spread is not None:
            told += f" ± {format(spread, form)}"
        y, weight = 0.95 - line / len(_LINES), "bold" if field == "frechet" else "normal"
        axes.text(0, y, name, fontsize=9.5, va="baseline", weight=weight, transform=axes.transAxes)
        axes.text(1, y, told, fontsize=9.5, va="baseline", ha="right", weight=weight, transform=axes.transAxes)
