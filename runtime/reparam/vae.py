"""The face of the runtime: one class over two graphs, whose noise is (seed, row) and never hidden state."""

import os
from types import TracebackType
from typing import Any, Literal, Self

from reparam.bundle.manifest import Manifest, Trust
from reparam.engine import inherited
from reparam.engine.device_arrays import DeviceArrays
from reparam.engine.info import Info, Placement, info_of, placement_of
from reparam.engine.options import LoadOptions
from reparam.engine.pinned import Pinned
from reparam.engine.pool import Pool
from reparam.engine.rows import Rows
from reparam.engine.start import start
from reparam.face.awaiting import Awaiting
from reparam.face.latent import Latent
from reparam.face.scoring import Scoring
from reparam.face.streaming import Streaming


def load(
    path: str | os.PathLike[str],
    *,
    device: str = "auto",
    precision: Literal["auto", "fp32", "fp16", "int8"] = "auto",
    prefer: Literal["accuracy", "speed"] = "accuracy",
    threads: int | None = None,
    max_batch: int = 256,
    follow_links: bool = False,
    expect_sha256: str | None = None,
    trust: Trust = "strict",
    memory_budget: int | None = None,
    tf32: bool = False,
) -> "VAE":
    """Loads a bundle: every file is hashed, every graph checked, and both sessions are ready when this returns.

    Args:
        path: the bundle's folder.
        device: "cpu", "cuda", "cuda:N", or "auto": cuda where it can be had, else cpu with one Python warning.
        precision: "fp32", or a variant that the bundle holds; "auto" chooses, and `info()` tells what it chose.
        prefer: what "auto" looks for: "accuracy" is fp32; "speed" is int8 on a CPU that has instructions for it and
            fp16 on a GPU, where the bundle holds that variant, and else fp32.
        threads: of each session; None takes what affinity and the container's quota allow.
        max_batch: rows run at a time, 1 to 2^20; more memory above it, not more speed.
        follow_links: whether the bundle's files may be symbolic links.
        expect_sha256: the sha256, in hex, that manifest.json must have; it pins every file.
        trust: "strict" takes graphs of operators on the gate's list alone, which random graphs could not bring down;
            "exporter" takes any standard operator that is not random, for bundles of someone you trust as you trust a
            program of theirs. Hashes and all other checks are the same.
        memory_budget: bytes that both graphs may need for a call of max_batch rows, weights included, by an estimate
            from their sizes; a bundle that needs more is refused before it is run. None: one row must fit into three
            quarters of the memory of this machine, or of the container. A call whose rows do not fit at once, larger
            images for example, runs in parts; one row that does not fit raises `OutOfMemory`.
        tf32: whether a CUDA card may round the factors of float32 products to 10 bits of mantissa: faster, and results
            that differ from the CPU's in the third or fourth digit. Products that an fp16 bundle leaves in float32 may
            always be rounded so. Refused for device="cpu".

    Raises:
        BundleNotFound: no such folder, or a file of it is missing.
        BundleError: damaged, changed, or not a bundle; or a graph that no bundle may hold.
        DeviceUnavailable: the device that was named cannot be had, with what is missing, or the memory is too small.
        MissingExtra: no onnxruntime wheel, or two.
        OptionError: an option out of its range, a precision that the bundle does not hold, or a budget too small.

    Examples:
        >>> import reparam
        >>> vae = reparam.load("models/digits", device="cpu")
        >>> vae.generate(16, seed=7).shape
        (16, 1, 8, 8)
    """
    options = LoadOptions(
        device=device,
        precision=precision,
        prefer=prefer,
        threads=threads,
        max_batch=max_batch,
        follow_links=follow_links,
        expect_sha256=expect_sha256,
        trust=trust,
        memory_budget=memory_budget,
        tf32=tf32,
    )
    return VAE(path, options)


class VAE(Awaiting, Latent, Scoring, Streaming):
    """A loaded bundle; see `load`, which makes it.

    Rows go in and come out in order, in chunks of `max_batch`. x is float32 [n, *input] and z float32 [n, *latent];
    float64, float16 and other byte orders are converted, anything else is refused by name. A raw bundle takes and gives
    x as uint8 [n, height, width, channels]. Where height and width are open (`manifest.input.factors`), *input and
    *latent are those of the rows at hand.

    Calls are safe from several threads. A pickle is a recipe, and a child that came by fork starts sessions of its own
    when it first needs them. Every call raises `InputError` or `InputTypeError` for an array that does not fit,
    `RunError` where onnxruntime fails, and `ClosedError` after `close`; numpy's `MemoryError` where results do not fit
    into memory.
    """

    def __init__(self, path: str | os.PathLike[str], options: LoadOptions) -> None:
        self._path = os.path.abspath(path)  # noqa: PTH100  resolve() would look through links
        self._options, self._own = start(path, options)
        self._pool = Pool(self._own.pair.threads)
        self._forks: int = inherited.forks

    @property
    def _rows(self) -> Rows:
        """The sessions of this process: a child that came by fork starts its own and leaves its parent's alone."""
        if inherited.forks != self._forks:
            inherited.leave_alone(self._own)
            if not self._own.closed:
                _, self._own = start(self._path, self._options)
            self._forks = inherited.forks
        return self._own

    def __del__(self) -> None:
        """A session that came by fork is not even destroyed."""
        if hasattr(self, "_forks") and inherited.forks != self._forks:
            inherited.leave_alone(self._own)

    @property
    def manifest(self) -> Manifest:
        """The bundle's manifest."""
        return self._own.manifest

    def info(self) -> Info:
        """What really runs: device, provider, precision, threads, versions, shapes."""
        return info_of(self._rows.pair, max_batch=self._rows.max_batch)

    def placement(self) -> Placement:
        """Which provider runs which nodes, as onnxruntime assigned them when the sessions were made."""
        return placement_of(self._rows.pair)

    def trim(self) -> None:
        """Gives back the memory that onnxruntime keeps for the largest batch so far; runs one row to do so."""
        self._rows.trim()

    def pinned(self, batch: int, *, size: tuple[int, int] | None = None, cuda_graph: bool | None = None) -> Pinned:
        """The model for exactly `batch` rows a call, with buffers of its own: the least that a call can cost.

        Args:
            batch: rows of each call, at least 1.
            size: height and width of images, where the bundle leaves them open; None for those of training.
            cuda_graph: on a card, whether its graphs are captured once as CUDA graphs and replayed by each call, for
                which they lie on the card once more; None for where that is possible, which `.cuda_graph` tells. While
                they are captured, before this returns, runs of other models wait; another library, such as PyTorch in
                another thread, must ask the card for nothing then, or both fail.

        Returns:
            A context manager with `encode`, `sample` and `decode`, for the thread that made it alone. It holds the
            sessions by itself, and goes on after `close` of the model.

        Raises:
            OptionError: a batch or size out of range, or cuda_graph on the CPU.
            DeviceUnavailable, RunError: cuda_graph is True, and a node runs on the CPU or onnxruntime cannot capture.
            OutOfMemory: there is no memory for it, or it needs more than memory_budget.

        Examples:
            >>> import numpy, reparam
            >>> vae = reparam.load("models/digits", device="cpu")
            >>> with vae.pinned(batch=1) as fast:
            ...     fast.encode(numpy.zeros((1, 1, 8, 8), "float32")).mean.shape
            (1, 8)
        """
        return Pinned(self._rows, batch, size, cuda_graph=cuda_graph)

    def device_arrays(self) -> DeviceArrays:
        """The model for arrays that stay on its device: DLPack in, DLPack out, nothing copied.

        Raises:
            MissingExtra: the installed onnxruntime has no DLPack.
        """
        return DeviceArrays(lambda: self._rows)

    def close(self) -> None:
        """Lets go of both sessions; any later call raises `ClosedError`. Closing twice is fine."""
        self._rows.close()
        self._pool.close()

    def __enter__(self) -> Self:
        _ = self._rows.pair  # ClosedError
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
