"""What may be wrong with rows: their shape, dtype and values, in files and in Python."""

from collections.abc import Callable
from typing import Any

import numpy as np

from catalogue.row import Place, Row

ENCODE = "reparam encode AT/bundle AT/x.npy --mean AT/out.npy --device cpu"


def changed(change: Callable[[Any], Any]) -> object:
    """A bundle, an old result, and rows that were changed."""

    def make(place: Place) -> None:
        np.save(place.at / "x.npy", change(place.both()))

    return make


def spoilt(value: float) -> Callable[[Any], Any]:
    def change(x: Any) -> Any:
        x[3, 0, 2, 5] = value
        return x

    return change


def noise(place: Place) -> None:
    place.both()
    np.save(place.at / "eps.npy", np.zeros((1, 2), np.float32))


def _row(key: str, fault: str, message: str, make: object, way: str = ENCODE, **more: Any) -> Row:
    return Row(key=f"array-{key}", fault=fault, way=way, message=message, code=4, make=make, **more)  # type: ignore[arg-type]


ROWS = [
    _row(
        "integers",
        "whole numbers",
        "x: dtype must be float32 (float64 and float16 are converted), got int64; bring it to the range the model was "
        "trained on, then .astype('float32')",
        changed(lambda x: x.astype(np.int64)),
    ),
    _row(
        "shape",
        "rows of another shape",
        "x: shape must be [n, 1, 8, 8], got [5, 1, 8, 9]",
        changed(lambda x: np.repeat(x, 2, axis=-1)[..., :9]),
    ),
    _row(
        "one",
        "one row without the axis of rows",
        "x: shape must be [n, 1, 8, 8], got one row [1, 8, 8]; add the batch axis with x[None]",
        changed(lambda x: x[0]),
    ),
    _row(
        "nan",
        "a value that is no number",
        "x: must be finite, got nan at row 3, column [0, 2, 5]; clean the data, or in Python pass allow_nan=True",
        changed(spoilt(np.nan)),
    ),
    _row(
        "large",
        "a float64 beyond float32",
        "x: must be finite, got inf at row 3, column [0, 2, 5]; clean the data, or in Python pass allow_nan=True",
        changed(lambda x: spoilt(1e300)(x.astype(np.float64))),
    ),
    _row(
        "noise",
        "noise of other rows",
        "eps: must have one row for each row of x, 5, got 1; rows are never shared",
        noise,
        "reparam sample AT/bundle AT/x.npy --eps AT/eps.npy --out AT/out.npy --device cpu",
    ),
    _row(
        "latent",
        "x where z is expected",
        "z: shape must be [n, 2], got [5, 1, 8, 8]",
        Place.both,
        "reparam decode AT/bundle AT/x.npy --out AT/out.npy --device cpu",
    ),
    _row(
        "list",
        "a list in Python",
        "x: must be a numpy array [n, 1, 8, 8], got builtins.list; convert it with numpy.asarray",
        Place.both,
        "vae.encode(x.tolist())",
        error="InputTypeError",
    ),
    _row(
        "masked",
        "a masked array",
        "x: masked arrays are refused, their mask would be lost; fill it with .filled(value)",
        Place.both,
        "vae.encode(np.ma.masked_array(x, x > 0.5))",
        error="InputTypeError",
    ),
    _row(
        "out",
        "a result's place that is read too",
        "out: must share no memory with what the call reads; pass an array of its own",
        Place.both,
        "vae.reconstruct(x, out=x)",
        error="InputError",
    ),
    _row(
        "stream",
        "a part of a stream that does not fit",
        "x, part 2: shape must be [n, 1, 8, 8], got [5, 1, 8]",
        Place.both,
        'list(vae.stream(iter([x, x[..., 0]]), op="encode"))',
        error="InputError",
    ),
    _row(
        "none",
        "no rows where some are needed",
        "x: must have at least one row to be evaluated, got none",
        Place.both,
        "vae.evaluate(x[:0])",
        error="InputError",
    ),
]
