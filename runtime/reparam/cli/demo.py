"""`reparam demo`: the whole way once, from data to a loaded model, with pictures."""

import contextlib
import dataclasses
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import numpy.typing as npt

from reparam.arrays import FloatArray
from reparam.cli.common import PATH, print_json, table
from reparam.errors import MissingExtra, OptionError

if TYPE_CHECKING:
    from reparam.bundle.manifest import Verification
    from reparam.vae import VAE

_SEED = 7
# as models/digits; one thread, which is enough for a net this small and leaves nothing to the number of cores
_MODEL = ("--likelihood", "gaussian", "--latent", "8", "--activation", "silu", "--threads", "1")
_SHOWN = 12  # digits in a line of a picture


@dataclasses.dataclass(frozen=True)
class Places:
    """What the demo leaves behind."""

    out: Path

    @property
    def run(self) -> Path:
        """The training run."""
        return self.out / "run"

    @property
    def bundle(self) -> Path:
        """The exported bundle."""
        return self.out / "digits"

    @property
    def rows(self) -> Path:
        """The test rows, .npy."""
        return self.out / "test.npy"

    @property
    def labels(self) -> Path:
        """Their labels, .npy."""
        return self.out / "labels.npy"


@click.command(short_help="Everything once, with pictures.")
@click.option("--out", type=PATH, required=True, help="Folder to leave everything in; it must not exist yet.")
@click.option("--device", default="auto", show_default=True, help="Where the bundle runs: cpu, cuda, cuda:N, or auto.")
@click.option("--epochs", type=click.IntRange(min=1), help="Passes over the training rows.  [default: train's]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def demo(out: Path, *, device: str, epochs: int | None, as_json: bool) -> None:
    """Train on the digits that ship, export, prove, run and draw: everything once, in about a minute.

    \b
    reparam demo --out demo
    """
    import reparam
    from reparam.files import npy
    from reparam.pictures import pictures_available

    if out.exists() and any(out.iterdir() if out.is_dir() else [out]):
        raise OptionError(f"--out: {out} exists; choose a folder that does not, or remove it")
    if not pictures_available():
        raise MissingExtra("the demo draws pictures; pip install 'reparam[report]'")
    out.mkdir(parents=True, exist_ok=True)
    places = Places(out)
    with contextlib.redirect_stdout(sys.stderr):  # stdout is for the demo's own report
        more = [] if epochs is None else ["--epochs", str(epochs)]
        # no trial export: the real one follows at once
        _command("train", "digits", "--out", str(places.run), *_MODEL, *more, "--no-preflight")
        _command("export", str(places.run), str(places.bundle))
        _command("data", "digits", "--split", "test", "--out", str(places.rows), "--labels", str(places.labels))
    x = np.asarray(npy.read(places.rows))
    labels = np.asarray(npy.read(places.labels))
    with reparam.load(places.bundle, device=device) as vae:
        worst = _worst(reparam.verify(places.bundle, device=vae.info().device))
        rates = {"encode": _rate(vae, x, "encode"), "reconstruct": _rate(vae, x, "reconstruct")}
        pictures = _draw(vae, x, labels, out)
        elbo = vae.manifest.training.metrics["test_elbo"] if vae.manifest.training else float("nan")
        where = vae.info()
    if as_json:
        print_json(
            {
                "test_elbo": elbo,
                "worst_absolute_error": worst,
                "rows_per_second": rates,
                "device": where.device,
                "threads": where.threads,
                "run": str(places.run),
                "bundle": str(places.bundle),
                "pictures": [str(path) for path in pictures],
            }
        )
        return
    report = [
        ("test ELBO", f"{elbo:.2f} nats per digit"),
        ("worst parity error", f"{worst:.1e} against PyTorch, over every output"),
        *(
            (f"{name}", f"{rate:,.0f} rows/s on {where.device}, {where.threads} threads")
            for name, rate in rates.items()
        ),
        ("run", str(places.run)),
        ("bundle", str(places.bundle)),
        *(("picture", str(path)) for path in pictures),
    ]
    click.echo(table(report))
    click.echo(f"\nimport reparam\nvae = reparam.load({str(places.bundle)!r})\nx_hat = vae.generate(16, seed={_SEED})")


def _command(name: str, *arguments: str) -> None:
    """Runs another command as a user would, wherever it comes from."""
    from reparam.cli.main import group

    context = click.Context(group)
    command = group.get_command(context, name)
    if command is None:
        raise MissingExtra(f"the demo needs the command {name}; pip install 'reparam[train,export]'")
    command.main(list(arguments), prog_name=f"reparam {name}", standalone_mode=False)


def _worst(results: "Iterable[Verification]") -> float:
    return max(worst.absolute for done in results for worst in done.worst.values())


def _rate(vae: "VAE", x: FloatArray, op: str, *, repeats: int = 7) -> float:
    """Median rows per second of an operation over 4,096 rows, after one call that is not counted."""
    rows = np.resize(x, (4096, *x.shape[1:]))
    calls: dict[str, Callable[[FloatArray], object]] = {"encode": vae.encode, "reconstruct": vae.reconstruct}
    call = calls[op]
    call(rows)
    seconds: list[float] = []
    for _ in range(repeats):
        begin = time.perf_counter()
        call(rows)
        seconds.append(time.perf_counter() - begin)
    return len(rows) / statistics.median(seconds)


def _draw(vae: "VAE", x: FloatArray, labels: npt.NDArray[Any], out: Path) -> list[Path]:
    """The four pictures."""
    from reparam.files.atomic import write_bytes
    from reparam.pictures import mosaic_png, principal_plane, scatter_png

    shown = x[:_SHOWN]
    pairs = np.concatenate([shown, vae.reconstruct(shown)])
    ends = [np.flatnonzero(labels == digit)[0] for digit in range(10)]
    line = vae.interpolate(x[ends[:5]], x[ends[5:]], steps=_SHOWN)  # [5, steps, *input]
    mean = vae.encode(x).mean
    plane = principal_plane(mean)
    pngs = {
        "reconstructions.png": mosaic_png(
            pairs, columns=_SHOWN, low=0, high=1, title="Test digits, and below them their reconstructions"
        ),
        "samples.png": mosaic_png(
            vae.generate(_SHOWN * 6, seed=_SEED), columns=_SHOWN, low=0, high=1, title="Samples from the prior"
        ),
        "interpolation.png": mosaic_png(
            line.reshape(-1, *x.shape[1:]), columns=_SHOWN, low=0, high=1, title="From one digit to another, through z"
        ),
        "latents.png": scatter_png(
            plane.project(mean),
            labels,
            title="Latent means of the test digits",
            axes_titles=(
                f"first principal component ({plane.shares[0]:.0%} of the variance)",
                f"second principal component ({plane.shares[1]:.0%})",
            ),
        ),
    }
    for name, png in pngs.items():
        write_bytes(out / name, png)
    return [out / name for name in pngs]
