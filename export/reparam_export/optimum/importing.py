"""`import_optimum`: an optimum or diffusers ONNX folder to a bundle, by surgery on its graphs, without torch."""

import os
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Final

from reparam.bundle.manifest import Input, Latent, Manifest, Role
from reparam.bundle.reader import Bundle, believe
from reparam.bundle.writer import check_target
from reparam.engine.memory import MACHINE, check_memory
from reparam.engine.pair import decoder_contract, encoder_contract
from reparam.errors import BundleError, ExportError
from reparam.verification import FOREIGN
from reparam_export.bundling import bundle_name, clean, golden_of, proved, publish_bundle, trust_of, with_graphs
from reparam_export.optimum.folder import DECODER, ENCODER, Config, Folder, opset_of, read_folder
from reparam_export.optimum.originals import originals
from reparam_export.optimum.surgery import decoder_of, encoder_of
from reparam_export.passes.pads import even_pads

STAGES: Final = ("read", "rewrite", "verify", "publish")
_RANGE: Final = (-1.0, 1.0)  # of the images of diffusers' pipelines (VaeImageProcessor)
_PLACES: Final = 8  # sides of the latent where config.json does not tell the size of training


def import_optimum(
    folder: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    allow_operators: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> Manifest:
    """Makes a bundle of a folder that optimum or diffusers wrote: same numbers, the noise an input.

    The encoder becomes x, eps to mean, logvar (clamped to [-30, 20] as diffusers does) and z, the decoder z to x_hat;
    height and width stay dynamic. Every output is held against the graphs as they came, and golden.npz keeps what they
    gave. Needs onnx and onnxruntime, not torch.

    Args:
        folder: holds vae_encoder/model.onnx (`sample` to `latent_parameters`), vae_decoder/model.onnx
            (`latent_sample` to `sample`), and the VAE's config.json in vae_encoder, vae or the folder itself.
        path: the bundle's folder; a bundle already there is replaced in one step, anything else is refused.
        name: the bundle's name, letters, digits, `.`, `_` and `-`; left out, that of the bundle's folder.
        allow_operators: see `reparam_export.export`.
        progress: called with each of `STAGES` as it begins.

    Returns:
        The manifest that was written. Its likelihood is None: nobody knows it. Scaling and shift factors are recorded.

    Raises:
        CheckpointError: a file of the folder is missing or cannot be read.
        ExportError: the encoder samples inside its graph, or a graph is none that a bundle could hold.
        VerificationError: a rewritten graph's numbers differ from the original's; nothing is published.
        OptionError: a name that cannot be.
        OutputError: the place cannot be written; what was there is still there.
    """
    target = Path(path)
    check_target(target)
    plain = bundle_name(name, target)
    progress("read")
    found = read_folder(Path(folder))
    progress("rewrite")
    plan = _plan(found, plain)
    x, latent = plan.input_axes, plan.latent_axes
    encoder = encoder_of(found.encoder, x=x, latent=latent, where=found.place / ENCODER)
    decoder = decoder_of(found.decoder, x=x, latent=latent, where=found.place / DECODER)
    even_pads(encoder)
    even_pads(decoder)
    shape_nodes: dict[Role, int] = {
        "encoder": clean(encoder, encoder_contract(plan), opset=opset_of(encoder)),
        "decoder": clean(decoder, decoder_contract(plan), opset=opset_of(decoder)),
    }
    files, manifest = with_graphs(
        plan, {"encoder": encoder, "decoder": decoder}, shape_nodes, allow_operators=allow_operators
    )
    _check_sizes(found, Bundle(manifest.name, manifest, files))
    progress("verify")
    files, manifest, pair = proved(files, manifest, originals(found, manifest), bound=FOREIGN)
    progress("publish")
    publish_bundle(target, manifest, files, pair)
    return manifest


def _check_sizes(folder: Folder, bundle: Bundle) -> None:
    """Refuses graphs that could not run, before the ones that came do."""
    try:
        check_memory(believe(bundle, trust=trust_of(bundle.manifest)), "fp32", MACHINE, on_host=True)
    except BundleError as error:
        levels = len(folder.config.block_out_channels)
        raise ExportError(
            f"{folder.place}: its graphs have no sizes that fit ({error}), but block_out_channels in config.json has "
            f"{levels} levels, a factor of {2 ** (levels - 1)}; take the model's own"
        ) from None


def _plan(folder: Folder, name: str) -> Manifest:
    """The manifest that config.json gives; it lacks the graphs and what verification adds."""
    config = folder.config
    factor = 2 ** (len(config.block_out_channels) - 1)  # every level but the last halves the sides
    height, width = (-(-side // factor) for side in _sample_size(config, factor))
    versions = {package: version(package) for package in ("reparam", "onnx")}
    if config.diffusers is not None:
        versions["diffusers"] = config.diffusers
    return Manifest(
        name=name,
        id="0" * 32,
        deterministic=False,
        input=Input(
            shape=(config.in_channels, height * factor, width * factor),
            layout="channels_first",
            low=_RANGE[0],
            high=_RANGE[1],
            factors=(factor, factor),
        ),
        latent=Latent(
            shape=(config.latent_channels, height, width),
            scaling_factor=config.scaling_factor,
            shift_factor=config.shift_factor,
        ),
        likelihood=None,
        graphs=(),
        golden=golden_of("onnx"),
        verification=(),
        training=None,
        versions=versions,
    )


def _sample_size(config: Config, factor: int) -> tuple[int, int]:
    """Height and width of training."""
    size = config.sample_size
    if size is None:
        return _PLACES * factor, _PLACES * factor
    return (size, size) if isinstance(size, int) else size
