"""The rate-distortion front: a VAE for each weight beta of the KL.

A small beta buys a small distortion with a large rate, a large beta the other way round; the ELBO is minus their sum,
whatever beta trained. A. A. Alemi et al., "Fixing a Broken ELBO", ICML 2018, figure 1.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

import msgspec

from reparam.errors import MissingExtra, OptionError
from reparam.files.atomic import write_bytes
from reparam.pictures import pictures_available
from reparam_train import objectives
from reparam_train.data.split import Data
from reparam_train.study.numbers import Measured, Numbers, Ruler, Space, measure, measured
from reparam_train.study.runs import Arm, Study, open_study, trained

FILE: Final = "sweep.json"
PICTURE: Final = "sweep.png"


class Point(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A place of the front."""

    beta: float
    arm: Measured


class Sweep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The contents of sweep.json."""

    format: Literal["reparam-sweep/1"] = "reparam-sweep/1"
    study: Study
    space: Space
    points: tuple[Point, ...]
    """In the order of `study.betas`."""


def arms_of(study: Study) -> tuple[Arm, ...]:
    """What a sweep trains. Raises `OptionError` for a beta out of range, or for none."""
    if not study.betas:
        raise OptionError("beta: must hold at least one weight, got none; give for example 0.1,1,10")
    return tuple(
        Arm(f"beta-{beta:g}", study.config, msgspec.structs.replace(study.options, objective="elbo", beta=beta))
        for beta in study.betas
    )


def sweep(
    data: Data,
    study: Study,
    *,
    out: str | Path,
    resume: bool = False,
    progress: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> Sweep:
    """Trains, measures and draws; leaves sweep.json and sweep.png beside the runs. Arguments and errors: `compare`."""
    if not pictures_available():
        raise MissingExtra("sweep draws a picture; pip install 'reparam[report]'")
    from reparam_train.study.sweep_picture import draw

    folder, arms = Path(out), arms_of(study)
    open_study(folder, study, resume=resume)
    ruler = Ruler.of(data.head(study.options.limit))
    numbers: dict[str, dict[int, Numbers]] = {arm.name: {} for arm in arms}
    for arm, seed, run in trained(folder, study, arms, data, progress=progress, tell=tell):
        numbers[arm.name][seed] = measure(run, data, ruler, draws=study.draws)
    points = tuple(
        Point(beta=arm.options.beta, arm=measured(arm.name, objectives.describe(arm.options), numbers[arm.name]))
        for arm in arms
    )
    found = Sweep(study=study, space=ruler.space, points=points)
    write_bytes(folder / FILE, msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
    write_bytes(
        folder / PICTURE, draw(study, [(point.beta, point.arm) for point in points], test_rows=ruler.space.test_rows)
    )
    return found
