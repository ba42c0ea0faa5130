"""What may be wrong with a .npy file: its header, its length, what it is."""

import os
import struct

import numpy as np

from catalogue.row import Place, Row

HEADER = "{'descr': '<f4', 'fortran_order': False, 'shape': (5, 1, 8, 8), }"
WAY = "reparam encode AT/bundle AT/x.npy --mean AT/out.npy --device cpu"


def raw(header: str, data: int = 5 * 256, *, version: int = 1, start: bytes = b"\x93NUMPY") -> object:
    """A bundle, an old result, and a file with this header and so many bytes of zeros."""

    def make(place: Place) -> None:
        place.both()
        size = struct.pack("<H" if version == 1 else "<I", len(header))
        (place.at / "x.npy").write_bytes(start + bytes([version, 0]) + size + header.encode() + bytes(data))

    return make


def piped(place: Place) -> None:
    place.both()
    (place.at / "x.npy").unlink()
    os.mkfifo(place.at / "x.npy")


def archived(place: Place) -> None:
    np.savez(place.at / "x.npz", x=place.both())
    (place.at / "x.npz").replace(place.at / "x.npy")


def foldered(place: Place) -> None:
    place.both()
    (place.at / "x.npy").unlink()
    (place.at / "x.npy").mkdir()


def _row(key: str, fault: str, reason: str, make: object) -> Row:
    return Row(
        key=f"npy-{key}",
        fault=fault,
        way=WAY,
        message=f"AT/x.npy: not a readable .npy file ({reason}); write it with numpy.save",
        code=4,
        make=make,  # type: ignore[arg-type]
    )


ROWS = [
    Row(
        key="npy-missing",
        fault="no such file",
        way="reparam encode AT/bundle AT/nothing.npy --mean AT/out.npy --device cpu",
        message="AT/nothing.npy: no such file; give a .npy file",
        code=4,
        make=Place.both,
    ),
    _row("archive", "a .npz archive by another name", "it does not start as a .npy file does", archived),
    _row(
        "version",
        "a version of the format that there is not",
        "it does not start as a .npy file does",
        raw(HEADER, version=9),
    ),
    _row("pipe", "a pipe", "not a regular file", piped),
    _row("folder", "a folder", "Is a directory", foldered),
    _row("long", "a header of 5,000 bytes", "its header must have at most 4096 bytes", raw(HEADER + " " * 5000)),
    _row(
        "code", "a header that is no dictionary", "its header is no plain dictionary", raw("__import__('os').getcwd()")
    ),
    _row(
        "keys",
        "a header with another key",
        "its header must have descr, fortran_order and shape",
        raw("{'descr': '<f4'}"),
    ),
    _row("objects", "Python objects", "its values must be numbers, got '|O'", raw(HEADER.replace("<f4", "|O"))),
    _row(
        "dtype", "a dtype that there is not", "its values must be numbers, got '<f5'", raw(HEADER.replace("<f4", "<f5"))
    ),
    _row("negative", "a size below 0", "a size must be from 0 to 2^48 - 1, got -5", raw(HEADER.replace("(5", "(-5"))),
    _row(
        "huge",
        "sizes of more bytes than there are",
        "its header promises <n> bytes of values, it has 1280",
        raw(HEADER.replace("(5", "(99999999999")),
    ),
    _row("short", "a byte too few", "its header promises 1280 bytes of values, it has 1279", raw(HEADER, 1279)),
    _row("more", "a byte too many", "its header promises 1280 bytes of values, it has 1281", raw(HEADER, 1281)),
]
