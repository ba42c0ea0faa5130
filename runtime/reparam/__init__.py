"""Variational autoencoders through onnxruntime, without PyTorch. Randomness is data: noise is (seed, row)."""

from reparam import errors
from reparam.engine.info import Info
from reparam.laws import noise
from reparam.posterior import Posterior
from reparam.vae import VAE, load
from reparam.verification import verify

__all__ = ["VAE", "Info", "Posterior", "errors", "load", "noise", "verify"]
