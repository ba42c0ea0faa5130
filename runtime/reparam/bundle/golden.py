"""golden.npz: what the source model gave, so that anyone can repeat the verification without it.

One .npy member for each array and batch size, named `x_3`, `eps_3`, `mean_3` ...; x, eps and every output of both
graphs, float32, the decoder fed with the source's own z.
"""

import io
import math
import zipfile
import zlib
from collections.abc import Mapping
from typing import Final

import numpy as np

from reparam.arrays import FloatArray
from reparam.bundle.manifest import Manifest
from reparam.errors import BundleError
from reparam.files.npy import read_header

_BROKEN: Final = (zipfile.BadZipFile, zlib.error)
Vectors = Mapping[str, FloatArray]  # arrays by name, for one batch size


def golden_shapes(manifest: Manifest, batch: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the arrays that golden.npz holds for one batch size."""
    rows = {**manifest.encoder_inputs, **manifest.encoder_outputs, **manifest.decoder_outputs}
    return {name: (batch, *shape) for name, shape in rows.items()}


def encode_golden(vectors: Mapping[int, Vectors]) -> bytes:
    """The bytes of golden.npz from arrays by batch size; the same arrays give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for batch, arrays in vectors.items():
            for name, array in arrays.items():
                # a ZipInfo of its own has a fixed date; numpy.savez of old versions stores its options as members
                with archive.open(zipfile.ZipInfo(f"{name}_{batch}.npy"), "w") as file:
                    np.lib.format.write_array(file, np.asarray(array, "<f4"), allow_pickle=False)
    return buffer.getvalue()


def decode_golden(data: bytes, manifest: Manifest, *, where: str) -> dict[int, dict[str, FloatArray]]:
    """The arrays of golden.npz by batch size and name.

    Raises:
        BundleError: not such an archive, or an array is missing or of another shape or dtype.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return {batch: _one(archive, manifest, batch) for batch in manifest.golden.batches}
    except (ValueError, KeyError, OSError, EOFError, NotImplementedError, RuntimeError, *_BROKEN) as error:
        raise BundleError(f"{where}: not the golden vectors of this bundle: {error}; export it again") from None


def _one(archive: zipfile.ZipFile, manifest: Manifest, batch: int) -> dict[str, FloatArray]:
    shapes = golden_shapes(manifest, batch)
    return {name: _member(archive, f"{name}_{batch}", shape) for name, shape in shapes.items()}


def _member(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...]) -> FloatArray:
    """One array, read no further than its expected size."""
    size = 4 * math.prod(shape)
    with archive.open(f"{name}.npy") as file:
        dtype, fortran, found = read_header(file)
        if (dtype, fortran, found) != (np.dtype("<f4"), False, shape):
            raise ValueError(f"{name} must be float32 {list(shape)}, found {dtype} {list(found)}")
        values = file.read(size + 1)
    if len(values) != size:
        raise ValueError(f"{name} must have {size} bytes of values, found {'more' if values[size:] else len(values)}")
    return np.frombuffer(values, "<f4").reshape(shape).astype(np.float32, copy=False)
