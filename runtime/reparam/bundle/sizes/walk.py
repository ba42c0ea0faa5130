"""The whole graph, node by node: the size of every value, and how much memory a run needs at its widest moment.

Expand, Tile, Pad, a product of two vectors: a few bytes of graph can ask for any amount of memory, some of it while
onnxruntime still loads. So every size is found first, from the inputs' shapes and the constants alone; a graph where
one is not known before it runs is refused.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Final

from reparam.bundle.outline import FLOAT16, INTEGERS, SIZES, Admitted, Node
from reparam.bundle.sizes import chains, costs, elements, places, windows
from reparam.bundle.sizes.elements import Rule
from reparam.bundle.sizes.sized import LONGEST, RANK, Call, Shape, Sized, known

RULES: Final[dict[str, Rule]] = {**elements.RULES, **windows.RULES, **places.RULES, **chains.RULES}

_ALIASES: Final = frozenset({"Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})  # whose result is their input
_ON_CPU: Final = SIZES | {FLOAT16: 4}
_MOST_WORK: Final = 2**30  # multiplications of constants alone, which onnxruntime does while it loads


@dataclasses.dataclass(frozen=True)
class Memory:
    """Bytes that a graph needs, by estimate.

    Attributes:
        weights: the file, onnxruntime's copy of the weights, and a copy of them in the order that kernels read.
        constants: what is computed once, while the graph is loaded, and kept.
        values: all that is there at the widest moment of a run.
    """

    weights: int
    constants: int
    values: int

    @property
    def total(self) -> int:
        """All together."""
        return self.weights + self.constants + self.values


class TooLargeError(ValueError):
    """A value that no run could hold."""


class Walk:
    """A graph with what its constants alone decide, to be measured for one call after another.

    Args:
        graph: past the gate.
        cpu: whether it runs on a CPU, whose kernels compute float16 in float32.
    """

    def __init__(self, graph: Admitted, *, cpu: bool = True) -> None:
        outline = graph.outline
        self._widths: dict[int, int] = _ON_CPU if cpu else SIZES
        self._outline = outline
        self._constants: dict[str, Sized] = {
            name: known(tensor.dtype, tensor.shape, tensor.known(graph.data))
            for name, tensor in outline.tensors.items()
        }
        self._weights = len(graph.data) + 2 * sum(map(self._bytes, self._constants.values()))
        self._ending = _last_uses(outline.nodes, outline.outputs)

    def measure(
        self, inputs: Mapping[str, tuple[int, Shape]], *, told: dict[str, Sized] | None = None
    ) -> Memory | None:
        """The memory of one run.

        Args:
            inputs: data type and whole shape of each input, the batch included.
            told: takes the size of every value by name, where somebody wants to know them.

        Returns:
            The estimate; None where an operator is not on the list, whose sizes nobody knows.

        Raises:
            ValueError: sizes that do not fit, that are not known before the graph runs, or that no run could have.
        """
        made = self._constants | {name: Sized(dtype, shape) for name, (dtype, shape) in inputs.items()}
        # of what follows from the inputs, by whose memory it is; constants are kept
        sizes = {name: self._bytes(made[name]) for name in inputs}
        live = widest = sum(sizes.values())
        kept = done = 0
        for node, ending in zip(self._outline.nodes, self._ending, strict=True):
            rule = RULES.get(node.operator)
            if rule is None:
                return None
            call = Call(node, [made[name] if name else None for name in node.inputs], self._outline.opset)
            found = _sizes(rule, call)
            varies = not sizes.keys().isdisjoint(node.inputs)
            if node.operator == "Div":
                _check_division(node, found[0], sizes)
            need = 0
            borrows = varies and node.operator in _ALIASES
            for name, each in zip(node.outputs, found, strict=True):
                made[name] = each
                size = 0 if borrows else self._bytes(each)
                need += size
                if varies:
                    sizes[name] = size
            if not varies:
                kept += need
                done += costs.work(call, found[0])
                if done > _MOST_WORK:
                    raise ValueError(f"{node.operator}: computes more than {_MOST_WORK} products of constants")
                continue
            widest = max(widest, live + need + costs.scratch(call, found[0]))
            live += need - sum([sizes.get(name, 0) for name in ending])
        if told is not None:
            told |= made
        return Memory(self._weights, kept, widest)

    def _bytes(self, value: Sized) -> int:
        return math.prod(value.shape) * self._widths[value.dtype]


def _sizes(rule: Rule, call: Call) -> list[Sized]:
    try:
        found = rule(call)
    except ValueError as error:
        raise ValueError(f"{call.node.operator} {call.node.outputs[0]!r}: {error}") from None
    if len(found) != len(call.node.outputs):
        raise ValueError(f"{call.node.operator}: must have {len(found)} outputs, has {len(call.node.outputs)}")
    for each in found:
        shape = each.shape
        if shape and (len(shape) > RANK or min(shape) < 1 or max(shape) > LONGEST):
            # what is empty is where kernels go wrong, and no model makes it
            kind = TooLargeError if max(shape) > LONGEST else ValueError
            raise kind(f"{call.node.operator} {call.node.outputs[0]!r}: cannot have shape {list(shape)}")
    return found


def _check_division(node: Node, found: Sized, varying: Mapping[str, int]) -> None:
    if node.inputs[1] in varying and found.dtype in INTEGERS:
        raise ValueError("Div: divides whole numbers by what follows from x, which may be 0 for other rows")


def _last_uses(nodes: list[Node], outputs: tuple[str, ...]) -> list[list[str]]:
    """For each node, the values whose memory is not needed any more after it."""
    last: dict[str, int] = {}
    owners: dict[str, str] = {}  # of what has no memory of its own
    for number, node in enumerate(nodes):
        if node.operator in _ALIASES:
            owners[node.outputs[0]] = owners.get(node.inputs[0], node.inputs[0])
        for name in node.outputs:
            last[owners.get(name, name)] = number
        for name in node.inputs:
            last[owners.get(name, name)] = number
    kept = {owners.get(name, name) for name in outputs}
    found: list[list[str]] = [[] for _ in nodes]
    for name, number in last.items():
        if name not in kept:
            found[number].append(name)
    return found
