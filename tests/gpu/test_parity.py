"""A card gives what the CPU gives: the same rows, the same noise, within the bounds of its precision."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reparam

pytestmark = pytest.mark.gpu

FAMILIES = ["digits", "mnist", "conv", "kl"]
BATCH = {"digits": 300, "mnist": 300, "conv": 40, "kl": 3}


@pytest.mark.parametrize("family", FAMILIES)
def test_fp32_agrees_with_the_cpu_to_1e_4(bundles: Callable[[str], Path], loaded: Any, rows: Any, family: str) -> None:
    with loaded(bundles(family), "cpu") as cpu, loaded(bundles(family)) as card:
        assert not card.info().tf32
        x, eps = rows(cpu, BATCH[family])
        q, wanted = card.encode(x), cpu.encode(x)
        z = cpu.sample(x, eps=eps)
        pairs = {
            "mean": (q.mean, wanted.mean),
            "logvar": (q.logvar, wanted.logvar),
            "z": (card.sample(x, eps=eps), z),
            "x_hat": (card.decode(z), cpu.decode(z)),
        }
        for name, (found, other) in pairs.items():
            np.testing.assert_allclose(found, other, rtol=0, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("family", ["conv", "kl"])
def test_fp16_agrees_with_the_cpu_within_the_bound_of_the_bundle(
    bundles: Callable[[str], Path], loaded: Any, rows: Any, family: str
) -> None:
    with loaded(bundles(family), "cpu") as cpu, loaded(bundles(family), precision="fp16") as card:
        x, eps = rows(cpu, BATCH[family])
        q, wanted, z = card.encode(x), cpu.encode(x), cpu.sample(x, eps=eps)
        pairs = {
            "mean": (q.mean, wanted.mean),
            "logvar": (q.logvar, wanted.logvar),
            "z": (card.sample(x, eps=eps), z),
            "x_hat": (card.decode(z), cpu.decode(z)),
        }
        for name, (found, other) in pairs.items():
            bound = 1e-3 + 1e-2 * float(np.abs(other).max())
            np.testing.assert_allclose(found, other, rtol=0, atol=bound, err_msg=name)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_seed_gives_the_same_z_to_1e_5(
    bundles: Callable[[str], Path], loaded: Any, rows: Any, family: str
) -> None:
    with loaded(bundles(family), "cpu") as cpu, loaded(bundles(family)) as card:
        x, _ = rows(cpu, BATCH[family])
        found, wanted = card.sample(x, seed=7, first_row=3), cpu.sample(x, seed=7, first_row=3)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", ["digits", "conv", "kl"])  # models/mnist has int8 too, which is for CPUs
def test_the_card_holds_the_golden_vectors(bundles: Callable[[str], Path], family: str) -> None:
    assert reparam.verify(bundles(family), device="cuda")


OF_SIZES = {"Shape", "Gather", "Concat", "Slice", "Squeeze", "Unsqueeze", "Reshape", "Cast", "Add", "Sub", "Mul", "Div"}


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("family", FAMILIES)
def test_no_node_of_a_shipped_family_computes_on_the_cpu(
    bundles: Callable[[str], Path], loaded: Any, family: str, precision: str
) -> None:
    bundle = bundles(family)
    if precision == "fp16" and family in ("digits", "mnist"):
        pytest.skip("this bundle ships without fp16")
    with loaded(bundle, precision=precision) as vae:
        assert (vae.info().device, vae.info().provider) == ("cuda:0", "CUDAExecutionProvider")
        placement = vae.placement()
        for role, nodes in (("encoder", placement.encoder), ("decoder", placement.decoder)):
            entry = vae.manifest.graph(role, precision)
            assert nodes is not None
            assert entry is not None
            elsewhere = [each for name, each in nodes.items() if name != "CUDAExecutionProvider"]
            # those that read the size of an image compute nothing
            assert sum(sum(each.values()) for each in elsewhere) <= entry.shape_nodes, nodes
            assert all(set(each) <= OF_SIZES for each in elsewhere), nodes


def test_a_card_that_is_not_there_is_refused_and_no_other_taken(bundles: Callable[[str], Path]) -> None:
    with pytest.raises(reparam.errors.DeviceUnavailable, match="cuda:63"):
        reparam.load(bundles("digits"), device="cuda:63")


@pytest.mark.parametrize("family", ["conv", "kl"])
def test_tf32_is_another_result_and_only_where_it_is_asked_for(
    bundles: Callable[[str], Path], loaded: Any, rows: Any, family: str
) -> None:
    import torch

    if torch.cuda.get_device_capability() < (8, 0):
        pytest.skip("this card has no TF32")
    with loaded(bundles(family)) as exact, loaded(bundles(family), tf32=True) as coarse:
        x, _ = rows(exact, 2)
        found, wanted = coarse.encode(x).mean, exact.encode(x).mean
        assert coarse.info().tf32
        assert not np.array_equal(found, wanted)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-2 * max(1.0, float(np.abs(wanted).max())))


def test_a_result_repeats_to_the_bit_in_another_session(bundles: Callable[[str], Path], loaded: Any, rows: Any) -> None:
    found = []
    for _ in range(3):
        with loaded(bundles("conv")) as vae:
            x, _ = rows(vae, 7)
            found.append(vae.decode(vae.encode(x).mean))
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])
