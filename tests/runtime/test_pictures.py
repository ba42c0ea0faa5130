"""Pictures: mosaics in plain numpy, and PNGs where matplotlib is installed."""

import importlib.util
import struct

import numpy as np
import pytest

from reparam.errors import MissingExtra
from reparam.pictures import is_image, mosaic, mosaic_png, pictures_available, principal_plane, scatter_png


def images(n: int, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(0).random((n, channels, 8, 6)).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("n", [1, 3, 4, 7])
def test_a_mosaic_shows_every_image_in_order(n: int, channels: int) -> None:
    shown = images(n, channels)
    sheet = mosaic(shown, columns=3, low=0, high=1)
    lines = -(-n // 3)
    assert sheet.shape == (lines * 9 - 1, 3 * 7 - 1, 3)
    for number, image in enumerate(shown):
        top, left = number // 3 * 9, number % 3 * 7
        found = sheet[top : top + 8, left : left + 6]
        np.testing.assert_array_equal(found, np.broadcast_to(image, (3, 8, 6)).transpose(1, 2, 0))


def test_a_mosaic_keeps_to_its_range() -> None:
    sheet = mosaic(10 * images(4) - 5, columns=2, low=-1, high=1)
    assert (sheet.min(), sheet.max()) == (0, 1)
    flat = mosaic(np.full((2, 1, 4, 4), 3, np.float32), columns=2)
    assert np.isfinite(flat).all()


@pytest.mark.parametrize(
    ("shape", "image"),
    [((1, 8, 8), True), ((3, 32, 32), True), ((2, 8, 8), False), ((8, 8), False), ((1, 3, 8), False), ((64,), False)],
)
def test_a_row_is_an_image_or_not(shape: tuple[int, ...], image: bool) -> None:
    assert is_image(shape) is image


@pytest.mark.parametrize("d", [1, 2, 7])
def test_the_principal_plane_holds_the_two_largest_variances(d: int) -> None:
    points = np.random.default_rng(0).normal(size=(50, d)) * np.arange(1, d + 1) + 3
    plane = principal_plane(points)
    largest = np.sort(np.linalg.eigvalsh(np.cov(points.T).reshape(d, d)))[::-1]
    found = plane.project(points).var(axis=0, ddof=1)
    np.testing.assert_allclose(found, [*largest[:2], 0][:2], atol=1e-9)
    np.testing.assert_allclose(plane.shares, found / largest.sum(), atol=1e-9)
    np.testing.assert_allclose(plane.project(points).mean(axis=0), 0, atol=1e-9)


def test_one_point_has_a_plane() -> None:
    assert principal_plane(np.ones((1, 4))).project(np.ones((2, 4))).tolist() == [[0, 0], [0, 0]]


def test_pictures_are_available_exactly_where_matplotlib_is() -> None:
    assert pictures_available() is (importlib.util.find_spec("matplotlib") is not None)


def test_without_matplotlib_the_error_says_which_line_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtra, match=r"pictures need matplotlib; pip install 'reparam\[report\]'"):
        mosaic_png(images(2), columns=2)


def test_pngs_are_pngs_and_the_same_each_time() -> None:
    pytest.importorskip("matplotlib", reason="PNGs are drawn by matplotlib, of the extra `report`")
    points, labels = np.random.default_rng(0).random((30, 2)), np.arange(30) % 4

    def draw() -> list[bytes]:
        axes = ("first", "second")
        return [mosaic_png(images(7), columns=3, title="t"), scatter_png(points, labels, title="t", axes_titles=axes)]

    for one, again in zip(draw(), draw(), strict=True):
        assert one[:8] == b"\x89PNG\r\n\x1a\n"
        assert min(struct.unpack(">II", one[16:24])) > 50
        assert one == again
