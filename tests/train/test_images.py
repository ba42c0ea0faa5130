"""Folders of images: decoded once, in the order of their names, into the cache."""

import contextlib
import os
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from reparam.errors import InputError, InputNotFound, MissingExtra, OutputError, ReparamError
from reparam_train import extras
from reparam_train.data import Data, load

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 5, 6), np.uint8)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REPARAM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def save(file: Path, pixels: npt.NDArray[Any], **options: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file, **options)


def folder(tmp_path: Path) -> Path:
    """Twelve grey images, the odd ones in a folder of their own."""
    for number, pixels in enumerate(PIXELS):
        save(tmp_path / "images" / ("odd" if number % 2 else "") / f"{number:02}.png", pixels)
    return tmp_path / "images"


def every(data: Data) -> npt.NDArray[np.float32]:
    """All rows as they were stored, [n, channels, height, width]."""
    x = np.empty((len(data.train) + len(data.test), *data.shape), np.float32)
    for split in (data.train, data.test):
        x[split.rows] = split.batch(np.arange(len(split)))
    return x


def test_images_are_rows_in_the_order_of_their_relative_names(tmp_path: Path) -> None:
    data = load(folder(tmp_path))
    assert (data.shape, data.layout, data.low, data.high, data.name) == ((1, 5, 6), "channels_first", 0, 1, "images")
    expected = np.concatenate([PIXELS[::2], PIXELS[1::2]])
    assert np.array_equal(every(data)[:, 0], expected.astype(np.float32) / np.float32(255))
    assert data.reading.test_every == 10


def test_the_folders_train_and_test_are_the_splits(tmp_path: Path) -> None:
    for number, pixels in enumerate(PIXELS):
        save(tmp_path / "images" / ("test" if number < 4 else "train") / f"{number:02}.png", pixels)
    data = load(tmp_path / "images")
    assert (len(data.train), len(data.test), data.reading.test_every) == (8, 4, None)
    assert np.array_equal(data.test.values[:, 0], PIXELS[:4])


@pytest.mark.parametrize("suffix", ["bmp", "tif", "webp", "PNG", "jpg", "jpeg"])
def test_each_format_is_read_and_one_coloured_image_makes_all_of_them_rgb(tmp_path: Path, suffix: str) -> None:
    for number, pixels in enumerate(PIXELS[:10]):
        save(tmp_path / "images" / f"{number}.png", pixels)
    colour = np.zeros((5, 6, 3), np.uint8)
    colour[..., 0] = 200
    save(tmp_path / "images" / f"9b.{suffix}", colour)
    x = every(load(tmp_path / "images"))
    assert x.shape == (11, 3, 5, 6)
    np.testing.assert_allclose(x[10, 0], 200 / 255, atol=0.02)
    np.testing.assert_allclose(x[10, 1:], 0, atol=0.02)
    assert np.array_equal(x[0, 0], x[0, 2])


def test_a_folder_is_decoded_once_and_again_when_an_image_changes(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = folder(tmp_path)
    first = load(images)
    with monkeypatch.context() as patched:
        patched.setattr(Image, "open", None)
        assert load(images).sha256 == first.sha256
    assert len(list(cache.iterdir())) == 1
    save(images / "00.png", 255 - PIXELS[0])
    os.utime(images / "00.png", ns=(1, 1))
    assert load(images).sha256 != first.sha256


def test_grey_images_with_transparency_are_grey(tmp_path: Path) -> None:
    for number, pixels in enumerate(PIXELS):
        save(tmp_path / "images" / f"{number:02}.png", np.stack([pixels, 255 - pixels], -1))
    assert np.array_equal(every(load(tmp_path / "images")) * 255, PIXELS[:, None])


def test_linked_folders_are_read_and_a_link_around_is_not_followed(tmp_path: Path) -> None:
    images = folder(tmp_path)
    (images / "odd").rename(tmp_path / "elsewhere")
    (images / "odd").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "around").symlink_to(images)
    assert np.array_equal(every(load(images))[:, 0] * 255, np.concatenate([PIXELS[::2], PIXELS[1::2]]))


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, scandir = folder(tmp_path), os.scandir

    def closed(place: Path) -> Any:
        if Path(place).name == "odd":
            raise PermissionError(13, "Permission denied")
        return scandir(place)

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(InputError, match=r"images/odd: cannot be read \(Permission denied\); make it readable"):
        load(images)


def test_folders_whose_images_have_the_same_names_sizes_and_times_are_told_apart(tmp_path: Path) -> None:
    for name, brighter in (("dark", 0), ("bright", 100)):
        for number, pixels in enumerate(PIXELS):
            file = tmp_path / name / f"{number:02}.bmp"
            save(file, pixels // 2 + brighter)
            os.utime(file, (0, 0))  # as an archive without times unpacks
    dark, bright = every(load(tmp_path / "dark")), every(load(tmp_path / "bright"))
    np.testing.assert_allclose(bright - dark, 100 / 255, atol=1e-6)


def test_grey_images_are_grey_whatever_they_were_decoded_with_before(tmp_path: Path) -> None:
    for number, pixels in enumerate(PIXELS):
        save(tmp_path / "images" / "train" / f"{number:02}.png", pixels)
    save(tmp_path / "images" / "test" / "0.png", np.zeros((5, 6, 3), np.uint8))
    assert load(tmp_path / "images").shape == (3, 5, 6)
    (tmp_path / "images" / "test" / "0.png").unlink()
    (tmp_path / "images" / "test").rmdir()
    assert load(tmp_path / "images").shape == (1, 5, 6)


def test_the_cache_lies_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = folder(tmp_path)
    monkeypatch.delenv("REPARAM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    load(images)
    assert len(list((tmp_path / "xdg" / "reparam").glob("images-*.npy"))) == 1
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    load(images)
    assert len(list((tmp_path / "home" / ".cache" / "reparam").glob("images-*.npy"))) == 1
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("REPARAM_CACHE", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="file: cannot be written"):
        load(images)


def deep(file: Path) -> None:
    """A PNG of 5 by 6 pixels with 16 bits a channel, which Pillow shows as one with 8."""
    rows = zlib.compress((b"\0" + bytes(6 * 6)) * 5)
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", 6, 5, 16, 2, 0, 0, 0)), (b"IDAT", rows), (b"IEND", b""))
    parts = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def pages(file: Path) -> None:
    """Two images in one file."""
    one, two = (Image.fromarray(pixels) for pixels in PIXELS[:2])
    one.save(file, save_all=True, append_images=[two])


def bomb(file: Path) -> None:
    """A small file that promises 10^10 pixels."""
    file.write_bytes(b"BM" + (54).to_bytes(4, "little") + bytes(4) + (54).to_bytes(4, "little"))
    with file.open("ab") as out:
        sides = (100_000).to_bytes(4, "little") * 2
        out.write((40).to_bytes(4, "little") + sides + b"\1\0\x18\0" + bytes(24))


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("05.png", lambda file: save(file, PIXELS[0][:4]), "must have one size, 6 x 5 as 00.png, got 6 x 4"),
        ("05.png", lambda file: file.write_bytes(b""), "05.png: cannot be read .not a PNG image"),
        ("05.png", lambda file: file.write_bytes(file.read_bytes()[:60]), "05.png: cannot be decoded"),
        ("05.png", lambda file: save(file, PIXELS[0], format="BMP"), "05.png: cannot be read .not a PNG image"),
        ("05.png", lambda file: save(file, PIXELS[0].astype(np.uint16)), "must have 8 bits a channel, got mode I;16"),
        ("05.png", deep, "05.png: must have 8 bits a channel, got 16; convert it"),
        ("99.tif", pages, "99.tif: must hold one image, got 2; write each"),
        ("99.png", lambda file: file.symlink_to("nowhere"), "99.png: cannot be read .No such file"),
        ("99.bmp", bomb, "99.bmp: must have at most 89,478,485 pixels"),
    ],
)
def test_an_image_that_does_not_fit_is_named_and_leaves_no_cache(
    tmp_path: Path, cache: Path, name: str, make: Any, message: str
) -> None:
    for number, pixels in enumerate(PIXELS):
        save(tmp_path / "images" / f"{number:02}.png", pixels)
    make(tmp_path / "images" / name)
    with pytest.raises(InputError, match=message):
        load(tmp_path / "images")
    assert not cache.exists() or list(cache.iterdir()) == []


def test_an_empty_split_is_refused_and_hidden_files_are_no_images(tmp_path: Path) -> None:
    save(tmp_path / "images" / "train" / "1.png", PIXELS[0])
    save(tmp_path / "images" / "test" / ".2.png", PIXELS[0])
    with pytest.raises(InputNotFound, match=r"test: no images in this folder; give .png, .jpg"):
        load(tmp_path / "images")


def test_without_pillow_the_pip_line_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = folder(tmp_path)
    monkeypatch.setattr(extras, "find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match=r"a folder of images needs PIL: pip install 'reparam\[images\]'"):
        load(images)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_image_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    suffix = data.draw(st.sampled_from(["png", "jpg", "bmp", "webp", "tif"]))
    images = tmp_path / suffix
    for number in range(10):
        save(images / f"{number}.{suffix}", PIXELS[number])
    content = bytearray((images / f"3.{suffix}").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (images / f"3.{suffix}").write_bytes(content)
    with contextlib.suppress(ReparamError):
        load(images)


def test_progress_is_shown_on_a_terminal_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load(folder(tmp_path))
    assert not sys.stderr.isatty()
    assert capsys.readouterr() == ("", "")
