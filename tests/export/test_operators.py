"""The runtime's list of operators says what ONNX says: names, attributes and their kinds, places that may be empty."""

import struct
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import defs, helper

from reparam.bundle.operators import HIGHEST_OPSET, LOWEST_OPSET, OPERATORS, Operator
from reparam.bundle.outline import LETTERS, SIZES

KINDS = {"INT": "int", "INTS": "ints", "FLOAT": "float", "FLOATS": "floats", "STRING": "string", "TENSOR": "tensor"}
OPTIONAL = defs.OpSchema.FormalParameterOption.Optional


def schemas(name: str) -> list[Any]:
    """The operator as each of the operator sets has it."""
    found = []
    for version in range(LOWEST_OPSET, HIGHEST_OPSET + 1):
        try:
            found.append(defs.get_schema(name, version, ""))
        except defs.SchemaError:
            continue
    return found


@pytest.mark.parametrize(("name", "listed"), sorted(OPERATORS.items(), key=lambda item: item[0]))
def test_a_listed_operator_is_standard_and_no_wider_than_its_schemas(name: str, listed: Operator) -> None:
    known = schemas(name)
    assert known, "no operator set has it"
    most = max(schema.max_input for schema in known)
    assert min(schema.min_input for schema in known) <= listed.inputs[0] <= listed.inputs[1] <= most
    assert listed.outputs[1] <= max(schema.max_output for schema in known)
    kinds = {
        attribute: KINDS.get(str(told.type).rsplit(".", 1)[-1])
        for schema in known
        for attribute, told in schema.attributes.items()
    }
    for attribute, rule in listed.attributes.items():
        assert kinds[attribute] == rule.kind
    for place in listed.empty:
        assert any(len(schema.inputs) > place and schema.inputs[place].option == OPTIONAL for schema in known)


def test_no_listed_operator_draws_or_holds_a_graph() -> None:
    for name in OPERATORS:
        for schema in schemas(name):
            assert not {"GRAPH", "GRAPHS"} & {str(told.type).rsplit(".", 1)[-1] for told in schema.attributes.values()}
            assert not schema.name.startswith("Random")


def test_data_types_are_those_of_onnx() -> None:
    assert SIZES.keys() == LETTERS.keys()
    for dtype, size in SIZES.items():
        expected = helper.tensor_dtype_to_np_dtype(dtype)
        assert expected.itemsize == size == struct.calcsize(LETTERS[dtype])
        assert np.dtype(LETTERS[dtype]) == expected
    assert onnx.TensorProto.STRING not in SIZES
