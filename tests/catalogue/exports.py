"""Exports that cannot be: of what is no model, to where nothing may be written, with options that mean nothing."""

from typing import Any

import numpy as np

from catalogue.checkpoints import run
from catalogue.files import as_nobody
from catalogue.row import Place, Row

EXPORT = "reparam export AT/run AT/new"


def foreign(place: Place) -> None:
    run(place)
    (place.at / "new").mkdir()
    (place.at / "new" / "thesis.txt").write_text("mine")


def in_the_way(place: Place) -> None:
    run(place)
    (place.at / "new").write_text("mine")


def closed(place: Place) -> None:
    run(place)
    (place.at / "closed").mkdir(mode=0o555)


def levels(place: Place) -> None:
    run(place)
    np.save(place.at / "levels.npy", np.full((20, 1, 8, 8), 16, np.float32))


def _row(key: str, fault: str, way: str, message: str, make: object = run, code: int = 2, **more: Any) -> Row:
    return Row(key=f"export-{key}", fault=fault, way=way, message=message, code=code, make=make, **more)  # type: ignore[arg-type]


ROWS = [
    _row(
        "nowhere",
        "a model that is not there",
        "reparam export AT/nowhere AT/new",
        "AT/nowhere: <reason>",
        lambda _: None,
        3,
    ),
    _row(
        "foreign",
        "a folder that holds something else in the bundle's place",
        EXPORT,
        "AT/new: is a folder but no bundle, and would be lost; choose another place",
        foreign,
        5,
    ),
    _row(
        "file",
        "a file in the bundle's place",
        EXPORT,
        "AT/new: exists and is no folder; choose another place",
        in_the_way,
        5,
    ),
    _row(
        "parent",
        "a bundle in a folder that there is not",
        "reparam export AT/run AT/nowhere/new",
        "AT/nowhere: no such folder; make it first",
        run,
        5,
    ),
    _row(
        "unwritable",
        "a bundle in a folder that may not be written to, found before the model is read",
        "reparam export AT/run AT/closed/new",
        "AT/closed/new: cannot be written (Permission denied); choose a folder you may write to",
        closed,
        5,
        during=as_nobody,
    ),
    _row(
        "precision",
        "a precision that there is not",
        f"{EXPORT} --precision int4",
        "--precision: must be some of fp32, fp16, int8 with commas between, got 'int4'",
    ),
    _row(
        "calibrate",
        "int8 without rows to calibrate it on",
        f"{EXPORT} --precision int8",
        "calibrate: int8 takes the range of each value from rows of data; give some, a few hundred",
    ),
    _row(
        "calibrate-rows",
        "a number of rows of no data",
        f"{EXPORT} --calibrate-rows 64",
        "--calibrate-rows: says how many rows of --calibrate, which is missing; give it too",
    ),
    _row(
        "keep-slower",
        "keeping variants where none is made",
        f"{EXPORT} --keep-slower",
        "keep_slower: is for fp16 and int8, got precision fp32 alone; add one or leave it out",
    ),
    _row(
        "levels",
        "rows to calibrate on beyond the range of training",
        f"{EXPORT} --precision fp16 --calibrate AT/levels.npy",
        "calibrate: must be from 0 to 1, the range of x in training, got 16 at row 0; scale the rows as training did",
        levels,
        4,
    ),
    _row(
        "bundle",
        "a bundle as a bundle",
        "reparam export AT/bundle AT/new",
        "AT/bundle: is a bundle already; --layout triton or optimum writes it for another program",
        Place.bundle,
    ),
    _row(
        "bundle-keep",
        "an option of models for a bundle",
        "reparam export AT/bundle AT/new --layout triton --keep-slower",
        "AT/bundle: is a bundle; precisions are added where a model is exported, leave them out",
        Place.bundle,
    ),
    _row(
        "pin",
        "a layout of another bundle than the one that is pinned",
        f"reparam export AT/bundle AT/new --layout triton --expect-sha256 {'0' * 64}",
        f"AT/bundle/manifest.json: its sha256 must be {'0' * 64} (expect_sha256), got <hex>",
        Place.bundle,
        3,
    ),
    _row(
        "pin-run",
        "a pin of a run, which is no bundle",
        f"{EXPORT} --expect-sha256 {'0' * 64}",
        "--expect-sha256: pins a bundle, and AT/run is none; leave it out",
    ),
    _row(
        "optimum",
        "an ONNX folder without a configuration",
        "reparam import-optimum AT/empty AT/new",
        "AT/empty: holds no vae_encoder/config.json; put the VAE's config.json there, as diffusers wrote it",
        lambda place: (place.at / "empty").mkdir(),
        3,
    ),
    _row(
        "layout",
        "a layout over a folder that was written by hand",
        "reparam export AT/bundle AT/new --layout triton",
        "AT/new: holds no layout.json of ours and would be lost; choose another place",
        lambda place: (place.bundle(), (place.at / "new").mkdir(), (place.at / "new" / "config.pbtxt").write_text("")),
        5,
    ),
]
