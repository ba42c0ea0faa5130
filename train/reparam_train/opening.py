"""A run folder is opened: made for a new run, or believed to hold the beginning of this one."""

from pathlib import Path
from typing import Final

from reparam.errors import InputError, OptionError
from reparam.files.reasons import as_output_error
from reparam_train import record
from reparam_train.data.columns import Column, places
from reparam_train.data.split import Data, Split
from reparam_train.options import Options, VAEConfig, check_pair
from reparam_train.record import Recorded, RunRecord

# what a resumed run may alter
CHANGEABLE: Final = frozenset({"epochs", "device", "validate_every", "threads", "patience", "checkpoint_every"})


def describe(data: Data, config: VAEConfig, options: Options) -> RunRecord:
    """The record of this run, once data and model are known to fit."""
    check_pair(config, options)
    if data.shape != config.input_shape:
        raise InputError(
            f"{data.name}: the model takes rows of shape {list(config.input_shape)}, got {list(data.shape)}"
        )
    low, high = data.low, data.high
    if config.likelihood == "bernoulli" and low is None:
        low, high = 0.0, 1.0
        for split in (data.train, data.test):
            split.check(low=low, high=high)
    for split in (data.train, data.test) if config.columns else ():
        check_columns(split, config.columns)
    return RunRecord(
        config=config,
        data=data.name,
        data_sha256=data.sha256,
        train_rows=len(data.train),
        test_rows=len(data.test),
        low=low,
        high=high,
        layout=data.layout,
        reading=data.reading,
        columns=data.columns,
        options=options,
        versions=record.versions(),
    )


def check_columns(split: Split, columns: tuple[Column, ...]) -> None:
    """`InputError` for the first row whose values are not what its columns say: in [0, 1], or one-hot."""
    for piece in split.pieces():
        batch = split.batch(piece)  # [rows, width]
        for column, start, stop in places(columns):
            block = batch[:, start:stop]
            good = (block >= 0) & (block <= 1)
            rule = "values from 0 to 1"
            if column.kind == "gaussian":
                continue
            if column.kind == "categorical":
                good, rule = ((block == 0) | (block == 1)) & (block.sum(1, keepdims=True) == 1), "one 1 and else 0"
            if not good.all():
                row = int(split.rows[piece[int((~good).any(1).argmax())]])
                raise InputError(
                    f"{split.source}: column {column.name} is {column.kind} and holds {rule}, row {row} does not; "
                    "mend the row or the columns"
                )


def open_folder(folder: Path, now: RunRecord, *, resume: bool) -> None:
    """Makes a new run's folder, or checks that a run's folder holds the beginning of this run."""
    if resume:
        check_same(folder, record.read(folder), now)
        return
    with as_output_error(folder):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise OptionError(f"out: {folder} exists already; continue it with --resume, or choose another --out")
        folder.mkdir(parents=True, exist_ok=True)


def check_same(folder: Path, before: Recorded, now: Recorded) -> None:
    """Refuses to continue a run or study with another model, other options or other rows."""
    for old, new in (
        (before.config, now.config),
        (before.options, now.options),
        (before.reading, now.reading if now.data == before.data else before.reading),  # of other data, it is no news
    ):
        for name in old.__struct_fields__:
            was, given = getattr(old, name), getattr(new, name)
            if was != given and name not in CHANGEABLE:
                raise OptionError(
                    f"{name}: {folder} was started with {was!r}, got {given!r}; leave it, or use another --out"
                )
    if now.options.schedule == "cosine" and before.options.epochs != now.options.epochs:
        raise OptionError(
            f"epochs: {folder} was started with {before.options.epochs} and a cosine schedule, which depends on it, "
            f"got {now.options.epochs}; leave it, or use another --out"
        )
    if before.data_sha256 != now.data_sha256:
        raise InputError(
            f"{now.data}: not the rows that {folder} was trained on, their sha256 differs; give the same data"
        )
