"""Pictures that people look at: mosaics of images and scatter plots, as PNG bytes. Needs the extra `report`."""

# pyright: reportUnknownMemberType=false
# (matplotlib leaves **kwargs untyped in most of its methods)

import importlib.util
import io
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

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


class Plane(NamedTuple):
    """The plane through the mean of points along their first two principal components."""

    mean: npt.NDArray[np.float64]
    """[d]."""
    axes: npt.NDArray[np.float64]
    """[d, 2], orthonormal columns; the second is 0 where d is 1."""
    shares: npt.NDArray[np.float64]
    """[2], of the variance."""

    def project(self, points: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Places [n, 2] in the plane of points [n, ...] with d values each."""
        return (points.reshape(len(points), -1).astype(np.float64) - self.mean) @ self.axes


def principal_plane(points: npt.NDArray[Any]) -> Plane:
    """The plane of points [n, ...], n at least 1, that shows most of their variance."""
    flat = points.reshape(len(points), -1).astype(np.float64)
    mean = flat.mean(axis=0)
    _, scale, right = np.linalg.svd(flat - mean, full_matrices=False)
    axes, shares = np.zeros((flat.shape[1], 2)), np.zeros(2)
    axes[:, : min(2, len(scale))] = right[:2].T
    shares[: min(2, len(scale))] = scale[:2] ** 2 / max(float((scale**2).sum()), np.finfo(np.float64).tiny)
    return Plane(mean, axes, shares)


def figure(width: float, height: float, *, layout: Literal["constrained"] | None = "constrained") -> "Figure":
    """An empty page of so many inches, 100 pixels each; its parts placed by matplotlib or, with None, by the caller.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra("pictures need matplotlib; pip install 'reparam[report]'") from None
    return Figure(figsize=(width, height), dpi=100, facecolor="white", layout=layout)


def png(page: "Figure") -> bytes:
    """The page as PNG; the same page gives the same bytes."""
    buffer = io.BytesIO()
    page.savefig(buffer, format="png", metadata={"Software": None})
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
    page = figure(width + 0.2, height + (0.6 if title else 0.2))
    axes = page.add_subplot()
    axes.imshow(sheet, interpolation="nearest")
    axes.set_axis_off()
    if title:
        axes.set_title(title, loc="left", fontsize=12)
    return png(page)


def scatter_png(
    points: npt.NDArray[np.floating], labels: npt.NDArray[np.integer], *, title: str, axes_titles: tuple[str, str]
) -> bytes:
    """Points [n, 2] coloured by label [n], each group named at its median, as a PNG.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    page = figure(7.6, 6.4)
    axes = page.add_subplot()
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
    return png(page)
