"""The gate's look at nodes: operators on the list, with attributes in their limits.

Field numbers are those of NodeProto and AttributeProto in onnx.proto3 (onnx 1.23).
"""

import dataclasses
import math
import struct
from typing import Final

from reparam.bundle import wire
from reparam.bundle.operators import OPERATORS, Attribute, Kind, Operator
from reparam.bundle.outline import SIZES, Node, Number, Setting, Tensor
from reparam.bundle.tensors import read_tensor
from reparam.bundle.wire import BYTES, FIXED32, VARINT, key

RANDOM_OPERATORS: Final = frozenset(
    {
        "Bernoulli",
        "Dropout",  # random where its training_mode is true
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    }
)
_STANDARD_DOMAINS: Final = frozenset({"", "ai.onnx"})
_MOST_FIELDS: Final = 160  # of a node: its names and attributes

_INPUT, _OUTPUT, _NAME, _OPERATOR = key(1, BYTES), key(2, BYTES), key(3, BYTES), key(4, BYTES)
_ATTRIBUTE, _DOMAIN = key(5, BYTES), key(7, BYTES)

_NAMED, _KIND = key(1, BYTES), key(20, VARINT)
_REFUSED: Final = {
    **dict.fromkeys((key(6, BYTES), key(11, BYTES)), "subgraphs (If, Loop, Scan) are not allowed"),
    **dict.fromkeys((key(22, BYTES), key(23, BYTES)), "sparse data is not allowed"),
}
# by the field of a value: its type in the words of AttributeProto.type, and ours
_VALUES: Final[dict[int, tuple[int, Kind]]] = {
    key(2, FIXED32): (1, "float"),
    key(3, VARINT): (2, "int"),
    key(4, BYTES): (3, "string"),
    key(5, BYTES): (4, "tensor"),
    key(7, FIXED32): (6, "floats"),
    key(7, BYTES): (6, "floats"),
    key(8, VARINT): (7, "ints"),
    key(8, BYTES): (7, "ints"),
}
_EMPTY: Final[dict[int, Kind]] = {6: "floats", 7: "ints"}  # a list of nothing leaves no field
_MOST_VALUES: Final = 64
_SHORT: Final = 128  # bytes of an attribute, below which it is read once
_LARGEST_CONSTANT: Final = 4096  # bytes of a tensor that is an attribute
_ANY: Final[dict[Kind, Attribute]] = {
    "float": Attribute("float"),
    "int": Attribute("int", -(2**63), 2**63 - 1),
    "string": Attribute("string"),
    "tensor": Attribute("tensor"),
    "floats": Attribute("floats", most=_MOST_VALUES),
    "ints": Attribute("ints", -(2**63), 2**63 - 1, most=_MOST_VALUES),
}


class UnlistedError(ValueError):
    """An operator that is not on the list, where it must be."""

    def __init__(self, operator: str) -> None:
        super().__init__(f"operator {operator} is not on the list of those that random graphs could not bring down")


Settled = dict[tuple[str, bytes], tuple[str, Setting]]
"""Attributes by operator and bytes, with what they say."""


def read_node(  # noqa: C901, PLR0912  one loop, for speed
    data: bytes, first: int, last: int, *, strict: bool, settled: Settled
) -> Node:
    """The node in data[first:last].

    Args:
        data: what holds it.
        first: where it begins.
        last: where it ends.
        strict: whether its operator must be on the list; one that is not has any attributes that are no graphs.
        settled: attributes of the nodes before it, since most graphs say the same many times; its own are added.

    Raises:
        ValueError: a random operator, one of a custom domain or not on the list, or what its row of the list forbids.
    """
    inputs: list[str] = []
    outputs: list[str] = []
    attributes: list[wire.Field] = []
    operator = domain = label = None
    for field in wire.fields(data, first, last, most=_MOST_FIELDS):
        tag, start, end = field
        if tag == _INPUT:
            inputs.append(wire.text(data, start, end))
        elif tag == _OUTPUT:
            outputs.append(wire.text(data, start, end))
        elif tag == _ATTRIBUTE:
            attributes.append(field)
        elif tag == _OPERATOR and operator is None:
            operator = wire.text(data, start, end)
        elif tag == _NAME and label is None:
            label = wire.text(data, start, end)
        elif tag == _DOMAIN and domain is None:
            domain = wire.text(data, start, end)
        else:
            raise ValueError(f"node {label!r}: field {tag >> 3} stands twice or is not allowed")
    if operator is None:
        raise ValueError(f"node {label!r} names no operator")
    if domain and domain not in _STANDARD_DOMAINS:
        raise ValueError(f"operator {operator} of the custom domain {domain!r} is not allowed")
    if operator in RANDOM_OPERATORS:
        raise ValueError(f"random operator {operator}; noise must come in through eps")
    known = OPERATORS.get(operator)
    if known is not None:
        _check_names(inputs, outputs, known, operator)
    found = _read_attributes(data, attributes, known, operator, settled)
    if known is None and strict:  # after its attributes: a graph within a graph is named first
        raise UnlistedError(operator)
    return Node(operator, inputs, outputs, found)


def _check_names(inputs: list[str], outputs: list[str], known: Operator, operator: str) -> None:
    for names, (low, high), what in ((inputs, known.inputs, "inputs"), (outputs, known.outputs, "outputs")):
        if not low <= len(names) <= high:
            raise ValueError(f"{operator}: must have {low} to {high} {what}, has {len(names)}")
    if "" in outputs:
        raise ValueError(f"{operator}: an output has no name")
    if "" in inputs:
        for place, name in enumerate(inputs):
            if not name and (place not in known.empty or place == len(inputs) - 1):
                raise ValueError(f"{operator}: input {place} may not be left out by an empty name")


def _read_attributes(
    data: bytes, listed: list[wire.Field], known: Operator | None, operator: str, settled: Settled
) -> dict[str, Setting]:
    found: dict[str, Setting] = {}
    for _, first, last in listed:
        same = (operator, data[first : min(last, first + _SHORT)])
        read = settled.get(same)
        if read is None:
            read = _read_attribute(data, first, last, known, operator)
            if last - first < _SHORT:
                settled[same] = read
        name, value = read
        if name in found:
            raise ValueError(f"{operator}: attribute {name} stands twice")
        found[name] = value
    return found


def _read_attribute(data: bytes, first: int, last: int, known: Operator | None, operator: str) -> tuple[str, Setting]:
    name, kind, values = _raw(data, first, last, operator)
    rule = _ANY[kind] if known is None else known.attributes.get(name)
    if rule is None or rule.kind != kind:
        raise ValueError(f"{operator}: attribute {name!r} of kind {kind} is not on the list")
    return name, _setting(data, values, rule, f"{operator}: attribute {name}")


def _raw(data: bytes, first: int, last: int, operator: str) -> tuple[str, Kind, list[wire.Field]]:
    """Name, kind and value fields of an attribute, all fields of one kind."""
    name = stated = field = None
    values: list[wire.Field] = []
    for part in wire.fields(data, first, last, most=_MOST_VALUES + 2):
        tag, start, end = part
        if tag == _NAMED and name is None:
            name = wire.text(data, start, end)
        elif tag == _KIND and stated is None:
            stated = start
        elif tag in _VALUES and field in (None, tag):
            field = tag
            values.append(part)
        else:
            raise ValueError(_REFUSED.get(tag, f"{operator}: field {tag >> 3} of attribute {name!r} is not allowed"))
    if name is None or stated is None:
        raise ValueError(f"{operator}: an attribute has no name or no type")
    if field is None:
        if stated not in _EMPTY:
            raise ValueError(f"{operator}: attribute {name} has no value")
        return name, _EMPTY[stated], values
    type_number, kind = _VALUES[field]
    if type_number != stated or (len(values) > 1 and (kind not in ("ints", "floats") or field & 7 == BYTES)):
        raise ValueError(f"{operator}: attribute {name} is not the one value that its type means")
    return name, kind, values


def _setting(data: bytes, values: list[wire.Field], rule: Attribute, where: str) -> Setting:
    """The value of an attribute within its limits."""
    if rule.kind == "tensor":
        return _small(data, *values[0][1:], where)
    if rule.kind == "int":
        number = wire.signed(values[0][1])
        if not rule.low <= number <= rule.high:
            raise ValueError(f"{where} must be {rule.low} to {rule.high}, got {number}")
        return number
    if rule.kind == "ints":
        numbers = _numbers(data, values)
        if len(numbers) > rule.most or any(not rule.low <= number <= rule.high for number in numbers):
            told = f"at most {rule.most} numbers of {rule.low} to {rule.high}"
            raise ValueError(f"{where} must be {told}, got {str(numbers)[:80]}")
        return numbers
    if rule.kind == "string":
        word = wire.text(data, *values[0][1:])
        if rule.words and word not in rule.words:
            raise ValueError(f"{where} must be one of {', '.join(sorted(rule.words))}, got {word!r:.80}")
        return word
    floats = tuple(number for _, first, last in values for number in _floats(data, first, last))
    if len(floats) > rule.most or any(number - number != 0 for number in floats):  # NaN or infinite
        raise ValueError(f"{where} must be at most {rule.most} finite numbers, got {str(floats)[:80]}")
    return floats[0] if rule.kind == "float" else floats


def _small(data: bytes, first: int, last: int, where: str) -> Tensor:
    tensor = read_tensor(data, first, last)[1]
    if math.prod(tensor.shape) * SIZES[tensor.dtype] > _LARGEST_CONSTANT:
        raise ValueError(f"{where} must have at most {_LARGEST_CONSTANT} bytes; weights are initializers")
    return dataclasses.replace(tensor, values=tensor.known(data))


def _numbers(data: bytes, values: list[wire.Field]) -> tuple[int, ...]:
    if values and values[0][0] & 7 == BYTES:
        return tuple(wire.varints(data[values[0][1] : values[0][2]]))
    return tuple(wire.signed(value) for _, value, _ in values)


def _floats(data: bytes, first: int, last: int) -> tuple[Number, ...]:
    if (last - first) % 4:
        raise ValueError("a list of numbers is cut")
    return struct.unpack_from(f"<{(last - first) // 4}f", data, first)
