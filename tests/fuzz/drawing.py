"""Graphs drawn at random within the gate's limits: graph i is a function of (seed, i), and of nothing else.

A node's inputs are values that are there, or new constants that mostly fit; its attributes lie anywhere within their
limits, mostly near what models use. Sizes and indices are extreme now and then, optional inputs are left out where the
list allows it, and some nodes are taken although their shapes do not fit.
"""

import dataclasses
import math
import random
import struct
from collections.abc import Callable, Mapping
from typing import Any, Final

from reparam.bundle.operators import OPERATORS, Attribute
from reparam.bundle.outline import BOOL, FLOAT32, INT64, INTEGERS, LETTERS, SIZES, Node, Tensor
from reparam.bundle.sizes.costs import work
from reparam.bundle.sizes.sized import Call, Sized, known
from reparam.bundle.sizes.walk import RULES
from reparam.testing import messages
from reparam.testing.messages import Value, message

MOST_WORK: Final = 2**24  # multiplications of a graph, so that many can be tried
MOST_BYTES: Final = 2**24  # of a value
TRIES: Final = 12  # at a node whose shapes fit
OPSETS: Final = (13, 14, 15, 16, 17, 18)

SINCE: Final = {
    "Mish": 18,
    "GroupNormalization": 18,
    "HardSwish": 14,
    "CastLike": 15,
    "Trilu": 14,
    "LayerNormalization": 17,
}

FLOATS: Final = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-5, 1e-45, 3.4e38, -3.4e38, float("inf"), float("-inf"), float("nan"))
FAR: Final = (0, 1, -1, 2**31 - 1, -(2**31), 2**31, 2**62, 2**63 - 1, -(2**63), 1000, 65536)
FEATURES: Final = (
    (1,),
    (4,),
    (7,),
    (2, 5),
    (3, 4),
    (1, 4, 4),
    (2, 6, 5),
    (4, 4, 4),
    (4, 1, 1),
    (8, 2, 3),
    (2, 3, 4, 4),
)


Operands = Callable[["Drawing"], tuple[list[str], dict[str, Any], int]]
"""The names of what a node of an operator takes, attributes that must fit to them, and how many outputs it has."""


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A graph: its bytes, one row of x (the latent's too), and its values with the sizes that the rules give them."""

    data: bytes
    every: bytes
    """The same graph with each of its values as an output."""
    row: tuple[int, ...]
    opset: int
    values: dict[str, Sized]
    operators: tuple[str, ...]


class Drawing:
    """One graph in the making."""

    def __init__(self, seed: int, number: int, takes: Mapping[str, Operands], *, only: str | None = None) -> None:
        self.draw = random.Random(f"{seed}:{number}")
        self.takes = takes
        self.row = self.draw.choice(FEATURES)
        self.opset = self.draw.choice(OPSETS)
        self.rows = self.draw.choice((1, 2, 3))
        self.only = only
        self.values: dict[str, Sized] = {"x": Sized(FLOAT32, (self.rows, *self.row))}
        self.values["eps"] = self.values["x"]
        self.tensors: list[bytes] = []
        self.nodes: list[bytes] = []
        self.operators: list[str] = []
        self.made: list[str] = []
        self.work = 0

    # -- what goes in --------------------------------------------------------------------------------------------

    def chance(self, share: float) -> bool:
        return self.draw.random() < share

    def pick(self, *, rank: int | None = None, dtype: int | None = FLOAT32) -> str:
        """A value that is there, mostly of a rank and data type; a new constant where there is none."""
        every = self.values if self.chance(0.1) else {k: v for k, v in self.values.items() if k in ("x", *self.made)}
        fitting = [
            name
            for name, value in every.items()
            if (rank is None or len(value.shape) == rank) and (dtype is None or value.dtype == dtype)
        ]
        if fitting and not self.chance(0.05):
            return self.draw.choice(fitting[-6:])
        sides = self.draw.randint(0, 4) if rank is None else rank
        return self.constant(tuple(self.draw.randint(1, 5) for _ in range(sides)), dtype or FLOAT32)

    def constant(self, shape: tuple[int, ...], dtype: int = FLOAT32, values: list[Any] | None = None) -> str:
        count = math.prod(shape)
        if values is None:
            values = [self.number(dtype) for _ in range(count)]
        name = f"c{len(self.values)}"
        raw = struct.pack(f"<{count}{LETTERS[dtype]}", *values)
        sides = [(1, side) for side in shape]
        self.tensors.append(message(*sides, (2, dtype), (8, name), (9, raw)))
        self.values[name] = known(dtype, shape, values if count <= 64 else None)
        return name

    def number(self, dtype: int) -> Any:
        if dtype == BOOL:
            return self.chance(0.5)
        if dtype in INTEGERS:
            bits = 8 * SIZES[dtype]
            low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if LETTERS[dtype].islower() else (0, 2**bits - 1)
            number = self.draw.choice(FAR) if self.chance(0.1) else self.draw.randint(-3, 6)
            return min(max(number, low), high)
        number = self.draw.choice(FLOATS) if self.chance(0.05) else self.draw.gauss(0, 1)
        return max(min(number, 60000.0), -60000.0) if dtype == 10 else number

    def integers(self, *values: int, low: int = -4, high: int = 6) -> str:
        """A list of int64; some of its numbers are any others now and then."""
        numbers = list(values)
        if self.chance(0.12) and numbers:
            place = self.draw.randrange(len(numbers))
            numbers[place] = self.draw.choice(FAR) if self.chance(0.5) else self.draw.randint(low, high)
        if self.chance(0.04):
            numbers.append(self.draw.randint(low, high))
        return self.constant((len(numbers),), INT64, numbers)

    def near(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """A shape that broadcasts with another, mostly."""
        if self.chance(0.08):
            return tuple(self.draw.randint(1, 5) for _ in range(self.draw.randint(0, 4)))
        cut = self.draw.randint(0, len(shape)) if self.chance(0.3) else 0
        return tuple(1 if self.chance(0.3) else side for side in shape[cut:])

    def fitting(self, name: str) -> str:
        """A second operand for one that is there."""
        value = self.values[name]
        if self.chance(0.4):
            return self.pick(dtype=value.dtype)
        return self.constant(self.near(value.shape), value.dtype)

    # -- nodes ---------------------------------------------------------------------------------------------------

    def attribute(self, name: str, rule: Attribute, sides: int) -> tuple[bytes, Any]:
        """One within its limits, and the setting that the gate would read."""
        number = lambda: (  # noqa: E731
            self.draw.randint(max(rule.low, -2), max(rule.low, min(rule.high, 4)))
            if self.chance(0.9)
            else self.draw.randint(rule.low, rule.high)
        )
        match rule.kind:
            case "int":
                found: Any = number()
                return message((1, name), (20, 2), (3, found)), found
            case "ints":
                length = min(rule.most, sides * 2 if name == "pads" else sides)
                length = length if self.chance(0.95) else self.draw.randint(0, rule.most)
                found = tuple(number() for _ in range(length))
                return message((1, name), (20, 7), *((8, each) for each in found)), found
            case "float":
                finite = [each for each in FLOATS if math.isfinite(each)]
                found = self.draw.choice(finite) if self.chance(0.5) else self.draw.gauss(0, 1)
                return message((1, name), (20, 1)) + b"\x15" + struct.pack("<f", found), found
            case "string":
                found = self.draw.choice(sorted(rule.words))
                return message((1, name), (20, 3), (4, found)), found
            case _:
                dtype = self.draw.choice(sorted(SIZES))
                shape = (
                    (1,) if self.chance(0.7) else tuple(self.draw.randint(1, 3) for _ in range(self.draw.randint(0, 3)))
                )
                values = [self.number(dtype) for _ in range(math.prod(shape))]
                raw = struct.pack(f"<{len(values)}{LETTERS[dtype]}", *values)
                sides_ = [(1, side) for side in shape]
                tensor = message(*sides_, (2, dtype), (9, raw))
                return message((1, name), (20, 4), (5, tensor)), Tensor(dtype, shape, -1, tuple(values))

    def unknown(self, operator: str, name: str) -> bool:
        """Whether an attribute is of other operator sets than this graph's."""
        if operator.startswith("Reduce") and name == "noop_with_empty_axes":
            return self.opset < 18 and operator != "ReduceSum"
        if operator.startswith("Reduce") and name == "axes":
            return self.opset >= 18 or operator == "ReduceSum"
        if operator == "Resize":
            return self.opset < 18 and name in ("antialias", "axes", "keep_aspect_ratio_policy")
        return (operator == "Shape" and self.opset < 15) or (name == "num_outputs" and self.opset < 18)

    def node(self) -> None:
        """One more, of any operator, that the rules take; of one in twenty nobody asks them."""
        for _ in range(TRIES):
            operator = self.only if self.only and self.chance(0.5) else self.draw.choice(sorted(OPERATORS))
            if self.opset < SINCE.get(operator, 0):
                continue
            before = len(self.tensors), dict(self.values)
            asked = self.draw.random() > 0.02
            try:
                if self._node(operator, asked=asked):
                    return
            except (ValueError, IndexError, OverflowError, struct.error):
                pass
            del self.tensors[before[0] :]
            self.values = before[1]

    def _node(self, operator: str, *, asked: bool) -> bool:
        known_as = OPERATORS[operator]
        inputs, settings, outputs = self.takes[operator](self)
        for place in known_as.empty:
            if place < len(inputs) - 1 and self.chance(0.2):
                inputs[place] = ""
        low, high = known_as.inputs
        if self.chance(0.15):
            inputs = inputs[: self.draw.randint(low, min(high, max(len(inputs), low)))]
        first = self.values[inputs[0]].shape if inputs and inputs[0] else ()
        sides = len(first) if operator in ("Transpose", "Resize") else max(1, len(first) - 2)
        parts: list[bytes] = []
        given: dict[str, Any] = {}
        for name, rule in known_as.attributes.items():
            if name in settings:
                setting = settings[name]
                parts.append(_written(name, setting))
                given[name] = setting
            elif self.chance(0.35) and not self.unknown(operator, name):
                part, setting = self.attribute(name, rule, sides)
                parts.append(part)
                given[name] = setting
        names = [f"v{len(self.values) + place}" for place in range(outputs)]
        drawn = Node(operator, inputs, names, given)
        found = [Sized(FLOAT32, (1,))] * outputs
        call = Call(drawn, [self.values[name] if name else None for name in inputs], self.opset)
        if asked:
            found = RULES[operator](call)
            if any(value.size * 8 > MOST_BYTES or min(value.shape, default=1) < 1 for value in found):
                return False
            self.work += work(call, found[0])
            if self.work > MOST_WORK or len(found) != outputs:
                return False
        label = f"n{len(self.nodes)}"
        listed: list[tuple[int, Value]] = [(1, name) for name in inputs]
        listed += [(2, name) for name in names]
        self.nodes.append(message(*listed, (3, label), (4, operator), *((5, part) for part in parts)))
        self.operators.append(operator)
        self.values |= dict(zip(names, found, strict=True))
        self.made += names
        return True

    # -- the whole -----------------------------------------------------------------------------------------------

    def finish(self) -> Drawn:
        """Every value ends in `mean`, so that none is idle; logvar and z are simple."""
        nodes, tensors, scalars = list(self.nodes), list(self.tensors), list[str]()
        tensors.append(message((1, 1), (2, INT64), (8, "flat"), (9, struct.pack("<q", -1))))
        for place, name in enumerate(self.made):
            nodes.append(message((1, name), (2, f"f{place}"), (4, "Cast"), (5, _written("to", 1))))
            nodes.append(messages.node("Reshape", f"f{place} flat", f"r{place}"))
            nodes.append(message((1, f"r{place}"), (2, f"s{place}"), (4, "ReduceMax"), (5, _written("keepdims", 0))))
            scalars.append(f"s{place}")
        for place, name in enumerate(scalars):
            nodes.append(messages.node("Add", f"{'x' if place == 0 else f'a{place - 1}'} {name}", f"a{place}"))
        end = f"a{len(scalars) - 1}" if scalars else "x"
        nodes += [
            messages.node("Identity", end, "mean"),
            messages.node("Sub", "x eps", "logvar"),
            messages.node("Add", "x eps", "z"),
        ]
        inputs = [messages.value(name, "batch", *self.row) for name in ("x", "eps")]
        outputs = [messages.value(name, "batch", *self.row) for name in ("mean", "logvar", "z")]
        more = [(5, tensor) for tensor in tensors]
        data = messages.model(messages.graph(nodes, inputs, outputs, *more), opset=self.opset)
        bare = [message((1, name)) for name in self.made]
        own: list[tuple[int, Value]] = [(5, tensor) for tensor in self.tensors]
        every = messages.model(messages.graph(self.nodes, inputs, bare, *own), opset=self.opset)
        made = {name: self.values[name] for name in self.made}
        return Drawn(data, every, self.row, self.opset, made, tuple(self.operators))


def _written(name: str, setting: Any) -> bytes:
    if isinstance(setting, int):
        return message((1, name), (20, 2), (3, setting))
    if isinstance(setting, str):
        return message((1, name), (20, 3), (4, setting))
    return message((1, name), (20, 7), *((8, each) for each in setting))
