"""The story in numbers: a plain autoencoder, penalised moments and a VAE with the same net, on the same rows.

The plain autoencoder learns no law of z, so what its decoder makes of z from N(0, I) is left to chance; a penalty on
the moments pulls z towards that law; the VAE's KL does so by as much as a bound of log p(x) asks. See docs/story.md.
"""

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

import msgspec

from reparam.errors import MissingExtra
from reparam.files.atomic import write_bytes
from reparam.pictures import pictures_available
from reparam_train import objectives
from reparam_train.data.split import Data
from reparam_train.study.numbers import Measured, Numbers, Ruler, Space, measure, measured
from reparam_train.study.runs import Arm, Study, open_study, trained

FILE: Final = "compare.json"
PICTURE: Final = "compare.png"
AUTOENCODER: Final = "autoencoder"
VAE: Final = "vae"


class Factor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The squared Frechet distance of one arm's prior samples over another's."""

    mean: float
    """Mean over seeds over mean over seeds."""
    lowest: float
    """Of the seeds, each for itself."""
    highest: float


class Comparison(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The contents of compare.json."""

    format: Literal["reparam-compare/1"] = "reparam-compare/1"
    study: Study
    space: Space
    arms: tuple[Measured, ...]
    """The autoencoder, each pair of penalties, the VAE."""
    autoencoder_over_vae: Factor
    """How much farther from the test rows the autoencoder's samples are than the VAE's."""


def arms_of(study: Study) -> tuple[Arm, ...]:
    """What a comparison trains. Raises `OptionError` for penalties out of range."""
    plain = msgspec.structs.replace(study.config, posterior="none")
    replace = msgspec.structs.replace
    return (
        Arm(AUTOENCODER, plain, replace(study.options, objective="autoencoder")),
        *(
            Arm(
                f"moments-{alpha:g}-{beta:g}",
                study.config,
                replace(study.options, objective="moments", mean_penalty=alpha, std_penalty=beta),
            )
            for alpha, beta in study.penalties
        ),
        Arm(VAE, study.config, replace(study.options, objective="elbo")),
    )


def compare(
    data: Data,
    study: Study,
    *,
    out: str | Path,
    resume: bool = False,
    progress: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> Comparison:
    """Trains, measures and draws; leaves compare.json and compare.png beside the runs.

    Args:
        data: before any limit.
        study: of kind "compare".
        out: a new or empty folder, or with `resume` one that holds this study; finished runs are not trained again, and
            there may be more seeds and penalties than before.
        resume: go on in `out`.
        progress: a progress bar on stderr for each run.
        tell: called with a line for each run.

    Raises:
        MissingExtra: matplotlib is not installed.
        OptionError, InputError, CheckpointError: as `open_study` and `fit` do.
        TrainingDiverged, DeviceUnavailable, OutputError, Interrupted: as `fit` does.
    """
    if not pictures_available():
        raise MissingExtra("compare draws a picture; pip install 'reparam[report]'")
    from reparam_train.study.compare_picture import Panel, draw, panel

    folder, arms = Path(out), arms_of(study)
    open_study(folder, study, resume=resume)
    ruler = Ruler.of(data.head(study.options.limit))
    numbers: dict[str, dict[int, Numbers]] = {arm.name: {} for arm in arms}
    panels: dict[str, Panel] = {}
    for arm, seed, run in trained(folder, study, arms, data, progress=progress, tell=tell):
        numbers[arm.name][seed] = measure(run, data, ruler, draws=study.draws)
        if seed == study.seeds[0]:
            panels[arm.name] = panel(run, data)
    found = Comparison(
        study=study,
        space=ruler.space,
        arms=tuple(measured(arm.name, objectives.describe(arm.options), numbers[arm.name]) for arm in arms),
        autoencoder_over_vae=_factor(numbers[AUTOENCODER], numbers[VAE]),
    )
    write_bytes(folder / FILE, msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
    write_bytes(folder / PICTURE, draw(study, found.arms, panels, ruler, data))
    return found


def _factor(one: dict[int, Numbers], two: dict[int, Numbers]) -> Factor:
    ratios = [one[seed].frechet / two[seed].frechet for seed in one]
    mean = statistics.fmean(n.frechet for n in one.values()) / statistics.fmean(n.frechet for n in two.values())
    return Factor(mean=mean, lowest=min(ratios), highest=max(ratios))
