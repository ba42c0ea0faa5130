"""Bundles damaged at random, through the loader with onnxruntime behind it: refused in one line, or run; never worse.

python tests/fuzz/bundles.py --count 100000                 # as the damage left them: none may load
python tests/fuzz/bundles.py --count 100000 --rehash        # with sizes and hashes made to fit: none may crash or hang
"""

import argparse
import copy
import functools
import hashlib
import json
import random
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from children import main, wrong

import reparam
from reparam.errors import ReparamError
from reparam.testing import tiny_bundle

Files = dict[str, bytes]
ODD: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        2**31,
        2**63,
        2**64,
        1e308,
        -0.5,
        "",
        "x",
        "../x",
        "a\x00b",
        "\u202e",
        "fp32",
        "encoder",
    ),
    *([], {}, [0], [2**31 - 1] * 7, [1, 1], {"kind": "gaussian"}, "9" * 64, "float32", "uint8", "channels_last"),
]
NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF)


@functools.cache
def originals() -> tuple[Files, ...]:
    """Small bundles of each kind, as files in memory."""
    found: list[Files] = []
    with tempfile.TemporaryDirectory() as folder:
        for number, options in enumerate(
            (
                {"input_shape": (3,)},
                {"input_shape": (1, 4, 4), "likelihood": "gaussian"},
                {"input_shape": (4,), "latent_shape": (3,), "deterministic": True},
                {"input_shape": (2, 4, 4), "latent_shape": (2, 2, 2), "likelihood": "laplace", "posterior": "uniform"},
            )
        ):
            place = tiny_bundle(Path(folder) / str(number), seed=number, **options)  # type: ignore[arg-type]
            found.append({file.name: file.read_bytes() for file in sorted(place.iterdir())})
    return tuple(found)


def damage(draw: random.Random, data: bytes, other: bytes) -> bytes:
    """Some bytes changed, cut, moved, doubled, or taken from another file."""
    out = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        size = len(out)
        if not size:
            break
        at, length = draw.randrange(size), draw.choice((1, 1, 2, 4, 8, 64))
        match draw.randrange(9):
            case 0 | 1:
                out[at] ^= 1 << draw.randrange(8)
            case 2:
                out[at] = draw.choice(NUMBERS)
            case 3:
                del out[at:]
            case 4:
                del out[at : at + length]
            case 5:
                out[at:at] = out[at : at + length]
            case 6:
                begin = draw.randrange(len(other))
                out[at : at + length] = other[begin : begin + length]
            case 7:
                there = draw.randrange(size)
                out[at : at + length], out[there : there + length] = out[there : there + length], out[at : at + length]
            case _:
                out[at : at + length] = draw.randbytes(length)
    return bytes(out)


def edited(draw: random.Random, manifest: Any) -> Any:
    """The manifest with some of its values changed, removed or added."""
    document = copy.deepcopy(manifest)
    for _ in range(draw.choice((1, 1, 2))):
        place = document
        while isinstance(place, dict | list) and place:
            key = draw.choice(sorted(place)) if isinstance(place, dict) else draw.randrange(len(place))
            if not isinstance(place[key], dict | list) or not place[key] or draw.random() < 0.3:
                break
            place = place[key]
        else:
            continue
        match draw.randrange(4):
            case 0:
                del place[key]
            case 1 if isinstance(place, dict):
                place[draw.choice(("extra", "trust", "training", "kind"))] = copy.deepcopy(draw.choice(ODD))
            case _:
                place[key] = copy.deepcopy(draw.choice(ODD))
    return document


def rehashed(files: Files) -> Files:
    """The manifest's sizes and hashes made to fit, where it can still be read."""
    try:
        document = json.loads(files["manifest.json"])
        for entry in document["graphs"]:
            data = files[entry["file"]]
            entry |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return files
    return files | {"manifest.json": json.dumps(document).encode()}


def case(seed: int, number: int, *, rehash: bool) -> str:
    """Damages one bundle and loads it."""
    draw = random.Random(f"{seed}:{number}:{rehash}")
    whole = draw.choice(originals())
    files = dict(whole)
    graphs = ["encoder.onnx", "decoder.onnx"]
    what = draw.choice(("graph", "graph", "graph", "manifest", "document", "swap"))
    if what == "graph":
        name, other = draw.sample(graphs, 2)
        files[name] = damage(draw, files[name], files[other])
    elif what == "manifest":
        files["manifest.json"] = damage(draw, files["manifest.json"], files["encoder.onnx"])
    elif what == "document":
        files["manifest.json"] = json.dumps(edited(draw, json.loads(files["manifest.json"]))).encode()
    else:
        other_files = draw.choice(originals())
        name, other = draw.sample(sorted(files), 2)
        files[name] = other_files[draw.choice((name, other))]
    pin = None
    if rehash:
        files = rehashed(files)
    elif files["manifest.json"] != whole["manifest.json"]:
        pin = hashlib.sha256(whole["manifest.json"]).hexdigest()
    same = all(files[name] == whole[name] for name in ("manifest.json", *graphs))
    how = load(files, pin)
    if how == "loaded" and not rehash and not same:
        wrong(f"{what}: was accepted")
    return "unchanged" if same and how == "loaded" else f"{what}-{how}"


def load(files: Files, pin: str | None) -> str:
    """How a load and a run of these files end."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        for name, data in files.items():
            Path(folder, name).write_bytes(data)
        try:
            with reparam.load(folder, device="cpu", threads=1, expect_sha256=pin, memory_budget=2**28) as vae:
                shape = (2, *vae.manifest.input.shape)
                vae.reconstruct(np.zeros(shape, vae.manifest.input.dtype))
        except ReparamError as error:
            if not str(error).isprintable():
                wrong(f"a message of more than one line: {error}")
            return "refused"
    return "loaded"


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rehash", action="store_true")
    chosen = parser.parse_known_args()[0].rehash
    main(__file__, functools.partial(case, rehash=chosen), parser, count=100_000)
