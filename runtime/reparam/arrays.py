"""What arrays may come in: checked by their shape and dtype at once, by their values when their rows are read.

The rule: float32 is expected; float64, float16 and other byte orders are converted; anything else is refused by name.
An array of another library that lies in the CPU's memory, such as a torch tensor, is read where it is, through DLPack.
"""

from collections.abc import Iterable
from math import isfinite, prod
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
from numpy import vdot

from reparam.errors import InputError, InputTypeError, OutOfMemory
from reparam.files.stored import Stored

FloatArray = npt.NDArray[np.float32]
RowSource = npt.NDArray[Any] | Stored  # rows in memory, or in a file that is read as they are asked for
FLOAT32: Final = np.dtype(np.float32)
_UINT8: Final = np.dtype(np.uint8)
_HOST: Final = (1, 3)  # DLPack's numbers for memory of the CPU, and of the CPU pinned for CUDA


def _list(shape: tuple[int | str, ...]) -> str:
    return "[" + ", ".join(str(size) for size in shape) + "]"


def in_numpy(array: object, *, name: str) -> object:
    """An array of another library as a numpy array over the same memory; anything else as it is.

    Raises:
        InputTypeError: it lies on another device, or its library does not give it away as it is.
    """
    if isinstance(array, np.ndarray):
        return cast("npt.NDArray[Any]", array)
    if not hasattr(array, "__dlpack__"):
        return array
    foreign = cast("Any", array)
    kind = f"{type(foreign).__module__}.{type(foreign).__qualname__}"
    try:
        here = foreign.__dlpack_device__()[0] in _HOST
        shared = np.from_dlpack(foreign) if here else None
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise InputTypeError(f"{name}: this {kind} cannot be read through DLPack: {error}") from None
    if shared is None:
        raise InputTypeError(
            f"{name}: must be in the CPU's memory, got a {kind} on another device; bring it over (for torch with "
            ".cpu()), or use vae.device_arrays() on the model's device"
        )
    return shared


def check_rows(
    array: object,
    *,
    name: str,
    row_shape: tuple[int, ...],
    dtype: np.dtype[Any] = FLOAT32,
    rows: int | None = None,
    rows_of: str = "x",
) -> npt.NDArray[Any]:
    """The array itself once its type, dtype and shape fit; its values are not read.

    Args:
        array: what the caller passed, expected as a floating-point numpy array [n, *row_shape], or as an array of
            another library in the CPU's memory.
        name: the argument's name, for messages.
        row_shape: shape of one row.
        dtype: float32, or uint8 for the images of a raw bundle.
        rows: how many rows it must have, or None for any number.
        rows_of: the argument that has so many, for messages.

    Raises:
        InputTypeError: not a numpy array, on another device, masked, or a dtype other than float16, float32, float64
            (other than uint8).
        InputError: another rank, row shape or number of rows.
    """
    if type(array) is np.ndarray and array.dtype is dtype and array.shape[1:] == row_shape and rows is None:
        return array  # what nearly every call passes, a microsecond earlier
    array = in_numpy(array, name=name)
    wanted = _list(("n" if rows is None else rows, *row_shape))
    if not isinstance(array, np.ndarray):
        raise InputTypeError(
            f"{name}: must be a numpy array {wanted}, got {type(array).__module__}.{type(array).__qualname__}; "
            "convert it with numpy.asarray"
        )
    rows_in = cast("npt.NDArray[Any]", array)
    if isinstance(rows_in, np.ma.MaskedArray):
        raise InputTypeError(
            f"{name}: masked arrays are refused, their mask would be lost; fill it with .filled(value)"
        )
    if dtype == _UINT8:
        if rows_in.dtype != _UINT8:
            raise InputTypeError(
                f"{name}: dtype must be uint8, 0 to 255, as this bundle takes images as they are; got {rows_in.dtype}"
            )
    elif rows_in.dtype.kind != "f" or rows_in.dtype.itemsize > 8:
        raise InputTypeError(
            f"{name}: dtype must be float32 (float64 and float16 are converted), got {rows_in.dtype}; "
            "bring it to the range the model was trained on, then .astype('float32')"
        )
    if rows_in.ndim == len(row_shape) and rows_in.shape == row_shape:
        raise InputError(
            f"{name}: shape must be {wanted}, got one row {_list(rows_in.shape)}; add the batch axis with {name}[None]"
        )
    if rows_in.shape[1:] != row_shape or rows_in.ndim == 0:
        raise InputError(f"{name}: shape must be {wanted}, got {_list(rows_in.shape)}")
    if rows is not None and len(rows_in) != rows:
        raise InputError(
            f"{name}: must have one row for each row of {rows_of}, {rows}, got {len(rows_in)}; rows are never shared"
        )
    return rows_in


def like(rows: object) -> object:
    """What has the dtype and shape of rows in a file, for the checks of both; anything else as it is."""
    return rows.stand_in() if isinstance(rows, Stored) else rows


def read_rows(
    array: RowSource, start: int, stop: int, *, name: str, allow_nan: bool, first: int = 0
) -> npt.NDArray[Any]:
    """Rows start to stop as contiguous float32 in native byte order, or uint8, without a copy where they already are.

    Args:
        array: checked rows.
        start: the first row to read.
        stop: the row after the last.
        name: the argument's name, for messages.
        allow_nan: let NaN and infinite values through.
        first: number of the array's first row, for messages: not 0 where the array is a part of the rows.

    Raises:
        InputError: a value is NaN or infinite (also once rounded to float32), unless `allow_nan`; or the file that
            holds the rows cannot be read.
    """
    rows = array if start == 0 and stop == len(array) and not isinstance(array, Stored) else array[start:stop]
    if rows.dtype is _UINT8:
        return np.ascontiguousarray(rows)
    if rows.dtype is not FLOAT32 or type(rows) is not np.ndarray or not rows.flags.c_contiguous:
        # float64 beyond float32 becomes infinite, which is refused below, and what is too small becomes 0
        with np.errstate(over="ignore", under="ignore"):
            rows = np.ascontiguousarray(rows, dtype=np.float32)
    if not allow_nan and not finite(rows):
        place = np.argwhere(~np.isfinite(rows))[0]
        value = rows[tuple(place)]
        raise InputError(
            f"{name}: must be finite, got {value} at row {first + start + int(place[0])}, "
            f"column {_list(tuple(place[1:]))}; "
            "clean the data, or in Python pass allow_nan=True"
        )
    return rows


def empty(shape: tuple[int, ...], dtype: npt.DTypeLike = FLOAT32) -> npt.NDArray[Any]:
    """A new array for results; `OutOfMemory` where there is no room for it."""
    try:
        return np.empty(shape, dtype)
    except (MemoryError, ValueError):  # more than there is, more than there are addresses
        told = f"{prod(shape) * np.dtype(dtype).itemsize:,} bytes"
        raise OutOfMemory(
            f"results of shape {list(shape)} take {told}, more than there are; ask for fewer rows at a time"
        ) from None


def finite(rows: npt.NDArray[Any]) -> bool:
    """Whether no value of a C-contiguous array is NaN or infinite, found without an array of answers.

    They are if their sum of squares is: one pass, at the speed of memory and with the least code that a run has driven
    out of the processor's caches. The sum may also leave float32's range; then the largest and the least decide, since
    NaN wins both.
    """
    if rows.dtype is _UINT8 or isfinite(vdot(rows, rows)):
        return True
    return isfinite(rows.max()) and isfinite(rows.min())


def check_pair(out: object, *, shape: tuple[int, ...], inputs: Iterable[object] = ()) -> tuple[FloatArray, FloatArray]:
    """The two arrays of `out` themselves, once they can take mean and logvar in place; see `check_out`.

    Raises:
        InputTypeError: no pair, or one of them no numpy array of native float32.
        InputError: they share memory, or one of them does not fit.
    """
    arrays = cast("tuple[FloatArray, ...]", out) if isinstance(out, tuple | list) else ()
    if len(arrays) != 2:
        raise InputTypeError("out: must be a pair of arrays, the first for mean and the second for logvar")
    one, other = arrays
    if np.may_share_memory(one, other):
        raise InputError("out: mean and logvar must be two arrays that share no memory")
    read = tuple(inputs)
    return (
        check_out(one, name="out[0]", shape=shape, inputs=read),
        check_out(other, name="out[1]", shape=shape, inputs=read),
    )


def check_out(
    out: object,
    *,
    name: str,
    shape: tuple[int, ...],
    dtype: npt.DTypeLike = np.float32,
    inputs: Iterable[object] = (),
) -> npt.NDArray[Any]:
    """`out` itself, once it can take the result in place.

    Raises:
        InputTypeError: not a numpy array of the dtype, in native byte order.
        InputError: another shape, not C-contiguous, read-only, or memory shared with one of the inputs.
    """
    if not isinstance(out, np.ndarray):
        found = type(out).__qualname__
        raise InputTypeError(f"{name}: must be a {np.dtype(dtype)} numpy array {_list(shape)}, got {found}")
    out = cast("npt.NDArray[Any]", out)
    if out.dtype != np.dtype(dtype):
        raise InputTypeError(f"{name}: must be a {np.dtype(dtype)} numpy array {_list(shape)}, got {out.dtype}")
    if out.shape != shape:
        raise InputError(f"{name}: shape must be {_list(shape)}, got {_list(out.shape)}")
    if not out.flags.c_contiguous or not out.flags.writeable:
        raise InputError(f"{name}: must be C-contiguous and writeable")
    read = [cast("npt.NDArray[Any]", array) for array in inputs if isinstance(array, np.ndarray)]
    if any(np.may_share_memory(out, array) for array in read):
        raise InputError(f"{name}: must share no memory with what the call reads; pass an array of its own")
    return out
