"""Gives the format's names and versions: graph name, batch axis, ir_version, and the bundle's id.

Requires: a stripped ModelProto that holds nothing newer than ir_version 9. Ensures: `name_parts` leaves a graph whose
bytes depend on the model alone; `stamp` adds metadata_props with format, role and id and changes nothing else.
"""

from typing import Final

import onnx

from reparam.bundle.manifest import Role
from reparam.engine.session import Contract

OPSET: Final = 18  # from 21 on, GroupNormalization has no CPU kernel in onnxruntime
IR_VERSION: Final = 9  # read by onnxruntime 1.18 and later
FORMAT: Final = "reparam-bundle/1"


def name_parts(model: onnx.ModelProto, contract: Contract) -> None:
    """Names the graph after its role, its nodes by number, and dynamic axes of inputs and outputs by the contract."""
    model.ir_version = IR_VERSION
    model.graph.name = contract.role
    for number, node in enumerate(model.graph.node):
        node.name = f"{number}_{node.op_type}"
    rows = {**contract.inputs, **contract.outputs}
    for value in (*model.graph.input, *model.graph.output):
        names = ("batch", *rows.get(value.name, ()))
        for axis, name in zip(value.type.tensor_type.shape.dim, names, strict=False):
            if axis.dim_param and isinstance(name, str):  # a fixed axis stays one, and the check refuses it
                axis.dim_param = name


def stamp(model: onnx.ModelProto, role: Role, bundle_id: str) -> None:
    """Writes format, role and the bundle's id into metadata_props."""
    onnx.helper.set_model_props(model, {"format": FORMAT, "role": role, "id": bundle_id})
