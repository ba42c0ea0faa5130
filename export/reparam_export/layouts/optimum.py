"""The folder that ORT pipelines of optimum read: vae_encoder and vae_decoder, each a graph and its config.json.

The encoder's reparameterisation is cut off: the pipelines take mean and logvar side by side as `latent_parameters` and
draw the noise themselves. Pipelines work on images in [-1, 1]; where the model's range is another, both graphs convert.
"""

# pyright: reportUnknownMemberType=false
# (onnx leaves parameters of its helpers untyped)

import json
from typing import Any, Final

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.utils import Extractor

from reparam.bundle.golden import Vectors, decode_golden
from reparam.bundle.manifest import Bound, Manifest
from reparam.bundle.reader import Bundle
from reparam.engine.device import Device
from reparam.engine.session import Contract, GraphSession
from reparam.errors import OptionError

_RANGE: Final = (-1.0, 1.0)
