"""The objective that the options name, and the words that a model card says of it."""

from reparam_train.model import VAE
from reparam_train.objectives.autoencoder import Reconstruction
from reparam_train.objectives.elbo import NegativeElbo
from reparam_train.objectives.iwae import NegativeIwae
from reparam_train.objectives.moments import Moments
from reparam_train.objectives.objective import Objective
from reparam_train.options import Options


def build(model: VAE, options: Options, *, steps_per_epoch: int) -> Objective:
    """The objective of these options around a model; a warm-up's epochs become steps."""
    match options.objective:
        case "elbo":
            steps = options.warmup * steps_per_epoch
            return NegativeElbo(model, beta=options.beta, warmup_steps=steps, free_bits=options.free_bits)
        case "iwae":
            return NegativeIwae(model, samples=options.samples)
        case "moments":
            return Moments(model, alpha=options.mean_penalty, beta=options.std_penalty)
        case "autoencoder":
            return Reconstruction(model)


def describe(options: Options) -> str:
    """One line, with every number that changes the loss."""
    match options.objective:
        case "elbo":
            words = ["negative ELBO with closed-form KL"]
            words += [f"beta {options.beta:g}"] if options.beta != 1 else []
            words += [f"linear warm-up over {options.warmup:g} epochs"] if options.warmup else []
            words += [f"{options.free_bits:g} free nats a latent dimension"] if options.free_bits else []
            return ", ".join(words)
        case "iwae":
            return f"importance-weighted bound with {options.samples} samples"
        case "moments":
            return f"distortion + {options.mean_penalty:g} |mean|^2 + {options.std_penalty:g} |std - 1|^2"
        case "autoencoder":
            return "distortion alone (a plain autoencoder)"
