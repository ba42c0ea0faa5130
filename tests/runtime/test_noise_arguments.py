"""What `noise` refuses, and that each message names the argument, the rule and what was found."""

from typing import Any

import numpy as np
import pytest

import reparam
from reparam.errors import InputError, InputTypeError, OptionError, ReparamError

GOOD: dict[str, Any] = {"law": "normal", "seed": 7, "rows": range(4), "shape": (3,), "stream": "posterior", "draw": 0}


@pytest.mark.parametrize(
    ("name", "value", "kind", "message"),
    [
        ("law", "cauchy", OptionError, "law: must be one of normal, uniform, laplace, got 'cauchy'"),
        ("law", None, OptionError, "law: must be one of"),
        ("law", ["normal"], OptionError, "law: must be one of"),
        ("stream", "poster", OptionError, "stream: must be one of posterior, prior, data, got 'poster'"),
        ("stream", 0, OptionError, "stream: must be one of"),
        ("seed", -1, OptionError, r"seed: must be an integer from 0 to 2\^64 - 1, got -1"),
        ("seed", 2**64, OptionError, r"seed: must be an integer from 0 to 2\^64 - 1, got 18446744073709551616"),
        ("seed", 1.0, OptionError, r"seed: must be an integer from 0 to 2\^64 - 1, got 1\.0"),
        ("seed", "7", OptionError, "seed: must be an integer .* got '7'"),
        ("seed", None, OptionError, "seed: must be an integer .* got None"),
        ("draw", -1, OptionError, r"draw: must be an integer from 0 to 2\^30 - 1, got -1"),
        ("draw", 2**30, OptionError, r"draw: must be an integer from 0 to 2\^30 - 1"),
        ("rows", range(-1, 3), InputError, r"rows: row numbers start at 0, got range\(-1, 3\)"),
        ("rows", range(3, -2, -1), InputError, "rows: row numbers start at 0"),
        ("rows", range(2**64 - 1, 2**64 + 1), InputError, r"rows: row numbers must be below 2\^64"),
        ("rows", np.array([3, -5]), InputError, "rows: row numbers start at 0, got -5"),
        ("rows", np.array([[1]]), InputError, r"rows: must have one dimension, got shape \[1, 1\]"),
        ("rows", np.array(1), InputError, r"rows: must have one dimension, got shape \[\]"),
        ("rows", np.array([1.0]), InputTypeError, "rows: must be a range or an array of integers, got dtype float64"),
        ("rows", np.array([True]), InputTypeError, "rows: must be a range or an array of integers, got dtype bool"),
        ("rows", None, InputTypeError, "rows: must be a range or an array of integers"),
        ("shape", (3, -1), InputError, "shape: must be an integer of at least 0, got -1"),
        ("shape", (2**35,), InputError, r"shape: a row has at most 2\^34 values"),
    ],
)
def test_a_bad_argument_is_refused_by_name(name: str, value: Any, kind: type[ReparamError], message: str) -> None:
    with pytest.raises(kind, match=f"^{message}") as caught:
        reparam.noise(**(GOOD | {name: value}))
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("draw", 0.5),  # 4 * 0.5 + 0 would be the stream word of another stream
        ("draw", "1"),
        ("shape", 3),
        ("shape", (2.5,)),
        ("shape", (2**32, 2**32)),  # the product wraps to 0 in 64 bits
        ("rows", range(2**64)),
        ("rows", np.ma.masked_array([1, 2], [True, False])),
    ],
)
def test_an_argument_of_the_wrong_kind_is_refused_by_name_too(name: str, value: Any) -> None:
    with pytest.raises(ReparamError, match=f"^{name}: "):
        reparam.noise(**(GOOD | {name: value}))


@pytest.mark.parametrize("rows", [range(5, 6, 2**70), range(5, 4, 2**70), range(5, 4, -(2**70))])
def test_a_range_of_at_most_one_row_may_have_any_step(rows: range) -> None:
    found = reparam.noise("normal", 7, rows, (3,))
    np.testing.assert_array_equal(found, reparam.noise("normal", 7, np.array(list(rows), np.uint64), (3,)))


def test_numpy_integers_are_integers() -> None:
    plain = reparam.noise("normal", 7, range(4), (3,), draw=1)
    found = reparam.noise("normal", np.uint64(7), range(4), (np.int32(3),), draw=np.int64(1))
    np.testing.assert_array_equal(found, plain)
