"""What may be wrong with data that are trained on or evaluated: tables, arrays, archives, images, functions."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from catalogue.row import Place, Row

COMMAND = "reparam data AT/{} --split all --out AT/out.npy"


def written(name: str, data: bytes) -> object:
    return lambda place: (place.at / name).write_bytes(data)


def table(text: str) -> object:
    return written("table.csv", text.encode())


def saved(name: str, array: Any) -> object:
    return lambda place: np.save(place.at / name, array)


def piped(name: str) -> object:
    def make(place: Place) -> None:
        (place.at / name).parent.mkdir(exist_ok=True)
        os.mkfifo(place.at / name)

    return make


def archived(place: Place) -> None:
    np.savez(place.at / "rows.npz", one=np.zeros((20, 3), "f4"), two=np.zeros(20, "f4"))


def idx(data: bytes) -> object:
    return written("train-images-idx3-ubyte", data)


def images(*changes: tuple[str, bytes | tuple[int, int]]) -> object:
    """Twelve small images in the folder photos, some with other bytes or another size."""

    def make(place: Place) -> None:
        from PIL import Image

        (place.at / "photos").mkdir()
        for number in range(12):
            Image.fromarray(np.full((6, 5), number, np.uint8)).save(place.at / "photos" / f"{number:02}.png")
        for name, change in changes:
            if isinstance(change, bytes):
                (place.at / "photos" / name).write_bytes(change)
            else:
                Image.fromarray(np.zeros(change, np.uint8)).save(place.at / "photos" / name)

    return make


def piped_image(place: Place) -> None:
    images()(place)  # type: ignore[operator]
    (place.at / "photos" / "07.png").unlink()
    os.mkfifo(place.at / "photos" / "07.png")


def module(text: str) -> object:
    return written("catalogued.py", text.encode())


@contextlib.contextmanager
def cache(place: Place) -> Iterator[None]:
    with mock.patch.dict(os.environ, {"REPARAM_CACHE": str(place.at / "cache")}):
        yield


@contextlib.contextmanager
def file_as_cache(place: Place) -> Iterator[None]:
    with mock.patch.dict(os.environ, {"REPARAM_CACHE": str(place.at / "photos" / "00.png")}):
        yield


@contextlib.contextmanager
def homeless(_: Place) -> Iterator[None]:
    environment = {name: value for name, value in os.environ.items() if name not in ("REPARAM_CACHE", "XDG_CACHE_HOME")}

    def home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    with mock.patch.dict(os.environ, environment, clear=True), mock.patch.object(Path, "home", home):
        yield


def _row(key: str, fault: str, source: str, message: str, make: object, **more: Any) -> Row:
    return Row(
        **{
            "key": f"source-{key}",
            "fault": fault,
            "way": COMMAND.format(source),
            "message": message,
            "code": 4,
            "make": make,
        }
        | more
    )


BROKEN = b"\x89PNG\r\n\x1a\n" + bytes(30)
ROWS = [
    _row(
        "nowhere",
        "no such file",
        "nowhere.csv",
        "AT/nowhere.csv: no such file or folder; give digits, a file or a folder",
        lambda _: None,
    ),
    _row(
        "suffix",
        "a file of a kind that is not read",
        "rows.txt",
        "AT/rows.txt: must be a .npy, .npz, .csv, .parquet file or a folder, got .txt suffix; convert it",
        written("rows.txt", b"1 2"),
    ),
    _row(
        "empty-folder",
        "a folder without data",
        "empty",
        "AT/empty: no train-images-idx3-ubyte or .gz and no images such as .png in this folder",
        lambda place: (place.at / "empty").mkdir(),
    ),
    _row(
        "integers",
        "whole numbers that are no levels",
        "x.npy",
        "AT/x.npy: must hold float32, float64 or uint8, got int64; convert it with astype",
        saved("x.npy", np.zeros((20, 3), np.int64)),
    ),
    _row(
        "few",
        "too few rows to keep some for testing",
        "x.npy",
        "AT/x.npy: needs at least 10 rows, as one in 10 is a test row, got 3",
        saved("x.npy", np.zeros((3, 3), np.float32)),
    ),
    _row(
        "nan",
        "a value that is no number",
        "x.npy",
        "AT/x.npy: values must be finite float32, got nan at row 7, column 2; clean the data",
        saved("x.npy", np.where(np.arange(60).reshape(20, 3) == 23, np.nan, 0.0)),
    ),
    _row(
        "channels-last",
        "images with their channels last",
        "x.npy",
        "AT/x.npy: images must be [n, channels, height, width], got [20, 8, 8, 3], whose channels look to be last; "
        "move them with numpy.moveaxis(x, 3, 1), or say --layout image where they are not",
        saved("x.npy", np.zeros((20, 8, 8, 3), np.uint8)),
    ),
    _row(
        "pipe",
        "a pipe in place of a file",
        "x.npy",
        "AT/x.npy: not a readable .npy file (not a regular file); write it with numpy.save",
        piped("x.npy"),
    ),
    _row(
        "names",
        "an archive of which no array is the rows",
        "rows.npz",
        "AT/rows.npz: must hold x_train and x_test, or x, or one array alone, got one, two; rename its arrays",
        archived,
    ),
    _row(
        "archive",
        "an archive that is none",
        "rows.npz",
        "AT/rows.npz: not a readable .npz file (File is not a zip file); write it with numpy.savez",
        written("rows.npz", b"no archive"),
    ),
    _row(
        "cell",
        "a table with an empty cell",
        "table.csv",
        "AT/table.csv: column b has no value at line 3; fill it, leave the row out, or drop the column",
        table("a,b\n1,2\n3,\n"),
    ),
    _row(
        "ragged",
        "a line of a table that is too long",
        "table.csv",
        "AT/table.csv: line 3 must have 2 cells as the header has, got 3; mend the line",
        table("a,b\n1,2\n3,4,5\n"),
    ),
    _row(
        "header",
        "a table without a header",
        "table.csv",
        "AT/table.csv: line 1 must name the columns, got the number 1; write a header above the values",
        table("1,2\n3,4\n"),
    ),
    _row(
        "encoding",
        "a table that is not UTF-8",
        "table.csv",
        "AT/table.csv: line 2 is not UTF-8; save the file as UTF-8",
        written("table.csv", b"a,b\nM\xfcnchen,2\n"),
    ),
    _row(
        "column",
        "a column that the table does not have",
        "table.csv --column age=drop",
        "column: AT/table.csv has no column 'age'; it has a, b",
        table("a,b\n1,2\n3,4\n"),
        code=2,
    ),
    _row(
        "parquet",
        "a .parquet file that is none",
        "table.parquet",
        "AT/table.parquet: not a readable .parquet file (<reason>); write it again",
        written("table.parquet", b"no table"),
    ),
    _row(
        "table-pipe",
        "a pipe in place of a table",
        "table.csv",
        "AT/table.csv: cannot be read (not a regular file); check the file",
        piped("table.csv"),
    ),
    _row(
        "parquet-pipe",
        "a pipe in place of a .parquet file",
        "table.parquet",
        "AT/table.parquet: not a readable .parquet file (not a regular file); write it again",
        piped("table.parquet"),
    ),
    _row(
        "idx",
        "an idx file of another type",
        "train-images-idx3-ubyte",
        "AT/train-images-idx3-ubyte: idx type must be 0x08 (unsigned bytes), got 0x0d; convert it to .npy",
        idx(bytes([0, 0, 13, 3])),
    ),
    _row(
        "idx-cut",
        "an idx file that is cut short",
        "train-images-idx3-ubyte",
        "AT/train-images-idx3-ubyte: [12, 6, 6] needs 432 bytes of values, got 400; fetch or copy the file again",
        idx(bytes([0, 0, 8, 3, 0, 0, 0, 12, 0, 0, 0, 6, 0, 0, 0, 6]) + bytes(400)),
    ),
    _row(
        "image",
        "an image that is broken",
        "photos",
        "AT/photos/07.png: cannot be read (<reason>); restore or remove it",
        images(("07.png", BROKEN)),
        during=cache,
    ),
    _row(
        "image-pipe",
        "a pipe in place of an image",
        "photos",
        "AT/photos/07.png: cannot be read (not a regular file); restore or remove it",
        piped_image,
        during=cache,
    ),
    _row(
        "image-size",
        "an image of another size",
        "photos",
        "AT/photos/07.png: images must have one size, 5 x 6 as 00.png, got 7 x 6; resize or remove it",
        images(("07.png", (6, 7))),
        during=cache,
    ),
    _row(
        "cache",
        "a cache that cannot be written",
        "photos",
        "AT/photos/00.png: cannot be written (File exists); check the path and the disk",
        images(),
        code=5,
        during=file_as_cache,
    ),
    _row(
        "home",
        "no home folder for the cache",
        "photos",
        "REPARAM_CACHE: there is no home folder to keep decoded images in; set REPARAM_CACHE",
        images(),
        code=5,
        during=homeless,
    ),
    _row(
        "labels",
        "labels of data that have none",
        "x.npy --labels AT/y.npy",
        "labels: AT/x.npy has none; leave --labels out",
        saved("x.npy", np.zeros((20, 3), np.float32)),
        code=2,
    ),
    Row(
        key="source-function",
        fault="a function that raises",
        way="reparam data os:getpgid --split all --out AT/out.npy",
        message="os:getpgid: raised TypeError: <reason>; mend the function",
        code=4,
    ),
    Row(
        key="source-module",
        fault="a function of a module that there is not",
        way="reparam data nowhere:rows --split all --out AT/out.npy",
        message="nowhere:rows: no module nowhere here; run where it can be imported",
        code=4,
    ),
    Row(
        key="source-place",
        fault="a result in a folder that there is not, found before anything is read",
        way="reparam data AT/x.npy --split all --out AT/nowhere/out.npy",
        message="AT/nowhere/out.npy: cannot be written (No such file or directory); make the folder first",
        code=5,
    ),
    Row(
        key="source-evaluate",
        fault="data of another shape than the bundle's",
        way="reparam evaluate AT/bundle AT/x.npy --device cpu",
        message="x: shape must be [n, 1, 8, 8], got [<n>, 3]",
        code=4,
        make=lambda place: (place.bundle(), np.save(place.at / "x.npy", np.zeros((20, 3), np.float32))),
    ),
]
