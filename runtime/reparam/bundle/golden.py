"""golden.npz: what the source model gave, so that anyone can repeat the verification without it.

One .npy member for each array and batch size, named `x_3`, `eps_3`, `mean_3` ...; x, eps and every output of both
graphs, float32, the decoder fed with the source's own z.
"""

import io
import zipfile
from collections.abc import Mapping

import numpy as np

from reparam.arrays import FloatArray
from reparam.bundle.manifest import Manifest
from reparam.errors import BundleError

Vectors = Mapping[str, FloatArray]  # arrays by name, for one batch size


def golden_shapes(manifest: Manifest, batch: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the arrays that golden.npz holds for one batch size."""
    rows = {**manifest.encoder_inputs, **manifest.encoder_outputs, **manifest.decoder_outputs}
    return {name: (batch, *shape) for name, shape in rows.items()}


def encode_golden(vectors: Mapping[int, Vectors]) -> bytes:
    """The bytes of golden.npz from arrays by batch size; the same arrays give the same bytes."""
    buffer = io.BytesIO()
    named = {f"{name}_{batch}": array for batch, arrays in vectors.items() for name, array in arrays.items()}
    np.savez(buffer, allow_pickle=False, **named)
    return buffer.getvalue()


def decode_golden(data: bytes, manifest: Manifest, *, where: str) -> dict[int, dict[str, FloatArray]]:
    """The arrays of golden.npz by batch size and name.

    Raises:
        BundleError: not such an archive, or an array is missing or of another shape or dtype.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            return {batch: _one(archive, manifest, batch) for batch in manifest.golden.batches}
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise BundleError(f"{where}: not the golden vectors of this bundle: {error}; export it again") from None


def _one(archive: Mapping[str, FloatArray], manifest: Manifest, batch: int) -> dict[str, FloatArray]:
    arrays: dict[str, FloatArray] = {}
    for name, shape in golden_shapes(manifest, batch).items():
        array = archive[f"{name}_{batch}"]
        if array.shape != shape or array.dtype != np.dtype(np.float32):
            raise ValueError(f"{name}_{batch} must be float32 {list(shape)}, found {array.dtype} {list(array.shape)}")
        arrays[name] = array
    return arrays
