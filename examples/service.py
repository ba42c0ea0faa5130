"""A web service: many requests at a time, one model, each batch as large as the load makes it.

    pip install '.[cpu,examples]' uvicorn
    BUNDLE=models/digits uvicorn --app-dir examples service:app

One process and one event loop are enough: the Batcher's thread computes, on all cores that the process may use.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

import reparam
from reparam.errors import DeadlineExceeded, InputError, OptionError, QueueFull

SECONDS = 5.0  # until a request is given up
STATUS = {InputError: 422, OptionError: 422, QueueFull: 503, DeadlineExceeded: 504}


class Rows(BaseModel):
    """Rows of x, nested lists [n, *input]."""

    rows: list[Any]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Loads the model before the first request, and lets it go after the last."""
    vae = reparam.load(os.environ.get("BUNDLE", "models/digits"), device="cpu")
    with vae, reparam.Batcher(vae, max_queue=1024) as batcher:
        app.state.vae, app.state.batcher = vae, batcher
        yield


app = FastAPI(lifespan=lifespan)


async def refusal(_: Request, error: Exception) -> JSONResponse:
    """An error's one line, to the client whose rows caused it."""
    return JSONResponse({"error": str(error)}, next(code for kind, code in STATUS.items() if isinstance(error, kind)))


for kind in STATUS:
    app.add_exception_handler(kind, refusal)


def array(body: Rows) -> Any:
    """The rows as float32; lists of unequal length are the client's mistake."""
    try:
        return np.asarray(body.rows, np.float32)
    except (ValueError, TypeError):
        raise InputError("rows: must be numbers, in nested lists of equal lengths") from None


@app.post("/encode")
async def encode(body: Rows) -> dict[str, Any]:
    """The posterior of each row, and how many nats it says beyond the prior."""
    posterior = await app.state.batcher.aencode(array(body), timeout=SECONDS)
    return {"mean": posterior.mean.tolist(), "std": posterior.std.tolist(), "kl": posterior.kl().tolist()}


@app.post("/reconstruct")
async def reconstruct(body: Rows) -> dict[str, Any]:
    """Each row through both graphs."""
    return {"rows": (await app.state.batcher.areconstruct(array(body), timeout=SECONDS)).tolist()}


@app.get("/generate")
async def generate(n: int = 1, seed: int = 0) -> dict[str, Any]:
    """New rows, the same for the same seed."""
    return {"rows": (await app.state.vae.agenerate(min(n, 256), seed=seed)).tolist()}


@app.get("/health")
async def health() -> dict[str, Any]:
    """Which model runs, and how the calls were joined."""
    stats, info = app.state.batcher.stats(), app.state.vae.info()
    return {"id": info.id, "rows": stats.rows, "batches": stats.batches, "waiting": stats.waiting}
