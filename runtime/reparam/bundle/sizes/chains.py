"""Sizes of recurrent nets and of sums over named axes."""

import math
from typing import Final

from reparam.bundle.sizes.elements import Rule
from reparam.bundle.sizes.sized import Call, Sized, same

GATES: Final = {"LSTM": 4, "GRU": 3, "RNN": 1}


def _recurrent(call: Call) -> list[Sized]:
    """Rows [steps, batch, width], weights [directions, gates * hidden, width or hidden]; all rows have all steps."""
    x, w, r, bias = call.given(0), call.given(1), call.given(2), call.optional(3)
    gates, hidden = GATES[call.node.operator], call.whole("hidden_size", 0)
    directions = 2 if call.word("direction", "forward") == "bidirectional" else 1
    if len(x.shape) != 3 or hidden < 1:
        raise ValueError(f"takes [steps, batch, width] and a hidden_size, got {list(x.shape)} and {hidden}")
    if call.optional(4) is not None:
        raise ValueError("sequence_lens is not allowed: every row has all steps")
    steps, batch, width = x.shape
    same(w.shape, (directions, gates * hidden, width), "W")
    same(r.shape, (directions, gates * hidden, hidden), "R")
    if bias is not None:
        same(bias.shape, (directions, 2 * gates * hidden), "B")
    state = directions, batch, hidden
    for place in (5, 6):
        if (first := call.optional(place)) is not None:
            same(first.shape, state, f"input {place}")
    found = [Sized(x.dtype, (steps, directions, batch, hidden)), Sized(x.dtype, state), Sized(x.dtype, state)]
    return found[: len(call.node.outputs)]


def letters(call: Call) -> tuple[dict[str, int], str]:
    """The sides that the letters of an equation stand for, and those of the result.

    Raises:
        ValueError: an equation that is not letters alone, or that the inputs do not fit.
    """
    taken, arrow, given = call.word("equation", "").replace(" ", "").partition("->")
    terms = taken.split(",")
    if not arrow or len(terms) != len(call.inputs) or not "".join([*terms, given, "a"]).isascii():
        raise ValueError("equation must be letters for each input, an arrow, and letters of the result")
    sides: dict[str, int] = {}
    for place, term in enumerate(terms):
        shape = call.given(place).shape
        if len(term) != len(shape) or len(set(term)) != len(term) or (term and not term.isalpha()):
            raise ValueError(f"equation: {term!r:.20} must be a letter for each axis of {list(shape)}")
        for letter, side in zip(term, shape, strict=True):
            if sides.setdefault(letter, side) != side:
                raise ValueError(f"equation: {letter} stands for {sides[letter]} and {side}")
    if len(set(given)) != len(given) or not set(given) <= sides.keys():
        raise ValueError(f"equation: {given!r:.20} must be letters of the inputs, each once")
    return sides, given


def _einsum(call: Call) -> list[Sized]:
    sides, given = letters(call)
    return [Sized(call.given(0).dtype, tuple(sides[letter] for letter in given))]


def work(call: Call) -> int:
    """Multiplications of a node."""
    if call.node.operator == "Einsum":
        return math.prod(letters(call)[0].values())
    return call.given(0).shape[0] * call.given(0).shape[1] * (call.given(1).size + call.given(2).size)


def scratch(call: Call) -> int:
    """Bytes beside inputs and outputs: the gates of all steps; inputs in another order, and their product unsummed."""
    if call.node.operator == "Einsum":
        return 4 * (sum(call.given(place).size for place in range(len(call.inputs))) + work(call))
    steps, batch = call.given(0).shape[:2]
    return 8 * steps * batch * math.prod(call.given(1).shape[:2])


RULES: Final[dict[str, Rule]] = {
    "Einsum": _einsum,
    "GRU": _recurrent,
    "LSTM": _recurrent,
    "RNN": _recurrent,
}
