"""A model of ours out of its bundle: the net from the options that the manifest records, the weights from its graphs.

The exporter keeps the names of weights, so none is guessed: each has its name and shape, or the model is refused.
"""

from pathlib import Path

import msgspec
import torch

from reparam.bundle.manifest import Manifest
from reparam.bundle.reader import read_bundle
from reparam.bundle.weights import weights_of
from reparam.errors import OptionError
from reparam_train.model import VAE
from reparam_train.options import NETS, VAEConfig

_PREFIX = "module."  # under which the exporter's graphs hold a model
_LIKELIHOOD = "likelihood."  # whose scale neither mean, logvar nor x_hat depends on


def from_bundle(bundle: Path) -> VAE:
    """The model of a bundle that `reparam train` and `reparam export` made.

    Raises:
        OptionError: somebody else's model, an own net, a table, or graphs whose weights have other names or shapes.
        BundleError, BundleNotFound: as of `reparam.load`.
    """
    found = read_bundle(bundle, precisions=("fp32",))
    model = VAE(_config(found.manifest, bundle))
    weights = {**weights_of(found.graph("encoder", "fp32")), **weights_of(found.graph("decoder", "fp32"))}
    state = {name: value for name, value in model.state_dict().items() if not name.startswith(_LIKELIHOOD)}
    for name, value in state.items():
        weight = weights.get(_PREFIX + name)
        if weight is None or weight.shape != tuple(value.shape):
            raise OptionError(f"{bundle}: {name} is not among the weights of its graphs; give the run with --run")
        state[name] = torch.from_numpy(weight)  # pyright: ignore[reportUnknownMemberType]  # torch leaves it untyped
    model.load_state_dict(state, strict=False)
    return model


def _config(manifest: Manifest, bundle: Path) -> VAEConfig:
    options = {} if manifest.training is None else manifest.training.options
    net = options.get("net")
    if net not in NETS or options.get("likelihood") == "mixed":
        told = "somebody else's" if net is None else f"net {net}, likelihood {options.get('likelihood')}"
        raise OptionError(
            f"{bundle}: its manifest does not tell how to build the model ({told}); give the run with --run"
        )
    known = {field: options[field] for field in VAEConfig.__struct_fields__ if field in options}
    try:
        return msgspec.convert(known, VAEConfig)
    except (msgspec.ValidationError, OptionError) as error:
        raise OptionError(f"{bundle}: training.options: {error}; give the run with --run") from None
