"""One model in many processes and threads: by fork, spawn and pickle, and what it gives back."""

import multiprocessing
import os
import pickle
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reparam

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="fork and /proc are Linux's")


def images(n: int) -> np.ndarray:
    return np.random.default_rng(3).random((n, 1, 8, 8), np.float32)


def in_child(vae: reparam.VAE, x: np.ndarray) -> bytes:
    """What a forked child gets for a sample, through a pipe."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, vae.sample(x, seed=7).tobytes())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        found = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    return found


@LINUX
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("threads", [1, 2])
def test_a_model_works_in_a_child_after_fork_used_or_not(bundle: Path, threads: int) -> None:
    x = images(3)
    vae = reparam.load(bundle, device="cpu", threads=threads)
    unused = in_child(vae, x)
    wanted = vae.sample(x, seed=7)
    assert unused == wanted.tobytes()
    assert in_child(vae, x) == wanted.tobytes()
    assert np.array_equal(vae.sample(x, seed=7), wanted)


@LINUX
def test_a_child_that_ends_as_python_does_is_not_held_up_by_its_parents_session(fresh: Any, bundle: Path) -> None:
    ended = fresh(f"""
import os, sys, numpy as np, reparam
vae = reparam.load({str(bundle)!r}, device="cpu", threads=2)
vae.encode(np.zeros((4, 1, 8, 8), np.float32))
child = os.fork()
if child == 0:
    del vae
    sys.exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
""")
    assert (ended.code, ended.out.strip()) == (0, "7")


def encoded(vae: reparam.VAE, first: int) -> np.ndarray:
    return vae.sample(images(8)[first : first + 2], seed=7, first_row=first)


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_processes_share_the_work_and_agree_with_one(bundle: Path, method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} on this system")
    vae = reparam.load(bundle, device="cpu", threads=1)
    wanted = vae.sample(images(8), seed=7)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as pool:
        parts = list(pool.map(encoded, [vae] * 4, range(0, 8, 2)))
    assert np.array_equal(np.concatenate(parts), wanted)


def test_joblib_carries_a_model_to_its_workers(bundle: Path) -> None:
    joblib = pytest.importorskip("joblib", reason="joblib is not installed")
    vae = reparam.load(bundle, device="cpu", threads=1)
    sample = joblib.delayed(vae.sample)
    parts = joblib.Parallel(n_jobs=2)(sample(images(4)[i : i + 2], seed=7, first_row=i) for i in (0, 2))
    assert np.array_equal(np.concatenate(parts), vae.sample(images(4), seed=7))


def test_a_closed_model_stays_closed_in_a_pickle_of_its_recipe_only(bundle: Path) -> None:
    vae = reparam.load(bundle, device="cpu", prefer="speed")
    with pickle.loads(pickle.dumps(vae)) as other:
        assert other.info() == vae.info()


@pytest.mark.parametrize("turns", [50, pytest.param(500, marks=pytest.mark.slow)])  # three calls each
def test_sixteen_threads_share_a_model_without_a_mismatch(bundle: Path, turns: int) -> None:
    vae = reparam.load(bundle, device="cpu", threads=1, max_batch=4)
    x = images(16)
    whole = vae.encode(x).mean, vae.sample(x, seed=7), vae.reconstruct(x)
    wrong: list[int] = []

    def work(seed: int) -> None:
        choose = np.random.default_rng(seed)
        for _ in range(turns):
            first, count = int(choose.integers(0, 12)), int(choose.integers(1, 5))
            part = x[first : first + count]
            found = vae.encode(part).mean, vae.sample(part, seed=7, first_row=first), vae.reconstruct(part)
            if not all(
                np.array_equal(one, all_[first : first + count]) for one, all_ in zip(found, whole, strict=True)
            ):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def held() -> tuple[int, int]:
    """Descriptors and threads of this process."""
    return len(list(Path("/proc/self/fd").iterdir())), len(list(Path("/proc/self/task").iterdir()))


@LINUX
@pytest.mark.slow
def test_a_thousand_lives_and_a_hundred_thousand_calls_leave_nothing_behind(bundle: Path) -> None:
    x = images(4)
    kept = reparam.load(bundle, device="cpu", threads=1)

    def lives(n: int) -> None:
        for _ in range(n):
            with reparam.load(bundle, device="cpu", threads=2) as vae:
                vae.encode(x)

    def calls(n: int) -> None:
        for i in range(n):
            kept.encode(x[: 1 + i % 4])

    lives(50)
    calls(1000)
    memory, others = resident(), held()
    lives(1000)
    calls(100_000)
    assert resident() - memory < 16 << 20
    assert held() == others


def test_trim_gives_memory_back_and_the_model_works_on(bundle: Path) -> None:
    vae = reparam.load(bundle, device="cpu", threads=1, max_batch=20_000)
    wanted = vae.encode(images(2)).mean
    vae.reconstruct(np.zeros((20_000, 1, 8, 8), np.float32))
    before = resident() if sys.platform == "linux" else 0
    vae.trim()
    if sys.platform == "linux":
        assert resident() < before
    assert np.array_equal(vae.encode(images(2)).mean, wanted)


def test_placement_names_the_provider_of_every_node(bundle: Path) -> None:
    with reparam.load(bundle, device="cpu") as vae:
        placement = vae.placement()
    if placement.encoder is None:
        pytest.skip("this onnxruntime does not tell where nodes run")
    assert set(placement.encoder) == {"CPUExecutionProvider"}
    assert sum(placement.encoder["CPUExecutionProvider"].values()) > 3
    assert placement.decoder is not None
    assert set(placement.decoder) == {"CPUExecutionProvider"}


@LINUX
def test_on_one_processor_each_session_has_one_thread(fresh: Any, bundle: Path) -> None:
    ended = fresh(f"""
import os
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
import numpy, reparam
threads = len(os.listdir("/proc/self/task"))
vae = reparam.load({str(bundle)!r}, device="cpu")
vae.reconstruct(numpy.zeros((300, 1, 8, 8), "float32"))
print(vae.info().threads, len(os.listdir("/proc/self/task")) - threads)
""")
    assert (ended.code, ended.out.split()) == (0, ["1", "0"])
