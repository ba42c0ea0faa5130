"""What arrays a model takes: every layout of the float types that are converted, and nothing else."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reparam
from reparam.errors import InputError, InputTypeError, OptionError, ReparamError

Array = npt.NDArray[Any]
Rows = Callable[[int], npt.NDArray[np.float32]]
FLOATS = ["<f4", ">f4", "<f8", ">f8", "<f2", ">f2"]


def unaligned(a: Array) -> Array:
    buffer = bytearray(a.nbytes + 1)
    found = np.frombuffer(buffer, a.dtype, a.size, offset=1).reshape(a.shape)
    found[...] = a
    return found


def read_only(a: Array) -> Array:
    a = a.copy()
    a.flags.writeable = False
    return a


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "every second row": lambda a: np.repeat(a, 2, axis=0)[::2],
    "every second value": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "rows backwards": lambda a: a[::-1].copy()[::-1],
    "values backwards": lambda a: a[..., ::-1].copy()[..., ::-1],
    "axes stored the other way": lambda a: a.T.copy().T,
    "unaligned": unaligned,
    "read-only": read_only,
    "a subclass": lambda a: a.view(np.recarray),
}


@given(st.sampled_from(FLOATS), st.sampled_from(sorted(LAYOUTS)), st.integers(0, 9))
def test_every_layout_and_float_type_gives_the_float32_result_to_the_bit(
    vae: reparam.VAE, rows_of: Rows, dtype: str, layout: str, n: int
) -> None:
    x, z = (LAYOUTS[layout](a.astype(dtype)) for a in (rows_of(n), vae.encode(rows_of(n)).mean))
    plain_x, plain_z = (np.ascontiguousarray(a, np.float32) for a in (x, z))
    np.testing.assert_array_equal(vae.encode(x).mean, vae.encode(plain_x).mean)
    np.testing.assert_array_equal(vae.encode(x).logvar, vae.encode(plain_x).logvar)
    np.testing.assert_array_equal(vae.decode(z), vae.decode(plain_z))
    np.testing.assert_array_equal(vae.sample(x, eps=z), vae.sample(plain_x, eps=plain_z))


def test_broadcast_rows_are_read_as_rows(vae: reparam.VAE, rows_of: Rows) -> None:
    x = np.broadcast_to(rows_of(1)[0], (5, *vae.manifest.input.shape))
    np.testing.assert_array_equal(vae.encode(x).mean, vae.encode(x.copy()).mean)


def test_inputs_are_never_written_to(vae: reparam.VAE, rows_of: Rows) -> None:
    x, eps = rows_of(5), reparam.noise("normal", 1, range(5), vae.manifest.latent.shape)
    before = x.copy(), eps.copy()
    vae.reconstruct(x, eps=eps)
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(eps, before[1])


WRONG_TYPES: dict[str, tuple[Callable[[Array], Any], str]] = {
    "integers": (lambda a: a.astype(np.int64), "dtype must be float32 .* got int64"),
    "bytes": (lambda a: a.astype(np.uint8), "dtype must be float32 .* got uint8"),
    "booleans": (lambda a: a > 0, "dtype must be float32 .* got bool"),
    "complex": (lambda a: a.astype(np.complex64), "dtype must be float32 .* got complex64"),
    "objects": (lambda a: a.astype(object), "dtype must be float32 .* got object"),
    "long doubles": (lambda a: a.astype(np.longdouble), "dtype must be float32 .* got float128|longdouble"),
    "text": (lambda a: a.astype("U8"), "dtype must be float32"),
    "records": (lambda a: a.view([("value", "<f4")]), "dtype must be float32"),
    "a list": (lambda a: a.tolist(), r"must be a numpy array .* got builtins\.list; convert it with numpy\.asarray"),
    "None": (lambda _: None, r"must be a numpy array .* got builtins\.NoneType"),
    "a number": (lambda _: 1.0, r"must be a numpy array .* got builtins\.float"),
    "a numpy number": (lambda a: a.ravel()[0], r"must be a numpy array .* got numpy\.float32"),
    "a memoryview": (memoryview, r"must be a numpy array .* got builtins\.memoryview"),
    "a masked array": (np.ma.masked_array, r"masked arrays are refused, .* \.filled\(value\)"),
}
WRONG_SHAPES: dict[str, tuple[Callable[[Array], Array], str]] = {
    "a 0-d array": (lambda a: np.array(a.ravel()[0]), r"shape must be \[n, .*\], got \[\]"),
    "one row": (lambda a: a[0], r"shape must be \[n, .*\], got one row .*; add the batch axis with x\[None\]"),
    "an axis too many": (lambda a: a[None], r"shape must be \[n, .*\], got \[1, 3, "),
    "a value too many": (lambda a: np.repeat(a, 2, axis=-1), r"shape must be \[n, .*\], got \[3, "),
    "no values": (lambda a: a[..., :0], r"shape must be \[n, .*\], got \[3, .*0\]"),
    "flat": (lambda a: a.reshape(-1), r"shape must be \[n, .*\], got \[\d+\]"),
}


@pytest.mark.parametrize("name", WRONG_TYPES)
def test_another_type_is_refused_by_name(vae: reparam.VAE, rows_of: Rows, name: str) -> None:
    change, message = WRONG_TYPES[name]
    for call in (vae.encode, vae.reconstruct, lambda x: vae.sample(x, seed=7), lambda x: vae.stream(x, op="encode")):
        with pytest.raises(InputTypeError, match=f"^x: {message}") as caught:
            call(change(rows_of(3)))
        assert isinstance(caught.value, TypeError)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", WRONG_SHAPES)
def test_another_shape_is_refused_by_name(vae: reparam.VAE, rows_of: Rows, name: str) -> None:
    change, message = WRONG_SHAPES[name]
    for call in (vae.encode, vae.reconstruct, lambda x: vae.sample(x, seed=7), lambda x: vae.stream(x, op="encode")):
        with pytest.raises(InputError, match=f"^x: {message}") as caught:
            call(change(rows_of(3)))
        assert isinstance(caught.value, ValueError)
        assert not isinstance(caught.value, TypeError)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_the_first_value_that_is_not_finite_is_named_by_row_and_column(
    load_at: Callable[..., reparam.VAE], rows_of: Rows, value: float
) -> None:
    x = rows_of(9).astype(np.float64)
    last = tuple(size - 1 for size in x.shape[1:])
    x[7, *last] = x[8] = value
    column = ", ".join(map(str, last))
    found = f"{np.float64(value) if abs(value) != 1e300 else np.inf}"
    for max_batch in (2, 256):
        with pytest.raises(InputError, match=rf"^x: must be finite, got {found} at row 7, column \[{column}\]; "):
            load_at(max_batch).encode(x)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_pass_where_they_are_allowed(vae: reparam.VAE, rows_of: Rows, value: float) -> None:
    x = rows_of(4)
    x[2] = value
    z = vae.sample(x, seed=7, allow_nan=True)
    np.testing.assert_array_equal(z[[0, 1, 3]], vae.sample(rows_of(4), seed=7)[[0, 1, 3]])


def test_noise_and_latents_are_held_to_the_same_rules(vae: reparam.VAE, rows_of: Rows) -> None:
    good = reparam.noise("normal", 1, range(3), vae.manifest.latent.shape)
    bad = good.copy()
    bad[1, 0] = np.nan
    for name, call in (("z", vae.decode), ("eps", lambda eps: vae.sample(rows_of(3), eps=eps))):
        with pytest.raises(InputTypeError, match=f"^{name}: dtype must be float32"):
            call(good.astype(int))
        with pytest.raises(InputTypeError, match=f"^{name}: must be a numpy array"):
            call(good.tolist())
        with pytest.raises(InputError, match=rf"^{name}: shape must be \["):
            call(good[:, :-1])
        with pytest.raises(InputError, match=rf"^{name}: must be finite, got nan at row 1, column \[0"):
            call(bad)


@pytest.mark.parametrize("rows", [1, 2, 4])
def test_eps_is_never_shared_between_rows(vae: reparam.VAE, rows_of: Rows, rows: int) -> None:
    eps = np.zeros((rows, *vae.manifest.latent.shape), np.float32)
    for call in (vae.sample, vae.reconstruct):
        with pytest.raises(InputError, match=f"^eps: must have one row for each row of x, 3, got {rows}; "):
            call(rows_of(3), eps=eps)


def test_noise_is_given_exactly_once(vae: reparam.VAE, rows_of: Rows) -> None:
    x, eps = rows_of(3), np.zeros((3, *vae.manifest.latent.shape), np.float32)
    for given_noise in ({}, {"eps": eps, "seed": 7}):
        with pytest.raises(OptionError, match=r"^eps, seed: give exactly one; for example seed=7"):
            vae.sample(x, **given_noise)
    with pytest.raises(OptionError, match=r"^eps, seed: give exactly one"):
        vae.reconstruct(x, eps=eps, seed=7)
    with pytest.raises(OptionError, match=r"^first_row: numbers the rows for seed; without a seed leave it out"):
        vae.sample(x, eps=eps, first_row=1)
    for op in ("encode", "decode"):
        rows = x if op == "encode" else eps
        with pytest.raises(OptionError, match=f"^eps, seed: {op} draws nothing"):
            vae.stream(rows, op=op, seed=7)


def test_first_row_means_nothing_without_a_seed(vae: reparam.VAE, rows_of: Rows) -> None:
    with pytest.raises(OptionError, match=r"^first_row: "):
        vae.reconstruct(rows_of(3), first_row=1)


@pytest.mark.parametrize("value", [-1, 2**64, 1.5, "1", None])
def test_a_row_number_that_cannot_be_is_refused_by_name(vae: reparam.VAE, rows_of: Rows, value: Any) -> None:
    for n in (0, 3):
        for call in (
            lambda n=n: vae.sample(rows_of(n), seed=7, first_row=value),
            lambda n=n: vae.generate(n, seed=7, first_row=value),
        ):
            with pytest.raises(ReparamError, match=r"^first_row: "):
                call()


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, None])
def test_a_bad_seed_is_refused_even_where_there_are_no_rows(vae: reparam.VAE, rows_of: Rows, seed: Any) -> None:
    for n in (3, 0):
        with pytest.raises(OptionError, match=r"^(eps, )?seed: "):
            vae.sample(rows_of(n), seed=seed)
        with pytest.raises(OptionError, match=r"^seed: "):
            vae.generate(n, seed=seed)


@pytest.mark.parametrize("n", [-1, 2.5, "3", None, 10**30])
def test_a_number_of_rows_that_cannot_be_is_refused_by_name(vae: reparam.VAE, n: Any) -> None:
    with pytest.raises(ReparamError, match=r"^n: "):
        vae.generate(n, seed=7)


@pytest.mark.parametrize("steps", [-1, 0, 1, 2.5, "3"])
def test_a_line_has_at_least_its_two_ends(vae: reparam.VAE, rows_of: Rows, steps: Any) -> None:
    with pytest.raises(OptionError, match=r"^steps: "):
        vae.interpolate(rows_of(2), rows_of(2), steps=steps)


def test_both_ends_of_a_line_are_named_by_their_arguments(vae: reparam.VAE, rows_of: Rows) -> None:
    with pytest.raises(InputTypeError, match=r"^a: "):
        vae.interpolate(rows_of(2).astype(int), rows_of(2))
    with pytest.raises(InputError, match=r"^b: must have one row for each row of a, 2, got 3"):
        vae.interpolate(rows_of(2), rows_of(3))


@pytest.mark.parametrize("op", ["Encode", "generate", None, ["encode"]])
def test_a_stream_of_an_unknown_operation_is_refused(vae: reparam.VAE, rows_of: Rows, op: Any) -> None:
    with pytest.raises(OptionError, match=r"^op: must be one of encode, sample, decode, reconstruct, got "):
        vae.stream(rows_of(3), op=op)


def outs(shape: tuple[int, ...]) -> dict[str, tuple[Any, type[InputError], str]]:
    frozen = np.empty(shape, np.float32)
    frozen.flags.writeable = False
    return {
        "a list": ([], InputTypeError, "must be a float32 numpy array"),
        "float64": (np.empty(shape), InputTypeError, "must be a float32 numpy array .* got float64"),
        "big-endian": (np.empty(shape, ">f4"), InputTypeError, "must be a float32 numpy array .* got >f4"),
        "a row too many": (np.empty((4, *shape[1:]), np.float32), InputError, r"shape must be \[3, .*\], got \[4, "),
        "strided": (np.empty((6, *shape[1:]), np.float32)[::2], InputError, "must be C-contiguous and writeable"),
        "read-only": (frozen, InputError, "must be C-contiguous and writeable"),
    }


def test_an_out_that_cannot_be_written_in_place_is_refused(vae: reparam.VAE, rows_of: Rows) -> None:
    for out, kind, message in outs((3, *vae.manifest.latent.shape)).values():
        with pytest.raises(kind, match=f"^out: {message}"):
            vae.sample(rows_of(3), seed=7, out=out)
        with pytest.raises(kind, match=rf"^out\[1\]: {message}"):
            vae.encode(rows_of(3), out=(np.empty((3, *vae.manifest.latent.shape), np.float32), out))


def test_encode_takes_two_different_outs(vae: reparam.VAE, rows_of: Rows) -> None:
    one = np.empty((3, *vae.manifest.latent.shape), np.float32)
    for out in ((one,), (one, one, one), 5, (one, one)):
        with pytest.raises(InputError, match=r"^out"):
            vae.encode(rows_of(3), out=out)  # type: ignore[arg-type]


def test_a_program_that_lets_numpy_raise_changes_nothing(vae: reparam.VAE, rows_of: Rows) -> None:
    x = rows_of(4).astype(np.float64)
    x[0] = 1e-300  # 0 in float32
    wanted = vae.encode(x).mean, vae.elbo(x, seed=7), vae.generate(3, seed=7)
    with np.errstate(all="raise"):
        found = vae.encode(x).mean, vae.elbo(x, seed=7), vae.generate(3, seed=7)
        x[0] = 1e300
        with pytest.raises(InputError, match="x: must be finite, got inf at row 0"):
            vae.encode(x)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)
