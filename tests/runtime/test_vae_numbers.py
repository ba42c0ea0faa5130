"""What a loaded bundle computes: laws that hold to the bit, whatever the batch size, threads, order or split."""

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reparam
from reparam.errors import InputError

Array = npt.NDArray[np.float32]
Load = Callable[..., reparam.VAE]
Rows = Callable[[int], Array]
Op = Literal["encode", "sample", "decode", "reconstruct"]
OPS: tuple[Op, ...] = ("encode", "sample", "decode", "reconstruct")


def called(vae: reparam.VAE, op: str, n: int, rows_of: Rows, **options: Any) -> list[Array]:
    """The arrays that an operation gives for the first n rows."""
    latent = vae.manifest.latent.shape
    if op == "generate":
        return [vae.generate(n, seed=11, **options)]
    if op == "decode":
        return [vae.decode(reparam.noise("normal", 5, range(n), latent), **options)]
    if op == "encode":
        q = vae.encode(rows_of(n), **options)
        return [q.mean, q.logvar]
    return [getattr(vae, op)(rows_of(n), **({"seed": 11} | options))]


def test_zero_noise_gives_the_mean_to_the_bit(vae: reparam.VAE, rows_of: Rows) -> None:
    x = rows_of(300)
    z = vae.sample(x, eps=np.zeros((300, *vae.manifest.latent.shape), np.float32))
    np.testing.assert_array_equal(z, vae.encode(x).mean)


def test_z_is_mean_plus_std_times_eps(vae: reparam.VAE, rows_of: Rows) -> None:
    x, q = rows_of(50), vae.encode(rows_of(50))
    eps = np.random.default_rng(2).standard_normal(q.mean.shape).astype(np.float32)
    wanted = q.mean.astype(np.float64) + np.exp(q.logvar.astype(np.float64) / 2) * eps
    np.testing.assert_allclose(vae.sample(x, eps=eps), wanted, rtol=1e-5, atol=1e-5)


def test_a_seed_is_the_noise_of_its_rows(vae: reparam.VAE, rows_of: Rows) -> None:
    latent = vae.manifest.latent
    assert latent.noise is not None
    eps = reparam.noise(latent.noise, 7, range(40, 60), latent.shape)
    x = rows_of(20)
    np.testing.assert_array_equal(vae.sample(x, seed=7, first_row=40), vae.sample(x, eps=eps))
    np.testing.assert_array_equal(vae.reconstruct(x, seed=7, first_row=40), vae.reconstruct(x, eps=eps))


def test_generate_decodes_the_priors_stream(vae: reparam.VAE) -> None:
    z = reparam.noise("normal", 7, range(3, 13), vae.manifest.latent.shape, stream="prior")
    np.testing.assert_array_equal(vae.generate(10, seed=7, first_row=3), vae.decode(z))


def test_reconstruct_decodes_the_mean_or_the_sample(vae: reparam.VAE, rows_of: Rows) -> None:
    x = rows_of(20)
    np.testing.assert_array_equal(vae.reconstruct(x), vae.decode(vae.encode(x).mean))
    np.testing.assert_array_equal(vae.reconstruct(x, seed=7), vae.decode(vae.sample(x, seed=7)))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("max_batch", [1, 7, 256])
@pytest.mark.parametrize("op", [*OPS, "generate"])
def test_results_are_the_same_at_any_batch_size_and_threads(
    op: str, max_batch: int, threads: int, *, load_at: Load, rows_of: Rows
) -> None:
    wanted = called(load_at(1000, 1), op, 300, rows_of)
    found = called(load_at(max_batch, threads), op, 300, rows_of)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(a, b)


@given(st.sampled_from([*OPS, "generate"]), st.integers(0, 40), st.integers(1, 9))
def test_chunked_equals_whole_to_the_bit(load_at: Load, rows_of: Rows, op: str, n: int, max_batch: int) -> None:
    for a, b in zip(called(load_at(max_batch), op, n, rows_of), called(load_at(), op, n, rows_of), strict=True):
        assert (a.dtype, a.shape) == (np.float32, b.shape)
        np.testing.assert_array_equal(a, b)


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 2**64 - 61))
def test_parts_numbered_by_first_row_agree_with_the_whole(
    vae: reparam.VAE, rows_of: Rows, n: int, more: int, first: int
) -> None:
    x = rows_of(n + more)
    whole = vae.sample(x, seed=3, first_row=first)
    late = vae.sample(x[n:], seed=3, first_row=first + n)  # the later part first
    early = vae.sample(x[:n], seed=3, first_row=first)
    np.testing.assert_array_equal(np.concatenate([early, late]), whole)
    generated = vae.generate(n + more, seed=3, first_row=first)
    np.testing.assert_array_equal(vae.generate(more, seed=3, first_row=first + n), generated[n:])


def test_calls_leave_no_trace_on_later_calls(vae: reparam.VAE, rows_of: Rows) -> None:
    first = {op: called(vae, op, 20, rows_of) for op in OPS}
    for op in (*reversed(OPS), "generate", *OPS):
        called(vae, op, 33, rows_of)
    for op, wanted in first.items():
        for a, b in zip(called(vae, op, 20, rows_of), wanted, strict=True):
            np.testing.assert_array_equal(a, b)


def test_other_seeds_and_other_rows_give_other_samples(vae: reparam.VAE, rows_of: Rows) -> None:
    same = np.repeat(rows_of(1), 2, axis=0)
    one, two = vae.sample(same, seed=1)
    assert (one != two).any()
    assert (vae.sample(same, seed=2)[0] != one).any()


def test_interpolation_begins_and_ends_at_the_reconstructions(vae: reparam.VAE, rows_of: Rows) -> None:
    a, b = rows_of(8)[:4], rows_of(8)[4:]
    line = vae.interpolate(a, b, steps=5)
    assert line.shape == (4, 5, *vae.manifest.input.shape)
    np.testing.assert_allclose(line[:, 0], vae.reconstruct(a), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(line[:, -1], vae.reconstruct(b), rtol=1e-5, atol=1e-6)
    middle = vae.decode((vae.encode(a).mean + vae.encode(b).mean) / 2)
    np.testing.assert_allclose(line[:, 2], middle, rtol=1e-4, atol=1e-5)


def test_interpolation_of_no_rows_is_no_lines(vae: reparam.VAE, rows_of: Rows) -> None:
    assert vae.interpolate(rows_of(0), rows_of(0), steps=3).shape == (0, 3, *vae.manifest.input.shape)


@pytest.mark.parametrize("op", ["sample", "decode", "reconstruct", "generate"])
def test_out_is_written_in_place_and_returned(vae: reparam.VAE, rows_of: Rows, op: str) -> None:
    (wanted,) = called(vae, op, 300, rows_of)
    out = np.full_like(wanted, np.nan)
    (found,) = called(vae, op, 300, rows_of, out=out)
    assert found is out
    np.testing.assert_array_equal(out, wanted)


def test_encode_writes_mean_and_logvar_in_place(vae: reparam.VAE, rows_of: Rows) -> None:
    wanted = vae.encode(rows_of(300))
    out = np.full_like(wanted.mean, np.nan), np.full_like(wanted.mean, np.nan)
    found = vae.encode(rows_of(300), out=out)
    assert found.mean is out[0]
    assert found.logvar is out[1]
    np.testing.assert_array_equal(out, (wanted.mean, wanted.logvar))


@pytest.mark.parametrize("op", OPS)
def test_a_stream_gives_the_calls_rows_in_order_and_in_bounded_parts(load_at: Load, rows_of: Rows, op: Op) -> None:
    vae = load_at(7)
    z = reparam.noise("normal", 5, range(40), vae.manifest.latent.shape)
    noise = {"seed": 11, "first_row": 2} if op in ("sample", "reconstruct") else {}
    parts = list(vae.stream(z if op == "decode" else rows_of(40), op=op, **noise))
    wanted = called(vae, op, 40, rows_of, **({"first_row": 2} if noise else {}))
    assert [len(part[0]) for part in parts] == [7, 7, 7, 7, 7, 5]
    for column, array in zip(zip(*parts, strict=True), wanted, strict=True):
        np.testing.assert_array_equal(np.concatenate(column), array)


def test_a_stream_of_reconstructions_without_noise_is_from_the_mean(vae: reparam.VAE, rows_of: Rows) -> None:
    parts = [part for (part,) in vae.stream(rows_of(9), op="reconstruct")]
    np.testing.assert_array_equal(np.concatenate(parts), vae.reconstruct(rows_of(9)))


def test_a_stream_takes_noise_as_an_array(vae: reparam.VAE, rows_of: Rows) -> None:
    eps = reparam.noise("normal", 1, range(9), vae.manifest.latent.shape)
    (part,) = next(vae.stream(rows_of(9), op="sample", eps=eps))
    np.testing.assert_array_equal(part, vae.sample(rows_of(9), eps=eps))


@pytest.mark.parametrize("op", [*OPS, "generate"])
def test_no_rows_give_no_rows(vae: reparam.VAE, rows_of: Rows, op: str) -> None:
    latent, shape = vae.manifest.latent.shape, vae.manifest.input.shape
    row = latent if op in ("encode", "sample") else shape
    for array in called(vae, op, 0, rows_of):
        assert (array.shape, array.dtype) == ((0, *row), np.float32)


def test_a_stream_of_no_rows_ends_at_once(vae: reparam.VAE, rows_of: Rows) -> None:
    assert list(vae.stream(rows_of(0), op="encode")) == []


def test_the_posterior_of_no_rows_has_no_divergence(vae: reparam.VAE, rows_of: Rows) -> None:
    assert vae.encode(rows_of(0)).kl().shape == (0,)


def test_threads_that_share_a_model_get_the_numbers_they_would_get_alone(load_at: Load, rows_of: Rows) -> None:
    vae = load_at(16)
    alone = [called(vae, op, 60, rows_of) for op in (*OPS, "generate")]
    with ThreadPoolExecutor(6) as pool:
        jobs = [pool.submit(called, vae, op, 60, rows_of) for _ in range(12) for op in (*OPS, "generate")]
        for number, job in enumerate(jobs):
            for a, b in zip(job.result(), alone[number % len(alone)], strict=True):
                np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("max_batch", [1, 3, 256])
def test_an_out_that_overlaps_its_input_never_changes_the_numbers(load_at: Load, max_batch: int) -> None:
    vae = load_at(max_batch)
    latent = vae.manifest.latent.shape
    x = np.random.default_rng(3).random((9, *vae.manifest.input.shape), np.float32)
    shared = reparam.noise("normal", 1, range(10), latent)
    wanted = vae.sample(x, eps=shared[:9].copy())
    with contextlib.suppress(InputError):  # to refuse it is as good
        np.testing.assert_array_equal(vae.sample(x, eps=shared[:9], out=shared[1:]), wanted)
