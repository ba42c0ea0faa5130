"""A trial export before training: a model that cannot be exported fails in seconds, not after days."""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from reparam_train.model import VAE

_NEEDED: Final = ("onnx", "onnxscript", "onnxruntime")


def preflight(model: "VAE") -> None:
    """Traces both graphs and holds them against PyTorch, as `export` does; nothing is written.

    Nothing is done where onnx or onnxruntime is not installed: such a machine trains for another one.

    Args:
        model: untrained; it is not changed.

    Raises:
        ExportError: the model cannot be traced into graphs of the contract.
        VerificationError: a graph's numbers differ from PyTorch's.
    """
    if all(find_spec(name) for name in _NEEDED):
        from reparam_export.adapters.run import from_vae
        from reparam_export.pipeline import prove

        prove(from_vae(model, name="preflight"))
