"""The laws p(x|z): how a decoder's raw values become outputs of the contract, and how x is scored, in nats."""

from reparam_train.likelihoods.choose import build
from reparam_train.likelihoods.likelihood import Likelihood, Outputs

__all__ = ["Likelihood", "Outputs", "build"]
