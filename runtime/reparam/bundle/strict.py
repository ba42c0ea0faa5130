"""The manifest as bytes: decoded strictly, its parts held against each other, and encoded."""

import json
from typing import Any

import msgspec

from reparam.bundle.manifest import MAX_MANIFEST_BYTES, Manifest, Mixed
from reparam.errors import BundleError


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = dict(pairs)
    if len(keys) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return keys


def decode_manifest(data: bytes, *, where: str) -> Manifest:
    """The manifest in `data`, checked whole.

    Raises:
        BundleError: not strict JSON, an unknown or repeated key, a value out of its range, or parts that contradict
            each other; `where` names the file.
    """
    if len(data) > MAX_MANIFEST_BYTES:
        raise BundleError(
            f"{where}: a manifest has at most {MAX_MANIFEST_BYTES} bytes, got {len(data)}; copy the bundle again"
        )
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
        json.loads(data, object_pairs_hook=_pairs)
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise BundleError(f"{where}: not a valid manifest: {error}; export the bundle again") from None
    _check_consistent(manifest, where)
    return manifest


def _check_consistent(manifest: Manifest, where: str) -> None:
    keys = [(graph.role, graph.precision) for graph in manifest.graphs]
    files = [graph.file for graph in manifest.graphs] + [manifest.golden.file]
    if len(set(keys)) != len(keys) or len(set(files)) != len(files):
        raise BundleError(f"{where}: a role and precision, or a file name, stands twice; export the bundle again")
    if "fp32" not in manifest.precisions:
        raise BundleError(f"{where}: encoder and decoder in fp32 are required, got {keys}; export the bundle again")
    if manifest.deterministic != (manifest.latent.noise is None):
        raise BundleError(f"{where}: deterministic means no noise law, got both or neither; export the bundle again")
    _check_columns(manifest, where)
    _check_images(manifest, where)


def _check_images(manifest: Manifest, where: str) -> None:
    """Raw images are [height, width, channels]; dynamic sides are multiples of the latent's."""
    rows, latent = manifest.input, manifest.latent.shape
    if rows.low is not None and rows.high is not None and rows.low > rows.high:
        raise BundleError(
            f"{where}: the range of x must not have low above high, got {rows.low} and {rows.high}; export again"
        )
    raw = rows.dtype == "uint8"
    if raw != (rows.layout == "channels_last") or (
        raw and (len(rows.shape) != 3 or rows.low is None or rows.high is None)
    ):
        raise BundleError(f"{where}: uint8 means images, channels last, of a known range; export the bundle again")
    if raw and manifest.likelihood is not None:
        raise BundleError(f"{where}: levels of uint8 have no likelihood; export the bundle again")
    if rows.factors is None:
        if manifest.golden.sizes is not None:
            raise BundleError(f"{where}: golden sizes need dynamic height and width; export the bundle again")
        return
    sides = rows.shape[:2] if raw else rows.shape[1:]
    wanted = tuple(side * factor for side, factor in zip(latent[1:], rows.factors, strict=False))
    if len(rows.shape) != 3 or len(latent) != 3 or sides != wanted:
        found = f"{list(rows.shape)} and {list(latent)}"
        raise BundleError(
            f"{where}: sides of x must be {list(rows.factors)} times the latent's, got {found}; export again"
        )
    for size in manifest.golden.sizes or ():
        if any(side % factor for side, factor in zip(size, rows.factors, strict=True)):
            raise BundleError(f"{where}: golden size {list(size)} is no multiple of {list(rows.factors)}; export again")


def _check_columns(manifest: Manifest, where: str) -> None:
    """Columns tile the row from the left without gaps, and each has what its kind needs."""
    if not isinstance(manifest.likelihood, Mixed):
        return
    end = 0
    for column in manifest.likelihood.columns:
        width = 1 if column.categories is None else len(column.categories)
        if (
            (column.start, column.stop) != (end, end + width)
            or (column.kind == "categorical") != (width > 1)
            or (column.kind == "gaussian") != (column.std is not None)
        ):
            raise BundleError(f"{where}: column {column.name!r} contradicts itself or its place; export again")
        end = column.stop
    if manifest.input.shape != (end,):
        shape = list(manifest.input.shape)
        raise BundleError(f"{where}: its columns end at {end}, the row's shape is {shape}; export the bundle again")


def encode_manifest(manifest: Manifest) -> bytes:
    """The manifest as indented JSON that ends in a newline."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
