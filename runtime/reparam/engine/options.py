"""How a bundle is loaded, as data: what a model remembers of its making, so that another process can repeat it."""

import dataclasses
from typing import Literal

from reparam.bundle.manifest import Trust


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """The options of `load`, by which a pickled model is loaded again."""

    device: str
    precision: Literal["auto", "fp32", "fp16", "int8"]
    prefer: Literal["accuracy", "speed"]
    threads: int | None
    max_batch: int
    follow_links: bool
    expect_sha256: str | None
    trust: Trust
    memory_budget: int | None
    tf32: bool
