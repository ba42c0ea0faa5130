"""Which devices really start here: a graph of one node, run. What `reparam doctor` reports."""

from collections.abc import Callable

import numpy as np

from reparam.bundle.gate import Promised, check_graph
from reparam.engine.device import Device, missing_for_cuda
from reparam.engine.session import Contract, GraphSession
from reparam.errors import ReparamError

# One Identity node, float32 [batch, 1], opset 18, ir_version 9, as onnx writes it
_IDENTITY = bytes.fromhex(
    "08093a550a140a017a1205785f68617422084964656e74697479120570726f62655a180a017a12130a110801120d0a071205"
    "62617463680a020801621c0a05785f68617412130a110801120d0a07120562617463680a02080142040a001012"
)


def identity(device: Device) -> Callable[[], bool]:
    """A call that runs the graph on one value, and says whether it came back.

    Raises:
        DeviceUnavailable: onnxruntime does not run on the device.
    """
    contract = Contract("decoder", {"z": (1,)}, {"x_hat": (1,)})
    graph = check_graph(_IDENTITY, Promised(18, 9, ("z",), ("x_hat",)), where="probe")
    session = GraphSession(graph, contract, device=device, threads=1, where="probe")
    feeds = {"z": np.full((1, 1), 7, np.float32)}
    return lambda: bool(session.run(["x_hat"], feeds)[0] == feeds["z"])


def probe(device: Device) -> str | None:
    """None where a session on the device gave the right answer, else the reason in one line."""
    try:
        if device.kind == "cuda":
            missing = missing_for_cuda()
            if missing:
                return f"{', '.join(missing)} missing"
        return None if identity(device)() else "gives a wrong answer"
    except ReparamError as error:
        return str(error)
