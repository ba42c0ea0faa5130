"""What a terminal shows of a report, and the lines and defaults behind it."""

from typing import Any

import numpy as np
import pytest

from reparam.benchmark.plan import Spec, Wish, arms_of, filled
from reparam.benchmark.report import Report
from reparam.benchmark.scaling import fit, over_batch
from reparam.benchmark.table import span, table, together


def test_a_line_is_found_with_its_fixed_part_and_the_part_for_each() -> None:
    n = [1, 8, 64, 256]
    line = fit("batch", n, [1000.0 + 25.0 * each for each in n])
    assert (line.fixed_ns, line.each_ns) == pytest.approx((1000, 25))
    assert line.residual == pytest.approx(0, abs=1e-9)
    bent = fit("batch", n, [1000.0 + 25.0 * each**1.5 for each in n])
    assert bent.residual > 0.05
    times = np.array(bent.median_ns)
    errors = np.abs((bent.fixed_ns + bent.each_ns * np.array(n)) / times - 1)
    assert bent.residual == pytest.approx(errors.max())


def test_two_points_make_no_line(example: Report) -> None:
    points = next(arm.points for arm in example.arms if arm.name == "encode.cpu.fp32.numpy.t2")
    assert over_batch(points[:2]) == ()
    assert over_batch(points)[0].n == (1, 8, 64, 256)


def test_the_table_names_every_arm_and_every_reason(example: Report) -> None:
    text = table(example)
    for arm in example.arms:
        if arm.status == "timed":
            assert arm.name in text
        else:
            assert (arm.reason or "") in text
    assert "{encode,decode,reconstruct}.cuda.{fp32,int8}.{numpy,cuda-graph}.t2" in text
    assert "one call took 9.1 s" in text
    assert "encode.cpu.fp32.device.t2@256" in text
    assert "decode.cpu.fp32.numpy.t2 *" in text


@pytest.mark.parametrize("width", [60, 80, 100, 119])
def test_the_table_fits_the_width_that_there_is_and_keeps_every_reason(width: int, example: Report) -> None:
    told = table(example, width=width)
    assert [line for line in told.split("\n") if len(line) > width and " " in line.strip()] == []
    words = " ".join(told.split())
    for arm in example.arms:
        assert " ".join((arm.reason or arm.name).split()) in words
    for answer in example.answers:
        assert answer.answer in words
    head = next(line for line in told.split("\n") if line.startswith("arm "))
    assert "rows/s" in head


def test_columns_that_are_needed_least_go_first_and_are_named(example: Report) -> None:
    full = next(len(line) for line in table(example).split("\n") if line.startswith("arm "))
    told = {width: table(example, width=width) for width in (10_000, full, full - 1, 80)}
    assert told[10_000] == table(example)
    assert "left out" not in told[full]
    assert "left out at this width, and there in a pipe: load\n" in told[full - 1]
    assert "  p50 of 1   rows/s   at  server q/s\n" in told[80]
    assert "in a pipe: p90 of 1, p99 of 8, first, load, peak, error" in " ".join(told[80].split())


def test_names_are_put_together_without_one_too_many() -> None:
    names = [("encode", "cpu", "fp32"), ("decode", "cpu", "fp32"), ("encode", "cuda", "fp32")]
    assert together(names) == ["encode.{cpu,cuda}.fp32", "decode.cpu.fp32"]


@pytest.mark.parametrize(
    ("ns", "told"), [(950.0, "0.95 us"), (12_340.0, "12.3 us"), (999_600.0, "1.00 ms"), (2.5e9, "2.50 s"), (None, "-")]
)
def test_times_have_three_digits_and_a_unit(ns: float | None, told: str) -> None:
    assert span(ns) == told


def test_a_wish_that_says_nothing_asks_what_people_ask(vae: Any) -> None:
    wish = filled(Wish(), vae.manifest, 4)
    assert wish.devices == ("cpu", "cuda")
    assert wish.precisions == ("fp32", "int8")
    assert (wish.batches, wish.threads) == ((1, 8, 64, 256), (4,))
    names = [spec.name for spec in arms_of(wish)]
    assert len(names) == len(set(names)) == 3 * 2 * (2 + 3)
    assert Spec("encode", "cpu", "fp32", "pinned", 4).name in names
    assert "encode.cuda.fp32.cuda-graph.t4" in names
    assert "encode.cpu.fp32.cuda-graph.t4" not in names
