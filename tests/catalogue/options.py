"""Options that cannot be honoured, and calls at the wrong time."""

from typing import Any

from catalogue.row import Place, Row

OUT = "--out AT/out.npy --device cpu"


def _row(key: str, fault: str, way: str, message: str, **more: Any) -> Row:
    return Row(
        **{"key": f"option-{key}", "fault": fault, "way": way, "message": message, "code": 2, "make": Place.both} | more
    )


ROWS = [
    _row(
        "command",
        "a command that there is not",
        "reparam paint AT/bundle",
        "No such command 'paint'; see reparam --help",
    ),
    _row(
        "unknown",
        "an option that there is not",
        "reparam info AT/bundle --colour red",
        "No such option<reason>; see reparam info --help",
    ),
    _row(
        "missing",
        "nowhere to write",
        "reparam encode AT/bundle AT/x.npy --device cpu",
        "give --mean, --logvar or both: where to write; see reparam encode --help",
    ),
    _row(
        "one-file",
        "two results in one file",
        "reparam encode AT/bundle AT/x.npy --mean AT/out.npy --logvar AT/out.npy",
        "--mean and --logvar name one file; give two; see reparam encode --help",
    ),
    _row(
        "no-seed",
        "draws without a seed",
        f"reparam generate AT/bundle 3 {OUT}",
        "give --seed, for example --seed 7: the same seed gives the same rows; see reparam generate --help",
    ),
    _row(
        "seed-and-noise",
        "a seed and noise",
        f"reparam sample AT/bundle AT/x.npy --seed 7 --eps AT/x.npy {OUT}",
        "eps, seed: give exactly one; for example seed=7",
    ),
    _row(
        "seed-range",
        "a seed of more than 64 bits",
        f"reparam generate AT/bundle 3 --seed 18446744073709551616 {OUT}",
        "Invalid value for '--seed': 18446744073709551616 is not in the range 0<=x<=18446744073709551615; see reparam "
        "generate --help",
    ),
    _row(
        "rows-range",
        "rows whose numbers end beyond 64 bits",
        f"reparam generate AT/bundle 3 --seed 7 --first-row 18446744073709551615 {OUT}",
        "first_row: must be an integer from 0 to <n>, got 18446744073709551615",
    ),
    _row(
        "max-batch",
        "batches of no rows",
        f"reparam sample AT/bundle AT/x.npy --seed 7 --max-batch 0 {OUT}",
        "Invalid value for '--max-batch': 0 is not in the range 1<=x<=1048576; see reparam sample --help",
    ),
    _row(
        "workers",
        "more workers than can be",
        f"reparam sample AT/bundle AT/x.npy --seed 7 --workers 257 {OUT}",
        "Invalid value for '--workers': 257 is not in the range 1<=x<=256; see reparam sample --help",
    ),
    _row(
        "size",
        "a size where sizes are fixed",
        f"reparam generate AT/bundle 3 --seed 7 --size 16 16 {OUT}",
        "size: this bundle's rows are always [1, 8, 8]; leave it out",
    ),
    _row(
        "posterior",
        "the posterior of a deterministic autoencoder",
        "reparam encode AT/plain AT/x.npy --mean AT/out.npy --device cpu",
        "encode: a deterministic autoencoder has no posterior; call sample(x) for its z",
        make=lambda place: (place.both(), place.bundle("plain", deterministic=True)),
    ),
    _row(
        "likelihood",
        "scores of a bundle that names no likelihood",
        'reparam.load("AT/other", device="cpu").elbo(np.zeros((1, 1, 8, 8), "f4"), seed=7)',
        "elbo: this bundle names no likelihood, so no row can be scored; posterior.kl() works",
        error="OptionError",
        make=lambda place: place.bundle("other", likelihood=None),
    ),
    _row(
        "closed",
        "a call after close",
        "vae.close(); vae.encode(x)",
        "this model is closed; load it again",
        code=1,
        error="ClosedError",
    ),
    _row(
        "queue",
        "more rows in a call than a batcher's queue holds",
        "batcher = reparam.Batcher(vae, max_batch=4, max_queue=4); batcher.encode(x)",
        "rows: a call has at most 4 (max_queue), got 5; call the model itself, which needs no batcher for so many",
        code=4,
        error="InputError",
    ),
]
