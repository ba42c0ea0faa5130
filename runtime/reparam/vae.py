"""The face of the runtime: one class over two graphs, whose noise is (seed, row) and never hidden state."""

import dataclasses
import os
from types import TracebackType
from typing import Any, Literal, Self

from reparam.bundle.manifest import PRECISIONS, Manifest, Precision
from reparam.bundle.reader import read_bundle
from reparam.engine.info import Info, info_of
from reparam.engine.options import LoadOptions
from reparam.engine.pair import start_pair
from reparam.engine.pool import Pool
from reparam.engine.rows import Rows
from reparam.errors import OptionError
from reparam.face.awaiting import Awaiting
from reparam.face.scoring import Scoring
from reparam.face.streaming import Streaming
from reparam.integers import whole


def load(
    path: str | os.PathLike[str],
    *,
    device: str = "auto",
    precision: Literal["auto", "fp32", "fp16", "int8"] = "auto",
    threads: int | None = None,
    max_batch: int = 256,
    follow_links: bool = False,
    expect_sha256: str | None = None,
) -> "VAE":
    """Loads a bundle: every file is hashed, every graph checked, and both sessions are ready when this returns.

    Args:
        path: the bundle's folder.
        device: "cpu", "cuda", "cuda:N", or "auto": cuda where it can be had, else cpu with one Python warning.
        precision: "fp32", or a variant that the bundle holds; "auto" means fp32.
        threads: of each session; None takes what affinity and the container's quota allow.
        max_batch: rows run at a time, at least 1; more memory above it, not more speed.
        follow_links: whether the bundle's files may be symbolic links.
        expect_sha256: the sha256, in hex, that manifest.json must have; it pins every file.

    Raises:
        BundleNotFound: no such folder, or a file of it is missing.
        BundleError: damaged, changed, or not a bundle.
        DeviceUnavailable: the device that was named cannot be had, with what is missing.
        MissingExtra: no onnxruntime wheel, or two.
        OptionError: an option out of its range, or a precision that the bundle does not hold.

    Examples:
        >>> import reparam
        >>> vae = reparam.load("models/digits", device="cpu")
        >>> vae.generate(16, seed=7).shape
        (16, 1, 8, 8)
    """
    options = LoadOptions(
        device=device,
        precision=precision,
        threads=threads,
        max_batch=max_batch,
        follow_links=follow_links,
        expect_sha256=expect_sha256,
    )
    return VAE(path, options)


class VAE(Awaiting, Scoring, Streaming):
    """A loaded bundle; see `load`, which makes it.

    Rows go in and come out in order, in chunks of `max_batch`. x is float32 [n, *input] and z float32 [n, *latent];
    float64, float16 and other byte orders are converted, anything else is refused by name. A raw bundle takes and gives
    x as uint8 [n, height, width, channels]. Where height and width are open (`manifest.input.factors`), *input and
    *latent are those of the rows at hand. Calls are safe from several
    threads. Every call raises `InputError` or `InputTypeError` for an array that does not fit, `RunError` where
    onnxruntime fails, and `ClosedError` after `close`.
    """

    def __init__(self, path: str | os.PathLike[str], options: LoadOptions) -> None:
        max_batch = whole("max_batch", options.max_batch, low=1)
        if options.precision not in ("auto", *PRECISIONS):
            raise OptionError(f"precision: must be auto, {', '.join(PRECISIONS)}, got {options.precision!r}")
        precision: Precision = "fp32" if options.precision == "auto" else options.precision
        bundle = read_bundle(
            path,
            precisions=(precision,),
            follow_links=options.follow_links,
            expect_sha256=options.expect_sha256,
        )
        self._path = os.path.abspath(path)  # noqa: PTH100  resolve() would look through links
        self._options = dataclasses.replace(options, expect_sha256=bundle.sha256)  # a pickle means these very bytes
        pair = start_pair(bundle, device=options.device, precision=precision, threads=options.threads)
        self._rows = Rows(pair, max_batch=max_batch)
        self._pool = Pool(pair.threads)

    @property
    def manifest(self) -> Manifest:
        """The bundle's manifest."""
        return self._rows.manifest

    def info(self) -> Info:
        """What really runs: device, provider, precision, threads, versions, shapes."""
        return info_of(self._rows.pair, max_batch=self._rows.max_batch)

    def close(self) -> None:
        """Lets go of both sessions; any later call raises `ClosedError`. Closing twice is fine."""
        self._rows.close()
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled and copied as a recipe: the other process loads the same bundle with the same options."""
        return VAE, (self._path, self._options)

    def __repr__(self) -> str:
        state = "closed" if self._rows.closed else str(self._rows.pair.device)
        return f"<reparam.VAE {self.manifest.name} {self.manifest.id[:8]} {state}>"
