"""golden.npz: what the source model gave, so that anyone can repeat the verification without it.

One .npy member for each array and batch size, named `x_3`, `eps_3`, `mean_3` ..., where height and width are dynamic
`x_3_16x24` ...; x, eps and every output of both graphs, in the graphs' dtypes, the decoder fed with the source's own z.
"""

import io
import math
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from reparam.bundle.manifest import Manifest
from reparam.errors import BundleError
from reparam.files.npy import read_header

_BROKEN: Final = (zipfile.BadZipFile, zlib.error)
Vectors = Mapping[str, npt.NDArray[Any]]  # arrays by name, for one case


class Case(NamedTuple):
    """A batch size, and height and width where they are dynamic."""

    batch: int
    size: tuple[int, int] | None = None

    def __str__(self) -> str:
        """As it stands in the names of golden.npz."""
        return str(self.batch) if self.size is None else f"{self.batch}_{self.size[0]}x{self.size[1]}"


def golden_cases(manifest: Manifest) -> list[Case]:
    """The cases that golden.npz holds."""
    golden = manifest.golden
    return [Case(batch, size) for size in golden.sizes or (None,) for batch in golden.batches]


def golden_shapes(manifest: Manifest, case: Case) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the arrays that golden.npz holds for one case."""
    if case.size is not None:
        manifest = manifest.at(case.size)
    rows = {**manifest.encoder_inputs, **manifest.encoder_outputs, **manifest.decoder_outputs}
    return {name: (case.batch, *shape) for name, shape in rows.items()}


def encode_golden(vectors: Mapping[Case, Vectors]) -> bytes:
    """The bytes of golden.npz from arrays by case; the same arrays give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for case, arrays in vectors.items():
            for name, array in arrays.items():
                # a ZipInfo of its own has a fixed date; numpy.savez of old versions stores its options as members
                with archive.open(zipfile.ZipInfo(f"{name}_{case}.npy"), "w") as file:
                    rows = np.ascontiguousarray(array, _little(array.dtype))  # torch may hand over columns first
                    np.lib.format.write_array(file, rows, allow_pickle=False)
    return buffer.getvalue()


def decode_golden(data: bytes, manifest: Manifest, *, where: str) -> dict[Case, dict[str, npt.NDArray[Any]]]:
    """The arrays of golden.npz by case and name.

    Raises:
        BundleError: not such an archive, or an array is missing or of another shape or dtype.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return {case: _one(archive, manifest, case) for case in golden_cases(manifest)}
    except (ValueError, KeyError, OSError, EOFError, NotImplementedError, RuntimeError, *_BROKEN) as error:
        raise BundleError(f"{where}: not the golden vectors of this bundle: {error}; export it again") from None


def _one(archive: zipfile.ZipFile, manifest: Manifest, case: Case) -> dict[str, npt.NDArray[Any]]:
    shapes = golden_shapes(manifest, case)
    return {name: _member(archive, f"{name}_{case}", shape, manifest.dtype(name)) for name, shape in shapes.items()}


def _little(dtype: npt.DTypeLike) -> np.dtype[Any]:
    """The dtype with its low byte first, as in the file."""
    return np.dtype(dtype).newbyteorder("<")


def _member(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...], wanted: str) -> npt.NDArray[Any]:
    """One array, read no further than its expected size."""
    size = np.dtype(wanted).itemsize * math.prod(shape)
    with archive.open(f"{name}.npy") as file:
        dtype, fortran, found = read_header(file)
        if (dtype, fortran, found) != (_little(wanted), False, shape):
            raise ValueError(f"{name} must be {wanted} {list(shape)}, found {dtype} {list(found)}")
        values = file.read(size + 1)
    if len(values) != size:
        raise ValueError(f"{name} must have {size} bytes of values, found {'more' if values[size:] else len(values)}")
    return np.frombuffer(values, _little(wanted)).reshape(shape).astype(wanted, copy=False)
