"""From two clean graphs to a published bundle: id, manifest, golden vectors, verification, card, one step into place.

Knows onnx and onnxruntime but not where the graphs come from.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec
import onnx

from reparam.bundle.gate import RANDOM_OPERATORS
from reparam.bundle.golden import Case, Vectors, encode_golden
from reparam.bundle.manifest import (
    MANIFEST_NAME,
    Bound,
    Golden,
    Graph,
    Manifest,
    Role,
    Trust,
    Verification,
)
from reparam.bundle.operators import OPERATORS
from reparam.bundle.reader import Bundle, believe
from reparam.bundle.strict import decode_manifest, encode_manifest
from reparam.bundle.writer import publish
from reparam.engine.pair import Pair, start_pair
from reparam.engine.session import Contract
from reparam.engine.wheel import import_onnxruntime
from reparam.errors import BundleError, ExportError, OptionError
from reparam.verification import compare
from reparam_export.card import model_card
from reparam_export.checks import check_anonymous, check_graph
from reparam_export.inputs import golden_sizes, kept
from reparam_export.passes.stamp import OPSET, name_parts, stamp
from reparam_export.passes.strip import strip
from reparam_export.preview import preview

_GOLDEN: Final = "golden.npz"


def bundle_name(name: str | None, target: Path) -> str:
    """The name itself, or one made of the target's: letters, digits, `.`, `_` and `-`, first a letter or digit.

    Raises:
        OptionError: a name that is not of these.
    """
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", target.resolve().name if name is None else name)
    plain = plain.lstrip("._-")[:100] or "vae"
    if name not in (None, plain):
        raise OptionError(f"name: must be letters, digits, '.', '_' and '-', got {name!r}; try {plain!r}")
    return plain


def golden_of(source: Literal["pytorch", "onnx"]) -> Golden:
    """What stands for the golden vectors in a manifest until there are any."""
    return Golden(file=_GOLDEN, bytes=1, sha256="0" * 64, source=source, batches=(1,))


def clean(model: onnx.ModelProto, contract: Contract, *, opset: int = OPSET) -> int:
    """Strips, names and checks a graph in place.

    Returns:
        How many of its nodes read a size at run time.

    Raises:
        ExportError: the graph is not what the contract says.
    """
    strip(model)
    name_parts(model, contract)
    return check_graph(model, contract, opset=opset)


def with_graphs(
    plan: Manifest,
    models: Mapping[Role, onnx.ModelProto],
    shape_nodes: Mapping[Role, int],
    *,
    allow_operators: bool = False,
) -> tuple[dict[str, bytes], Manifest]:
    """Stamps clean graphs with the id that they give: their files by name, and the manifest that names them.

    Raises:
        ExportError: the plan holds what no manifest may say, or a graph an operator that is not on the gate's list and
            not allowed.
        BundleError: a graph that the runtime's gate refuses.
    """
    unlisted = {role: _unlisted(model) for role, model in models.items()}
    if any(unlisted.values()):
        role, name = next((role, names[0]) for role, names in unlisted.items() if names)
        if not allow_operators:
            raise ExportError(
                f"{role}: operator {name} is not on the list that every loader takes; write the model without it, or "
                'export with allow_operators (--allow-operators), and load that bundle with trust="exporter"'
            )
        plan = msgspec.structs.replace(plan, trust="exporter")
    unstamped = b"".join(serialise(model) for model in models.values())
    bundle_id = hashlib.sha256(unstamped).hexdigest()[:32]
    files: dict[str, bytes] = {}
    entries: list[Graph] = []
    for role, model in models.items():
        stamp(model, role, bundle_id)
        data = files[f"{role}.onnx"] = serialise(model)
        entries.append(
            Graph(
                role=role,
                file=f"{role}.onnx",
                precision="fp32",
                opset=model.opset_import[0].version,
                ir_version=model.ir_version,
                shape_nodes=shape_nodes[role],
                bytes=len(data),
                sha256=sha256(data),
            )
        )
    manifest = msgspec.structs.replace(plan, id=bundle_id, graphs=tuple(entries))
    readable(manifest)  # before anything is run: what is told of a model may come from anyone
    believe(Bundle(manifest.name, manifest, files), trust=trust_of(manifest))
    return files, manifest


def _unlisted(model: onnx.ModelProto) -> list[str]:
    return sorted({node.op_type for node in model.graph.node} - OPERATORS.keys() - RANDOM_OPERATORS)


def trust_of(manifest: Manifest) -> Trust:
    """What a loader must be told to take the bundle."""
    return "strict" if manifest.trust is msgspec.UNSET else manifest.trust


def readable(manifest: Manifest) -> bytes:
    """The manifest's bytes, once a reader takes them: a bundle that cannot be loaded is never published.

    Raises:
        ExportError: a value that JSON or the manifest's rules do not have.
    """
    try:
        json.dumps(msgspec.to_builtins(manifest), allow_nan=False)  # msgspec would write null for NaN and infinity
        data = encode_manifest(manifest)
        decode_manifest(data, where=MANIFEST_NAME)
    except (BundleError, TypeError, ValueError) as error:
        raise ExportError(f"{MANIFEST_NAME}: could not be read again: {error}; mend what describes the model") from None
    return data


def proved(
    files: dict[str, bytes], manifest: Manifest, vectors: dict[Case, Vectors], *, bound: Bound
) -> tuple[dict[str, bytes], Manifest, Pair]:
    """Holds the graphs against their source: files with the golden vectors, the finished manifest, both running.

    Args:
        files: the graphs by name.
        manifest: names them.
        vectors: what the source gives, every case that is to be compared.
        bound: of each value, see `reparam.verification.compare`.

    Raises:
        BundleError: a graph holds what no bundle may hold.
        VerificationError: a graph's numbers differ from the source's.
    """
    sizes = golden_sizes(manifest)
    golden = encode_golden(kept(vectors))
    manifest = msgspec.structs.replace(
        manifest,
        golden=msgspec.structs.replace(
            manifest.golden, bytes=len(golden), sha256=sha256(golden), batches=_batches(kept(vectors)), sizes=sizes
        ),
    )
    files = {**files, _GOLDEN: golden}
    pair = start_pair(believe(Bundle(manifest.name, manifest, files), trust=trust_of(manifest)), device="cpu")
    done = Verification(
        precision="fp32",
        provider=pair.encoder.provider,
        onnxruntime=import_onnxruntime().__version__,
        batches=_batches(vectors),
        sizes=sizes,
        bound=bound,
        worst=compare(pair, vectors, bound=bound),
    )
    return files, msgspec.structs.replace(manifest, verification=(done,)), pair


def publish_bundle(target: Path, manifest: Manifest, files: dict[str, bytes], pair: Pair) -> None:
    """Adds preview, card and manifest, and puts the bundle in place in one step.

    Raises:
        ExportError: a file names this machine, or the manifest could not be read again.
        OutputError: the place cannot be written; what was there is still there.
    """
    picture = preview(pair)
    if picture is not None:
        files = {**files, "preview.png": picture}
    files = {
        **files,
        "README.md": model_card(manifest, has_preview=picture is not None).encode("utf-8"),
        MANIFEST_NAME: readable(manifest),
    }
    for file, data in files.items():
        if not file.endswith(".png"):
            check_anonymous(data, where=file)
    publish(target, files)


def _batches(cases: Iterable[Case]) -> tuple[int, ...]:
    """The batch sizes among cases, in order."""
    return tuple(dict.fromkeys(case.batch for case in cases))


def serialise(model: onnx.ModelProto) -> bytes:
    """The graph's bytes, the same for the same graph."""
    return bytes(model.SerializeToString(deterministic=True))


def sha256(data: bytes) -> str:
    """Of bytes, in hex."""
    return hashlib.sha256(data).hexdigest()
