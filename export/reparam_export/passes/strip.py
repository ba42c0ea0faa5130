"""Removes what identifies the machine and the source code: stack traces, paths, doc strings, intermediate shapes.

Requires: any ModelProto. Ensures: no doc string, no metadata and no value_info anywhere; outputs are unchanged.
"""

import onnx


def strip(model: onnx.ModelProto) -> None:
    """Strips the model in place."""
    model.ClearField("doc_string")
    model.ClearField("metadata_props")
    model.ClearField("producer_name")
    model.ClearField("producer_version")
    graph = model.graph
    graph.ClearField("doc_string")
    graph.ClearField("metadata_props")
    graph.ClearField("value_info")  # onnxruntime infers shapes itself
    for part in (*graph.node, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
