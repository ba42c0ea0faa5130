"""kill -9 during an export over an older bundle leaves the old one or the new one, whole; the next export sweeps."""

import multiprocessing
import os
import random
import signal
import sys
import time
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import reparam
import reparam_export
from reparam.bundle import writer
from reparam.bundle.writer import publish
from reparam_export.layouts.record import check_layout
from reparam_train.model import VAE
from reparam_train.options import VAEConfig

KILLS = 100
CONFIG = VAEConfig(net="conv", input_shape=(1, 8, 8), latent=3, hidden=(4, 8), likelihood="gaussian")
Files = dict[str, bytes]


class Way(NamedTuple):
    """What is published, and how it gets its name."""

    layout: bool
    one_step: bool

    @property
    def options(self) -> dict[str, Any]:
        """What `publish` is told of it."""
        return {"folders": ["reconstruct/1"], "inside": check_layout} if self.layout else {}


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs fork, SIGKILL and renameat2")


def begin(function: Any, *arguments: Any) -> ForkServerProcess:
    """A child that has the libraries already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "reparam_export.pipeline", "onnxruntime"])
    process = context.Process(target=function, args=arguments, daemon=True)
    process.start()
    return process


# -- every step of a publication ---------------------------------------------------------------------------------------


def publish_until(place: Path, files: Files, way: Way, moment: int, answer: Connection) -> None:
    """Publishes; at the given audited step (a file opened, renamed, removed ...) the process kills itself."""
    seen = [0]
    watching = [False]

    def watch(event: str, _: Any) -> None:
        if watching[0] and event.startswith(("open", "os.", "shutil.", "tempfile.", "ctypes.")):
            if seen[0] == moment:
                watching[0] = False  # a kill is a step too
                os.kill(os.getpid(), signal.SIGKILL)
            seen[0] += 1

    if not way.one_step:
        writer._exchange = lambda *_: False
    sys.addaudithook(watch)
    watching[0] = True
    publish(place, files, **way.options)
    watching[0] = False
    answer.send(seen[0])


def contents(folder: Path) -> Files:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def steps(place: Path, files: Files, way: Way) -> int:
    """How many steps a whole publication has."""
    ours, theirs = multiprocessing.Pipe()
    process = begin(publish_until, place, files, way, -1, theirs)
    found: int = ours.recv()
    process.join(60)
    assert process.exitcode == 0
    return found


@pytest.mark.parametrize(
    "way",
    [Way(layout=False, one_step=True), Way(layout=False, one_step=False), Way(layout=True, one_step=True)],
    ids=["bundle in one step", "bundle by two renames", "layout in one step"],
)
def test_killed_at_any_step_of_its_publication_a_folder_is_the_old_or_the_new(
    peer: Any, tmp_path: Path, way: Way
) -> None:
    both: list[Files] = []
    for name in ("old", "new"):
        folder = peer.write(config=peer.config(scaling_factor=0.5 if name == "old" else 2.0))
        reparam_export.import_optimum(folder, tmp_path / name)
        if way.layout:
            reparam_export.lay_out(tmp_path / name, tmp_path / f"{name}-triton", layout="triton")
        both.append(contents(tmp_path / (f"{name}-triton" if way.layout else name)))
    old, new = both
    parent = tmp_path / "models"
    parent.mkdir()
    place = parent / "bundle"

    def put_back() -> None:
        publish(place, old, **way.options)

    put_back()
    count = steps(place, new, way)
    outcomes, left = [], 0
    for moment in range(count):
        put_back()
        assert [entry.name for entry in parent.iterdir()] == ["bundle"]  # swept
        process = begin(publish_until, place, new, way, moment, multiprocessing.Pipe()[1])
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
        left += len(list(parent.iterdir())) > 1
        if not way.layout:
            reparam.verify(place, device="cpu")
        found = contents(place)
        assert found in (old, new)
        outcomes.append(found == new)
    assert sorted(outcomes) == outcomes  # old until one step, new from there on
    assert 0 < sum(outcomes) < len(outcomes)
    assert left > count // 3


# -- any moment of an export -------------------------------------------------------------------------------------------


def exported(seed: int, place: Path, stages: Connection) -> None:
    """The child: one export, which tells of each stage that it begins."""
    import torch

    torch.set_num_threads(1)
    reparam_export.export(VAE.build(CONFIG, seed=seed), place, name="killed", progress=stages.send)
    stages.send("done")


def timed(seed: int, place: Path) -> tuple[float, float]:
    """Seconds of a whole export, and of its publication alone."""
    ours, theirs = multiprocessing.Pipe()
    start = time.monotonic()
    process = begin(exported, seed, place, theirs)
    times = {}
    while "done" not in times:
        times[ours.recv()] = time.monotonic()
    process.join(60)
    return times["done"] - start, times["done"] - times["publish"]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_an_export_killed_at_a_hundred_random_moments_leaves_the_old_bundle_or_the_new(tmp_path: Path) -> None:
    place = tmp_path / "models" / "bundle"
    place.parent.mkdir()
    timed(1, place)  # the first has libraries to load
    ids = {2: "", 1: ""}
    for seed in ids:
        whole, publication = timed(seed, place)
        ids[seed] = reparam.load(place, device="cpu").manifest.id
    moments = random.Random(20260)
    seed, told = 1, []
    for kill in range(KILLS):
        other = 3 - seed
        ours, theirs = multiprocessing.Pipe()
        process = begin(exported, other, place, theirs)
        if kill % 2:  # within the publication, which is short
            while ours.recv() != "publish":
                pass
            time.sleep(moments.uniform(0, publication))
        else:
            time.sleep(moments.uniform(0, whole))
        process.kill()
        process.join()
        with reparam.load(place, device="cpu") as vae:
            assert vae.manifest.id in (ids[seed], ids[other])
            told.append((process.exitcode, vae.manifest.id == ids[other]))
            seed = other if vae.manifest.id == ids[other] else seed
        reparam.verify(place, device="cpu")
    killed = [told for told in told if told[0] == -signal.SIGKILL]
    assert len(killed) >= KILLS * 3 // 4, told
    assert {new for _, new in killed} >= {False}, told
    timed(3 - seed, place)
    assert [entry.name for entry in place.parent.iterdir()] == ["bundle"]
    assert reparam.load(place, device="cpu").manifest.id == ids[3 - seed]
