"""What runs, and where: told from the sessions, not from what was asked for."""

import msgspec

from reparam.engine.pair import Pair, session_of
from reparam.engine.wheel import import_onnxruntime


class Info(msgspec.Struct, frozen=True, kw_only=True):
    """What runs, and where. `input` and `latent` are shapes of one row."""

    name: str
    id: str
    input: tuple[int, ...]
    latent: tuple[int, ...]
    likelihood: str | None
    noise: str | None
    device: str
    tf32: bool
    provider: str
    precision: str
    threads: int
    max_batch: int
    onnxruntime: str


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """Which provider runs which nodes: nodes of each operator, by provider; None where onnxruntime does not tell."""

    encoder: dict[str, dict[str, int]] | None
    decoder: dict[str, dict[str, int]] | None


def placement_of(pair: Pair) -> Placement:
    """Where the nodes of both graphs run."""
    return Placement(encoder=session_of(pair.encoder).nodes(), decoder=session_of(pair.decoder).nodes())


def info_of(pair: Pair, *, max_batch: int) -> Info:
    """The facts of a running pair."""
    manifest = pair.manifest
    return Info(
        name=manifest.name,
        id=manifest.id,
        input=manifest.input.shape,
        latent=manifest.latent.shape,
        likelihood=None if manifest.likelihood is None else type(manifest.likelihood).__name__.lower(),
        noise=manifest.latent.noise,
        device=str(pair.device),
        tf32=pair.tf32,
        provider=pair.encoder.provider,
        precision=pair.precision,
        threads=pair.threads,
        max_batch=max_batch,
        onnxruntime=import_onnxruntime().__version__,
    )
