"""Batcher: an error goes to its caller alone, and says what the model would say."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reparam
from reparam.errors import ClosedError, InputError, InputTypeError, OptionError, RunError

LONG = 60.0  # seconds that no test needs
Start = Callable[..., list[Future[Any]]]


def test_an_error_goes_to_its_caller_alone(
    vae: reparam.VAE, gate: Any, x: Any, pool: ThreadPoolExecutor, start: Start
) -> None:
    bad = x[:3].copy()
    bad[1, 0, 2, 3] = np.nan
    with reparam.Batcher(vae) as batcher:
        pool.submit(batcher.encode, x[:1])
        assert gate.busy.wait(LONG)
        good = [lambda i=i: batcher.encode(x[i : i + 1]) for i in range(6)]
        calls = start(batcher, *good[:3], lambda: batcher.encode(bad), *good[3:])
        gate.opened.set()
        with pytest.raises(InputError) as caught:
            calls.pop(3).result(LONG)
        with pytest.raises(InputError) as wanted:
            vae.encode(bad)
        assert str(caught.value) == str(wanted.value)
        assert "row 1, column [0, 2, 3]" in str(caught.value)
        for i, call in enumerate(calls):
            assert np.array_equal(call.result(LONG).mean, vae.encode(x[i : i + 1]).mean)
        assert np.isnan(batcher.encode(bad, allow_nan=True).mean).any()


def test_a_failure_of_the_run_goes_to_the_rows_that_cause_it(
    vae: reparam.VAE, x: Any, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch, start: Start
) -> None:
    busy, opened, real = threading.Event(), threading.Event(), vae.decode

    def decode(z: Any, **options: Any) -> Any:
        busy.set()
        assert opened.wait(LONG)
        if (z == 77).any():
            raise RunError("out of memory, say")
        return real(z, **options)

    monkeypatch.setattr(vae, "decode", decode)
    z = vae.sample(x, seed=7)
    bad = np.full((1, 2), 77, np.float32)
    with reparam.Batcher(vae) as batcher:
        first = pool.submit(batcher.decode, z[:1])
        assert busy.wait(LONG)
        good = [lambda i=i: batcher.decode(z[i : i + 1]) for i in range(5)]
        calls = start(batcher, good[0], lambda: batcher.decode(bad), *good[1:], lambda: batcher.decode(bad))
        opened.set()
        for place in (6, 1):
            with pytest.raises(RunError, match=r"^out of memory, say$"):
                calls.pop(place).result(LONG)
        for i, call in enumerate([*calls, first]):
            assert np.array_equal(call.result(LONG), real(z[i % 5 : i % 5 + 1]))


def test_what_does_not_fit_is_refused_as_the_model_refuses_it(vae: reparam.VAE, x: Any) -> None:
    calls: list[Callable[[Any], Any]] = [
        lambda target: target.encode(x[0]),
        lambda target: target.encode([[1.0]]),
        lambda target: target.encode(x.astype(int)),
        lambda target: target.sample(x),
        lambda target: target.sample(x, eps=np.zeros((3, 2), np.float32)),
        lambda target: target.sample(x, eps=np.full((64, 2), np.inf, np.float32)),
        lambda target: target.sample(x, seed=-1),
        lambda target: target.decode(x),
        lambda target: target.reconstruct(x, first_row=3),
    ]
    with reparam.Batcher(vae) as batcher:
        for call in calls:
            with pytest.raises((InputError, InputTypeError, OptionError)) as wanted:
                call(vae)
            with pytest.raises(type(wanted.value)) as found:
                call(batcher)
            assert str(found.value) == str(wanted.value)
        assert batcher.stats().batches == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_batch": 0}, "max_batch: must be an integer of at least 1, got 0"),
        ({"max_batch": 8, "max_queue": 7}, "max_queue: must be an integer of at least 8, got 7"),
        ({"max_delay": -1}, "max_delay: must be seconds, a number from 0 to [0-9]+, got -1"),
        ({"max_delay": float("nan")}, "max_delay: must be seconds, a number from 0 to [0-9]+, got nan"),
        ({"max_delay": "1"}, "max_delay: must be seconds, a number from 0 to [0-9]+, got '1'"),
    ],
)
def test_options_out_of_their_range_are_refused_by_name(vae: reparam.VAE, options: Any, message: str) -> None:
    with pytest.raises(OptionError, match=f"^{message}$"):
        reparam.Batcher(vae, **options)


def test_only_a_loaded_model_is_taken(vae: reparam.VAE, bundle: Path) -> None:
    with pytest.raises(OptionError, match=r"^vae: must be a model that reparam\.load gave, got str$"):
        reparam.Batcher(str(bundle))  # type: ignore[arg-type]
    vae.close()
    with pytest.raises(ClosedError, match=r"^this model is closed"):
        reparam.Batcher(vae)
