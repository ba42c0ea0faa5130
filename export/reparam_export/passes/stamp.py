"""Gives the format's names and versions: graph name, batch axis, ir_version, and the bundle's id.

Requires: a stripped ModelProto that holds nothing newer than ir_version 9. Ensures: `name_parts` leaves a graph whose
bytes depend on the model alone; `stamp` adds metadata_props with format, role and id and changes nothing else.
"""

from typing import Final

import onnx

from reparam.bundle.manifest import Role

OPSET: Final = 18  # from 21 on, GroupNormalization has no CPU kernel in onnxruntime
IR_VERSION: Final = 9  # read by onnxruntime 1.18 and later
FORMAT: Final = "reparam-bundle/1"


def name_parts(model: onnx.ModelProto, role: Role) -> None:
    """Names the graph after its role, its nodes by number, and the dynamic first axis of inputs and outputs `batch`."""
    model.ir_version = IR_VERSION
    model.graph.name = role
    for number, node in enumerate(model.graph.node):
        node.name = f"{number}_{node.op_type}"
    for value in (*model.graph.input, *model.graph.output):
        axis = value.type.tensor_type.shape.dim[0]
        if axis.dim_param:  # a fixed axis stays one, and the check refuses it
            axis.dim_param = "batch"


def stamp(model: onnx.ModelProto, role: Role, bundle_id: str) -> None:
    """Writes format, role and the bundle's id into metadata_props."""
    onnx.helper.set_model_props(model, {"format": FORMAT, "role": role, "id": bundle_id})
