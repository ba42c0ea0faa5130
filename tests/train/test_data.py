import gzip
import math
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from reparam.errors import InputError, InputNotFound, InputTypeError
from reparam.files.stored import Stored
from reparam_train.data import Data, load, paging


def idx_bytes(array: npt.NDArray[np.uint8], *, code: int = 8) -> bytes:
    return bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def images(count: int, side: int = 6) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, side, side), np.uint8)


def idx_folder(folder: Path, **replaced: bytes | None) -> Path:
    """A folder like MNIST's, 12 and 5 images; `train_images=None` leaves a file out, bytes replace it."""
    contents: dict[str, bytes | None] = {
        "train_images": idx_bytes(images(12)),
        "train_labels": idx_bytes(np.arange(12, dtype=np.uint8)),
        "t10k_images": idx_bytes(images(5)),
        "t10k_labels": idx_bytes(np.arange(5, dtype=np.uint8)),
    }
    for key, data in (contents | replaced).items():
        kind = "idx3" if key.endswith("images") else "idx1"
        if data is not None:
            (folder / f"{key.replace('_', '-')}-{kind}-ubyte").write_bytes(data)
    return folder


def npy(folder: Path, array: npt.NDArray[Any]) -> Path:
    np.save(folder / "rows.npy", array)
    return folder / "rows.npy"


def every(data: Data) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    return data.train.batch(np.arange(len(data.train))), data.test.batch(np.arange(len(data.test)))


def test_digits_are_1498_and_299_grey_images_in_the_unit_interval(digits: Data) -> None:
    train, test = every(digits)
    assert (train.shape, test.shape) == ((1498, 1, 8, 8), (299, 1, 8, 8))
    assert (train.min(), train.max(), digits.low, digits.high) == (0, 1, 0, 1)
    assert (digits.name, digits.layout) == ("digits", "channels_first")
    assert digits.test.labels is not None
    assert np.unique(digits.test.labels).tolist() == list(range(10))
    assert len(np.unique((train * 16) % 1)) == 1


def test_the_hash_of_the_digits_is_published(digits: Data) -> None:
    assert digits.sha256 == "792dd5a029753b11afa1bc1bd0db0d073403c5d58743251e68d54a2472956332"


def test_the_hash_depends_on_values_rows_and_shape(tmp_path: Path) -> None:
    rows = np.arange(80, dtype=np.float32).reshape(20, 4)
    changed = rows.copy()
    changed[0, 0] += 1
    hashes = [load(npy(tmp_path, array)).sha256 for array in (rows, changed, rows[:18], rows.reshape(20, 2, 2))]
    assert len(set(hashes)) == 4
    assert load(npy(tmp_path, rows.astype(">f4"))).sha256 == hashes[0]


def test_a_batch_is_float32_of_the_asked_rows_in_the_asked_order(digits: Data) -> None:
    batch = digits.train.batch(np.array([5, 2, 5]))
    assert batch.dtype == np.float32
    assert np.array_equal(batch[0], batch[2])
    assert np.array_equal(batch[1:2], digits.train.batch(np.array([2])))


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("separator", ["-", "."])
def test_an_idx_folder_gives_both_splits_plain_or_gzipped(tmp_path: Path, suffix: str, separator: str) -> None:
    for file in list(idx_folder(tmp_path).iterdir()):
        content = file.read_bytes()
        file.unlink()
        name = file.name.replace("-idx", f"{separator}idx") + suffix
        (tmp_path / name).write_bytes(gzip.compress(content) if suffix else content)
    data = load(tmp_path)
    train, test = every(data)
    assert np.array_equal(train[:, 0] * np.float32(255), images(12).astype(np.float32))
    assert test.shape == (5, 1, 6, 6)
    assert data.train.labels is not None
    assert data.train.labels.tolist() == list(range(12))
    assert (data.name, data.low, data.high) == (tmp_path.name, 0, 1)


def test_labels_are_optional_and_one_image_file_stands_for_its_folder(tmp_path: Path) -> None:
    folder = idx_folder(tmp_path, train_labels=None, t10k_labels=None)
    assert load(folder / "train-images-idx3-ubyte").train.labels is None


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        ({"train_images": b""}, "must start with two zero bytes, got nothing"),
        ({"train_images": b"PK\3\4"}, "must start with two zero bytes, got 504b0304"),
        ({"train_images": idx_bytes(images(3), code=13)}, r"idx type must be 0x08 \(unsigned bytes\), got 0x0d"),
        ({"train_images": idx_bytes(np.zeros(3, np.uint8))}, r"idx images must have 3 dimension\(s\), got 1"),
        ({"train_images": idx_bytes(images(3))[:9]}, "cut short within the header"),
        ({"train_images": idx_bytes(images(3))[:-1]}, r"\[3, 6, 6\] needs 108 bytes of values, got 107"),
        ({"train_images": idx_bytes(images(3)) + b"\0"}, "needs 108 bytes of values, got 109"),
        ({"train_images": idx_bytes(images(0))}, "sizes must be at least 1"),
        ({"train_labels": idx_bytes(np.zeros(11, np.uint8))}, "one label an image, got 11 for 12 images"),
        ({"t10k_images": idx_bytes(images(5, side=7))}, r"must have one shape .*, got \[12, 6, 6\] and \[5, 7, 7\]"),
    ],
)
def test_a_malformed_idx_file_is_refused_with_what_was_found(
    tmp_path: Path, replaced: dict[str, bytes], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        load(idx_folder(tmp_path, **replaced))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(idx_bytes(images(12)))[:-9], "cannot be read"),
        (b"not gzip at all", "cannot be read"),
        (gzip.compress(idx_bytes(images(12))[:-1]), "needs 432 bytes of values, got 431"),
        (gzip.compress(idx_bytes(images(12)) + bytes(5)), "needs 432 bytes of values, got 433"),
    ],
)
def test_a_malformed_gzipped_idx_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (idx_folder(tmp_path, train_images=None) / "train-images-idx3-ubyte.gz").write_bytes(content)
    with pytest.raises(InputError, match=message):
        load(tmp_path)


def test_a_header_that_promises_terabytes_allocates_only_what_comes(tmp_path: Path) -> None:
    header = bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**31, 2**15, 2**15)
    (idx_folder(tmp_path, train_images=None) / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(header))
    tracemalloc.start()
    with pytest.raises(InputError, match="bytes of values, got 0"):
        load(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * 2**20


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match=r"no train-images-idx3-ubyte or .gz and no images such as .png"):
        load(tmp_path)


def test_a_folder_without_images_says_which_names_it_needs(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match=r"no t10k-images-idx3-ubyte or t10k-images-idx3-ubyte.gz"):
        load(idx_folder(tmp_path, t10k_images=None))


@pytest.mark.parametrize(
    ("shape", "row", "layout"),
    [
        ((30, 7), (7,), "features"),
        ((30, 4, 5), (1, 4, 5), "channels_first"),
        ((30, 3, 4, 5), (3, 4, 5), "channels_first"),
    ],
)
def test_the_rank_of_an_npy_says_what_a_row_is(
    tmp_path: Path, shape: tuple[int, ...], row: tuple[int, ...], layout: str
) -> None:
    array = np.random.default_rng(0).normal(size=shape)
    data = load(npy(tmp_path, array))
    train, test = every(data)
    assert (data.shape, data.layout, data.low, data.high) == (row, layout, None, None)
    assert np.array_equal(test, array[9::10].reshape(-1, *row).astype(np.float32))
    assert np.array_equal(train, np.delete(array, [9, 19, 29], 0).reshape(-1, *row).astype(np.float32))


def test_uint8_rows_are_divided_by_255(tmp_path: Path) -> None:
    data = load(npy(tmp_path, np.full((10, 3), 255, np.uint8)))
    assert every(data)[0].tolist() == [[1.0] * 3] * 9
    assert (data.low, data.high) == (0, 1)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e300])
def test_the_first_value_that_is_not_finite_is_named(tmp_path: Path, bad: float) -> None:
    array = np.zeros((40, 6))
    array[19, 4] = array[25, 0] = bad
    with pytest.raises(InputError, match=r"rows.npy: values must be finite float32, got .* at row 19, column 4"):
        load(npy(tmp_path, array))


@pytest.mark.parametrize(
    ("array", "error", "message"),
    [
        (np.zeros(20, np.float32), InputError, r"must be \[n, features\].* got \[20\]"),
        (np.zeros((20, 1, 1, 1, 1), np.float32), InputError, r"got \[20, 1, 1, 1, 1\]"),
        (np.zeros((20, 0), np.float32), InputError, r"got \[20, 0\]"),
        (np.zeros((9, 2), np.float32), InputError, "at least 10 rows, .* got 9"),
        (np.zeros((20, 2), np.int64), InputTypeError, "float32, float64 or uint8, got int64"),
        (np.zeros((20, 2), np.float16), InputTypeError, "got float16"),
        (np.zeros((20, 2), np.complex64), InputTypeError, "got complex64"),
    ],
)
def test_an_npy_that_is_not_rows_is_refused(
    tmp_path: Path, array: npt.NDArray[Any], error: type[InputError], message: str
) -> None:
    with pytest.raises(error, match=message):
        load(npy(tmp_path, array))


def test_a_cut_npy_a_wrong_suffix_and_a_missing_path_are_refused(tmp_path: Path) -> None:
    path = npy(tmp_path, np.zeros((20, 2), np.float32))
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(InputError, match=r"not a readable .npy file"):
        load(path)
    (tmp_path / "rows.txt").write_text("1 2")
    with pytest.raises(InputError, match=r"must be a .npy, .npz.* file or a folder, got .txt suffix"):
        load(tmp_path / "rows.txt")
    with pytest.raises(InputNotFound, match="nowhere: no such file or folder; give digits"):
        load("nowhere")


def test_a_large_npy_stays_on_disk_until_a_batch_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = npy(tmp_path, np.arange(40, dtype=np.uint8).reshape(20, 2))
    inside = load(place)
    assert type(inside.train.values) is np.ndarray
    monkeypatch.setattr(paging, "_SMALL", 39)
    data = load(place)
    assert isinstance(data.train.values, Stored)
    assert type(data.train.batch(np.arange(3))) is np.ndarray
    assert data.sha256 == inside.sha256


def test_head_takes_the_first_rows_of_both_splits(digits: Data) -> None:
    few = digits.head(10)
    assert (len(few.train), len(few.test)) == (10, 10)
    assert np.array_equal(every(few)[0], digits.train.batch(np.arange(10)))
    assert few.test.labels is not None
    assert len(few.test.labels) == 10
    assert digits.head(None) is digits
