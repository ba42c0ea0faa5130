"""`lay_out`: a bundle as the folder that another program reads, in one step."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from reparam.bundle.manifest import Manifest, Precision, Trust
from reparam.bundle.reader import Bundle, read_bundle
from reparam.bundle.writer import check_target, publish
from reparam.errors import OptionError
from reparam_export.checks import check_anonymous
from reparam_export.inputs import Described
from reparam_export.layouts.optimum import optimum_files, pipeline_config
from reparam_export.layouts.record import LAYOUTS, RECORD, Layout, check_layout, encode_record
from reparam_export.layouts.triton import triton_files

Files = tuple[dict[str, bytes], tuple[str, ...]]
_WRITERS: Final[dict[Layout, Callable[[Bundle, Precision], Files]]] = {"triton": triton_files, "optimum": optimum_files}


def lay_out(
    bundle: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    layout: Layout,
    precision: Precision = "fp32",
    trust: Trust = "strict",
    expect_sha256: str | None = None,
) -> Manifest:
    """Writes a bundle as another program's folder, in one step; a layout already there is replaced if it is as written.

    `triton`: a model repository with encoder, decoder and the ensemble `reconstruct` (x, eps to x_hat). `optimum`: the
    folders vae_encoder and vae_decoder of ORT pipelines, of image models with a spatial latent and normal noise; its
    graphs are held against the golden vectors first. Each has a layout.json with the bundle's id and every file's
    sha256.

    Args:
        bundle: the bundle's folder.
        path: the folder to become.
        layout: "triton" or "optimum".
        precision: which of the bundle's graphs to write.
        trust: see `reparam.load`.
        expect_sha256: the sha256, in hex, that the bundle's manifest.json must have.

    Returns:
        The bundle's manifest.

    Raises:
        BundleError: the bundle cannot be believed.
        OptionError: no such layout or precision, or a model that the layout cannot hold.
        VerificationError: a rewritten graph's numbers differ.
        OutputError: the place cannot be written, or holds what we did not write; what was there is still there.
    """
    check_layout_place(Path(path), layout)
    found = read_bundle(Path(bundle), golden=True, trust=trust, expect_sha256=expect_sha256)
    write_layout(found, Path(path), layout=layout, precision=precision)
    return found.manifest


def check_layout_place(target: Path, layout: str) -> None:
    """Refuses, before any work, a place that `write_layout` would refuse, or a layout that there is not.

    Raises:
        OptionError: no such layout.
        OutputError: the place holds what we did not write, or cannot be.
    """
    if layout not in LAYOUTS:
        raise OptionError(f"layout: must be one of {', '.join(LAYOUTS)}, got {layout!r}")
    check_target(target, inside=check_layout)


def check_fits(described: Described, layout: Layout) -> None:
    """Refuses, before a model is traced, one that `write_layout` would refuse.

    Raises:
        OptionError: with the reason.
    """
    if layout == "optimum":
        pipeline_config(described)


def write_layout(bundle: Bundle, target: Path, *, layout: Layout, precision: Precision = "fp32") -> None:
    """What `lay_out` does, of a bundle in memory that has its golden vectors."""
    files, folders = _WRITERS[layout](bundle, precision)
    for file, data in files.items():
        check_anonymous(data, where=file)
    record = encode_record(layout, bundle.manifest, files)
    publish(target, {**files, RECORD: record}, folders=folders, inside=check_layout)
