import contextlib
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reparam.errors import InputError, InputNotFound, InputTypeError, ReparamError
from reparam_train.data import load

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 6, 6), np.uint8)


def npz(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "rows.npz", **arrays)
    return folder / "rows.npz"


@pytest.mark.parametrize(
    ("train", "test", "train_labels", "test_labels"),
    [
        ("x_train", "x_test", "y_train", "y_test"),
        ("train_x", "test_x", "train_y", "test_y"),
        ("train_images", "test_images", "train_labels", "test_labels"),
    ],
)
def test_the_names_that_the_field_uses_are_the_splits_and_their_labels(
    tmp_path: Path, train: str, test: str, train_labels: str, test_labels: str
) -> None:
    labels = {train_labels: np.arange(12), test_labels: np.arange(5)[:, None]}
    data = load(npz(tmp_path, **{train: IMAGES, test: IMAGES[:5]}, **labels))
    assert (len(data.train), len(data.test), data.shape, data.high) == (12, 5, (1, 6, 6), 1)
    assert np.array_equal(data.test.batch(np.arange(5))[:, 0] * np.float32(255), IMAGES[:5].astype(np.float32))
    assert data.train.labels is not None
    assert data.test.labels is not None
    assert (data.train.labels.tolist(), data.test.labels.tolist()) == (list(range(12)), list(range(5)))
    assert data.reading.test_every is None


def test_x_or_a_single_array_is_split_and_takes_its_labels_along(tmp_path: Path) -> None:
    data = load(npz(tmp_path, x=IMAGES, y=np.arange(12), other=np.zeros(3)))
    assert data.test.labels is not None
    assert data.test.labels.tolist() == [9]
    rows = np.asfortranarray(np.random.default_rng(0).normal(size=(30, 4)))
    data = load(npz(tmp_path, anything=rows), test_every=3)
    assert np.array_equal(data.test.batch(np.arange(10)), rows[2::3].astype(np.float32))


def test_labels_that_are_no_small_whole_numbers_are_left_out(tmp_path: Path) -> None:
    for y in (np.full(12, 0.5), np.arange(12) + 250, np.zeros((12, 2), np.int64)):
        assert load(npz(tmp_path, x=IMAGES, y=y)).train.labels is None


def objects() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, x=np.array([{"a": 1}] * 12, dtype=object))
    return buffer.getvalue()


def archive(member: bytes, name: str = "x.npy") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(name, member)
    return buffer.getvalue()


def npy_bytes(array: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a readable .npz file"),
        (b"PK\3\4 but no more", "not a readable .npz file"),
        (objects(), "x is not a readable array .* numbers"),
        (archive(b"no array"), "x is not a readable array .*does not start as a .npy file"),
        (
            archive(npy_bytes(IMAGES)[:-5]),
            "x is not a readable array .its header promises 432 bytes of .*, it has 427",
        ),
        (archive(npy_bytes(IMAGES) + b"more"), "its header promises 432 bytes of values, it has more than 432"),
    ],
)
def test_a_malformed_archive_is_refused_with_what_was_found(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "rows.npz").write_bytes(content)
    with pytest.raises(InputError, match=message):
        load(tmp_path / "rows.npz")


@pytest.mark.parametrize(
    ("arrays", "error", "message"),
    [
        ({"a": IMAGES, "b": IMAGES}, InputError, "x_train and x_test, or x, or one array alone, got a, b"),
        ({"x_train": IMAGES, "y_train": np.arange(12)}, InputError, "got x_train, y_train; rename"),
        ({"x": IMAGES.astype(np.int64)}, InputTypeError, "float32, float64 or uint8, got int64"),
        ({"x": IMAGES, "y": np.arange(11)}, InputError, "one label a row, got 11 labels for 12 rows"),
        ({"x_train": IMAGES, "x_test": IMAGES[:, :5]}, InputError, r"one shape .*got \[12, 6, 6\] and \[12, 5, 6\]"),
        ({"x_train": IMAGES, "x_test": IMAGES / 255}, InputTypeError, "both be uint8 or both be floats"),
        ({"x_train": IMAGES, "x_test": IMAGES[:0]}, InputError, "there must be some"),
        ({"x_train": np.zeros((9, 2)), "x_test": np.full((3, 2), np.nan)}, InputError, "nan at row 0, column 0"),
    ],
)
def test_arrays_that_are_not_rows_are_refused(
    tmp_path: Path, arrays: dict[str, Any], error: type[InputError], message: str
) -> None:
    with pytest.raises(error, match=message):
        load(npz(tmp_path, **arrays))


def test_a_missing_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match="no such file"):
        load(tmp_path / "rows.npz")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_archive_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.getbasetemp() / "damaged"
    folder.mkdir(exist_ok=True)
    content = bytearray(npz(folder, x_train=IMAGES, x_test=IMAGES[:3]).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (folder / "rows.npz").write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with contextlib.suppress(ReparamError):
        load(folder / "rows.npz")
