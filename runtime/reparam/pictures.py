"""Pictures that people look at: mosaics of images and scatter plots, as PNG bytes. Needs the extra `report`."""

# pyright: reportUnknownMemberType=false
# (matplotlib leaves **kwargs untyped in most of its methods)

import importlib.util
import io
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from reparam.arrays import FloatArray
from reparam.errors import MissingExtra

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CELL_PIXELS = 40  # a small image is enlarged to about this


def pictures_available() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def is_image(shape: tuple[int, ...]) -> bool:
    """Whether one row of this shape is an image to look at: [1 or 3 channels, height, width]."""
    return len(shape) == 3 and shape[0] in (1, 3) and min(shape[1:]) >= 4


def mosaic(images: FloatArray, *, columns: int, low: float | None = None, high: float | None = None) -> FloatArray:
    """Images [n, channels, height, width] side by side with a gap, as [height, width, 3] in 0 to 1.

    Args:
        images: rows of a model; dark is `low`, bright is `high`, the data's own extremes where None.
        columns: images in each line.
        low: the darkest value.
        high: the brightest value.
    """
    lowest = float(images.min()) if low is None else low
    highest = float(images.max()) if high is None else high
    unit = ((images - lowest) / max(highest - lowest, 1e-12)).clip(0, 1)
    colour = np.broadcast_to(unit, (len(unit), 3, *unit.shape[2:])).transpose(0, 2, 3, 1)  # [n, height, width, 3]
    height, width = colour.shape[1:3]
    lines = -(-len(colour) // columns)
    gap = max(1, min(height, width) // 8)
    sheet = np.ones((lines * (height + gap) - gap, columns * (width + gap) - gap, 3), np.float32)
    for number, image in enumerate(colour):
        top, left = number // columns * (height + gap), number % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet


def _figure(width: float, height: float) -> "Figure":
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra("pictures need matplotlib; pip install 'reparam[report]'") from None
    return Figure(figsize=(width, height), dpi=100, facecolor="white", layout="constrained")


def _png(figure: "Figure") -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def mosaic_png(
    images: FloatArray, *, columns: int, low: float | None = None, high: float | None = None, title: str | None = None
) -> bytes:
    """A mosaic as a PNG, small images enlarged without blurring; see `mosaic`.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    sheet = mosaic(images, columns=columns, low=low, high=high)
    scale = max(1, round(_CELL_PIXELS / images.shape[2])) / 100
    height, width = sheet.shape[0] * scale, sheet.shape[1] * scale
    figure = _figure(width + 0.2, height + (0.6 if title else 0.2))
    axes = figure.add_subplot()
    axes.imshow(sheet, interpolation="nearest")
    axes.set_axis_off()
    if title:
        axes.set_title(title, loc="left", fontsize=12)
    return _png(figure)


def scatter_png(
    points: npt.NDArray[np.floating], labels: npt.NDArray[np.integer], *, title: str, axes_titles: tuple[str, str]
) -> bytes:
    """Points [n, 2] coloured by label [n], each group named at its median, as a PNG.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    figure = _figure(7.6, 6.4)
    axes = figure.add_subplot()
    for label in np.unique(labels):
        group = points[labels == label]
        colour = f"C{int(label) % 10}"
        axes.scatter(group[:, 0], group[:, 1], s=14, alpha=0.65, color=colour, linewidths=0, label=str(label))
        centre = np.median(group, axis=0)
        axes.annotate(
            str(label),
            (float(centre[0]), float(centre[1])),
            color="white",
            weight="bold",
            ha="center",
            va="center",
            bbox={"boxstyle": "circle,pad=0.25", "facecolor": colour, "edgecolor": "white"},
        )
    axes.set_xlabel(axes_titles[0])
    axes.set_ylabel(axes_titles[1])
    axes.set_title(title, loc="left", fontsize=12)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_aspect("equal", adjustable="datalim")
    return _png(figure)
