"""The programs in examples/ do what they say."""

import asyncio
import importlib.util
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reparam
from reparam.testing import tiny_bundle

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_bundle(tmp_path / "tiny", likelihood="gaussian")


@pytest.fixture
def vae(folder: Path) -> Iterator[reparam.VAE]:
    with reparam.load(folder, device="cpu", threads=1) as model:
        yield model


def run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / program), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True)


@pytest.mark.parametrize("program", ["batch.py", "worker.py"])
def test_a_script_without_its_arguments_shows_how_it_is_called(program: str) -> None:
    done = subprocess.run([sys.executable, str(EXAMPLES / program)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"python examples/{program} models/digits " in done.stderr
    assert "Traceback" not in done.stderr


def test_the_batch_script_scores_every_row_and_names_the_strangest(
    folder: Path, vae: reparam.VAE, tmp_path: Path
) -> None:
    x = vae.generate(5000, seed=7)
    x[4321] += 9
    np.save(tmp_path / "x.npy", x)
    done = run("batch.py", folder, tmp_path / "x.npy", tmp_path / "scores.npy")
    assert done.stdout.startswith("row 4321: -")
    assert len(done.stdout.splitlines()) == 5
    assert "5000 of 5000 rows" in done.stderr
    assert np.array_equal(np.load(tmp_path / "scores.npy"), vae.elbo(x, seed=7))


def test_the_worker_answers_every_file_and_refuses_what_does_not_fit(
    folder: Path, vae: reparam.VAE, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    x = vae.generate(100, seed=7)
    for i in range(50):
        np.save(tmp_path / "in" / f"{i:02}.npy", x[i : i + 1 + i % 3])
    np.save(tmp_path / "in" / "wrong.npy", x[0])
    (tmp_path / "in" / "x.npy").write_text("no array")
    done = run("worker.py", folder, tmp_path / "in", tmp_path / "out")
    lines = done.stdout.splitlines()
    assert lines[:2] == ["00.npy: 1 rows", "01.npy: 2 rows"]
    assert lines[50].startswith("wrong.npy: refused: x: shape must be [n, 1, 8, 8], got one row [1, 8, 8]")
    assert lines[51].startswith("x.npy: refused: ")
    assert done.stderr.startswith("100 calls in ")
    for i in range(50):
        found = np.load(tmp_path / "out" / f"{i:02}.npz")
        rows = x[i : i + 1 + i % 3]
        assert np.array_equal(found["mean"], vae.encode(rows).mean)
        assert found["error"].shape == (len(rows),)
    assert len(list((tmp_path / "out").iterdir())) == 50


@pytest.fixture
def serve(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Any], Awaitable[None]]], None]:
    """Runs a conversation with the service, in its own event loop."""
    pytest.importorskip("fastapi", reason="examples/service.py needs the extra examples")
    httpx = pytest.importorskip("httpx", reason="the test of examples/service.py needs the extra examples")
    monkeypatch.setenv("BUNDLE", str(folder))
    spec = importlib.util.spec_from_file_location("service", EXAMPLES / "service.py")
    assert spec is not None
    assert spec.loader is not None
    service = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(service)

    def run(talk: Callable[[Any], Awaitable[None]]) -> None:
        async def main() -> None:
            transport = httpx.ASGITransport(app=service.app)
            async with (
                service.app.router.lifespan_context(service.app),
                httpx.AsyncClient(transport=transport, base_url="http://service") as client,
            ):
                await talk(client)

        asyncio.run(main())

    return run


def test_the_service_answers_many_clients_at_once_as_the_model_would(serve: Any, vae: reparam.VAE) -> None:
    x = vae.generate(64, seed=7)
    parts = [x[i : i + 1 + i % 3] for i in range(60)]

    async def talk(client: Any) -> None:
        async def ask(path: str, rows: Any) -> Any:
            return (await client.post(path, json={"rows": rows.tolist()})).json()

        encoded = await asyncio.gather(*(ask("/encode", rows) for rows in parts))
        reconstructed = await asyncio.gather(*(ask("/reconstruct", rows) for rows in parts))
        for rows, one, other in zip(parts, encoded, reconstructed, strict=True):
            assert np.array_equal(np.float32(one["mean"]), vae.encode(rows).mean)
            assert np.array_equal(np.float32(other["rows"]), vae.reconstruct(rows))
        health = (await client.get("/health")).json()
        assert (health["id"], health["rows"], health["waiting"]) == (vae.manifest.id, 2 * sum(map(len, parts)), 0)
        generated = (await client.get("/generate", params={"n": 3, "seed": 5})).json()["rows"]
        assert np.array_equal(np.float32(generated), vae.generate(3, seed=5))

    serve(talk)


def test_the_service_tells_each_client_its_own_mistake(serve: Any) -> None:
    mistakes: dict[str, list[Any]] = {
        "x: shape must be [n, 1, 8, 8], got [1, 2]": [[1.0, 2.0]],
        "rows: must be numbers, in nested lists of equal lengths": [[1.0], [2.0, 3.0]],
    }

    async def talk(client: Any) -> None:
        for message, rows in mistakes.items():
            answer = await client.post("/encode", json={"rows": rows})
            assert (answer.status_code, answer.json()) == (422, {"error": message})
        answer = await client.get("/generate", params={"seed": -1})
        assert answer.status_code == 422
        assert answer.json()["error"].startswith("seed: must be an integer from 0")

    serve(talk)
