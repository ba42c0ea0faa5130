"""The runs of a study: each arm trained once for each seed, in folders that another call goes on with.

DIR/study.json says what is studied, DIR/runs/ARM-seed-S are run folders as `reparam train` leaves them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

from reparam.errors import CheckpointError, OptionError
from reparam.files.atomic import write_bytes
from reparam.files.reasons import as_output_error
from reparam.files.regular import read_regular
from reparam.laws import check_seed
from reparam_train import record
from reparam_train.data.columns import Column
from reparam_train.data.reading import OWN_SPLIT, Reading
from reparam_train.data.split import Data
from reparam_train.loop import fit
from reparam_train.opening import check_same
from reparam_train.options import Options, VAEConfig

FILE: Final = "study.json"
RUNS: Final = "runs"

Kind = Literal["compare", "sweep"]
Penalties = tuple[float, float]


class Study(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is studied, the contents of study.json. Raises `OptionError` for values out of range."""

    format: Literal["reparam-study/1"] = "reparam-study/1"
    kind: Kind
    data: str
    """Name of the data."""
    data_sha256: str
    """Of the training rows after any limit."""
    reading: Reading = OWN_SPLIT
    """How the source was read."""
    columns: tuple[Column, ...] = ()
    """Of a table, as it was read."""
    config: VAEConfig
    """Of the arms with a posterior."""
    options: Options
    """Of all arms, but for seed and objective."""
    seeds: tuple[int, ...]
    draws: int
    """Importance samples a row for nll; 0 for none."""
    penalties: tuple[Penalties, ...] = ()
    """compare: (alpha, beta) of each arm whose moments are penalised."""
    betas: tuple[float, ...] = ()
    """sweep: weights of the KL."""

    def __post_init__(self) -> None:
        if self.config.posterior == "none":
            raise OptionError("posterior: a study compares posteriors, got none; leave posterior out")
        for name, values in (("seeds", self.seeds), ("penalties", self.penalties), ("beta", self.betas)):
            if len(set(values)) != len(values):
                raise OptionError(f"{name}: each value stands once, got {','.join(map(str, values))}")
        if not self.seeds:
            raise OptionError("seeds: must hold at least one, got none; give for example 0,1,2")
        for seed in self.seeds:
            check_seed(seed)
        if not 0 <= self.draws < 2**30:
            raise OptionError(f"samples: must be from 0 to 2^30 - 1, got {self.draws}")


@dataclass(frozen=True)
class Arm:
    """One of the models of a study, before its seed is known."""

    name: str
    """Part of a folder's name."""
    config: VAEConfig
    options: Options


def read(folder: Path, kind: Kind) -> Study:
    """The study of a folder.

    Raises:
        CheckpointError: none there, or a file that does not decode.
        OptionError: one of the other kind.
    """
    place = folder / FILE
    try:
        data = read_regular(place, most=record.MOST)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(f"{folder}: not a study ({FILE}: {reason}); leave --resume out") from None
    try:
        found = msgspec.json.decode(data, type=Study)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{place}: not a valid study ({error}); restore the file or use another --out") from None
    if found.kind != kind:
        raise OptionError(f"out: {folder} holds a {found.kind}, got {kind}; use another --out")
    return found


def open_study(folder: Path, study: Study, *, resume: bool) -> None:
    """Makes a study's folder and writes study.json, or with `resume` goes on in one that is there.

    Raises:
        OptionError: the folder holds something and `resume` is False; or what must not change was changed.
        InputError: `resume` with other rows than before.
        OutputError: the folder cannot be written.
    """
    with as_output_error(folder):
        if not resume and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise OptionError(f"out: {folder} exists already; continue it with --resume, or choose another --out")
        if resume:  # before study.json is written: it would say what no run is
            check_same(folder, read(folder, study.kind), study)
        (folder / RUNS).mkdir(parents=True, exist_ok=True)
    write_bytes(folder / FILE, msgspec.json.format(msgspec.json.encode(study), indent=2) + b"\n")


def trained(
    folder: Path,
    study: Study,
    arms: tuple[Arm, ...],
    data: Data,
    *,
    progress: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[tuple[Arm, int, Path]]:
    """Each arm with each seed and the folder of its finished run; what is finished already is not trained again.

    Args:
        folder: of the study, which `open_study` opened.
        study: its seeds.
        arms: in the order of the result.
        data: before any limit, which is an option of each arm.
        progress: a progress bar on stderr for each run.
        tell: called with a line for each run.

    Raises:
        TrainingDiverged, DeviceUnavailable, OutputError, Interrupted: as `fit` does.
    """
    pairs = [(arm, seed) for arm in arms for seed in study.seeds]
    for number, (arm, seed) in enumerate(pairs):
        run = folder / RUNS / f"{arm.name}-seed-{seed}"
        tell(f"run {number + 1} of {len(pairs)}: {run.name}")
        options = msgspec.structs.replace(arm.options, seed=seed)
        begun = (run / record.FILE).exists()
        fit(data, arm.config, options, out=run, resume=begun, progress=progress)
        yield arm, seed, run
