"""What is said of a report is computed from it: answers, floors, and what moved since another one."""

from typing import Any

import msgspec
import pytest

from reparam.benchmark.answers import answers_of
from reparam.benchmark.compare import compare
from reparam.benchmark.floors import hold, parse
from reparam.benchmark.report import Arm, Point, Report
from reparam.benchmark.table import table
from reparam.errors import OptionError


def arm_of(report: Report, name: str) -> Arm:
    return next(arm for arm in report.arms if arm.name == name)


def faster(arm: Arm, device: str, times: dict[int, float]) -> Arm:
    """The arm on another device, at each batch so many times as fast."""

    def point(old: Point) -> Point:
        assert old.latency is not None
        latency = msgspec.structs.replace(old.latency, p50_ns=old.latency.p50_ns / times[old.batch])
        return msgspec.structs.replace(old, latency=latency, rows_per_second=1e9 * old.batch / latency.p50_ns)

    name = arm.name.replace(".cpu.", f".{device}.")
    return msgspec.structs.replace(arm, name=name, device=device, points=tuple(map(point, arm.points)))


def with_cuda(example: Report, times: dict[int, float]) -> Report:
    plain = arm_of(example, "encode.cpu.fp32.numpy.t2")
    kept = [arm for arm in example.arms if arm.device == "cpu"]
    return msgspec.structs.replace(example, arms=(*kept, faster(plain, "cuda", times)))


def answer(report: Report, question: str) -> Any:
    return next(each for each in answers_of(report) if each.question == question)


def test_the_answers_of_a_report_follow_from_the_rest_of_it(example: Report) -> None:
    assert answers_of(msgspec.structs.replace(example, answers=())) == example.answers


def test_the_gpu_pays_from_the_batch_after_which_it_always_wins(example: Report) -> None:
    found = answer(with_cuda(example, {1: 0.5, 8: 1.2, 64: 0.9, 256: 3.0}), "Which device?")
    assert found.numbers == {"encode_from_batch": 256.0}
    assert found.answer == "The GPU pays from batch 256 on in encode (3.0 times at 256), copies included."
    found = answer(with_cuda(example, {1: 0.5, 8: 1.2, 64: 2.0, 256: 3.0}), "Which device?")
    assert found.numbers == {"encode_from_batch": 8.0}


def test_a_gpu_that_never_wins_is_said_not_to(example: Report) -> None:
    found = answer(with_cuda(example, dict.fromkeys((1, 8, 64, 256), 0.5)), "Which device?")
    assert found.answer == "The GPU does not pay up to batch 256 in encode, copies included."


def test_what_ran_on_a_card_alone_or_beside_nothing_like_it_is_never_said_not_to_have_run(example: Report) -> None:
    both = with_cuda(example, dict.fromkeys((1, 8, 64, 256), 2.0))
    settings = msgspec.structs.replace(both.settings, devices=("cuda",))
    alone = msgspec.structs.replace(both, settings=settings, arms=both.arms[-1:])
    assert answer(alone, "Which device?").answer == "Nothing but cuda was asked about."
    card = msgspec.structs.replace(both.arms[-1], path="device")
    apart = msgspec.structs.replace(both, arms=(*both.arms[:-1], card))
    assert answer(apart, "Which device?").answer.startswith("Both ran, but no operation of both numpy to numpy")


def test_without_a_gpu_the_reason_is_the_answer(example: Report) -> None:
    assert answer(example, "Which device?").answer.startswith(
        "The CPU: nothing ran on cuda: device: cuda cannot be had"
    )


def test_a_precision_is_told_in_rows_and_in_its_share_of_the_elbo(example: Report) -> None:
    found = answer(example, "Is int8 worth it?")
    int8, plain = (arm_of(example, f"encode.cpu.{name}.numpy.t2").points[-1] for name in ("int8", "fp32"))
    assert int8.rows_per_second is not None
    assert plain.rows_per_second is not None
    ratio = int8.rows_per_second / plain.rows_per_second
    assert found.numbers["encode.cpu.int8.numpy.t2@256"] == pytest.approx(ratio)
    assert found.numbers["elbo_share"] == pytest.approx((93.164 - 92.956) / 92.956)
    assert f"int8 gives {ratio:.2f} times the rows of fp32 in encode at batch 256" in found.answer
    assert "its ELBO is 0.22% worse, as the export measured it" in found.answer
    assert "; this CPU has no instructions for int8" in found.answer  # else the export's figure would be taken for ours


def test_the_best_batch_comes_with_its_memory_and_others_with_their_ratio(example: Report) -> None:
    found = answer(example, "Which batch?")
    assert found.numbers["encode"] == 256.0
    assert "MiB at the peak" in found.answer
    torch, pinned = answer(example, "And torch?"), answer(example, "Which path?")
    assert torch.answer.startswith("onnxruntime gives so many times the rows of torch: encode ")
    plain, theirs = (arm_of(example, f"encode.cpu.fp32.{path}.t2").points[0] for path in ("numpy", "torch"))
    assert plain.latency is not None
    assert theirs.latency is not None
    ratio = theirs.latency.p50_ns / plain.latency.p50_ns
    assert torch.numbers["encode.cpu.fp32.numpy.t2@1"] == pytest.approx(ratio)
    assert pinned.answer.startswith("At batch 1, pinned gives so many times the rows of numpy: ")


def test_a_library_that_was_not_timed_is_told_with_its_reason_on_the_cpu(example: Report) -> None:
    arms = [arm for arm in example.arms if arm.path != "torch"]
    lost = [
        msgspec.structs.replace(
            arm,
            name=arm.name.replace("cpu", device),
            device=device,
            status="unavailable",
            points=(),
            reason=f"no torch for {device}",
        )
        for device in ("cuda", "cpu")
        for arm in example.arms
        if arm.path == "torch"
    ]
    report = msgspec.structs.replace(example, arms=(*lost, *arms))
    assert answer(report, "And torch?").answer == "It was not timed: no torch for cpu."


def test_the_best_number_of_threads_is_told_for_each_end_of_the_batches(example: Report) -> None:
    plain = arm_of(example, "encode.cpu.fp32.numpy.t2")
    one = faster(plain, "cpu", {1: 2.0, 8: 1.0, 64: 1.0, 256: 0.5})
    one = msgspec.structs.replace(one, name="encode.cpu.fp32.numpy.t1", threads=1)
    found = answer(msgspec.structs.replace(example, arms=(*example.arms, one)), "How many threads?")
    assert found.answer == "1 for encode at batch 1, 2 for encode at batch 256."


def loosened(arm: Arm, *batches: int, spread: float = 0.3) -> Arm:
    """The arm with points that did not settle, at these batches or at all."""

    def point(old: Point) -> Point:
        loose = not batches or old.batch in batches
        return msgspec.structs.replace(old, stable=False, spread=spread) if loose else old

    return msgspec.structs.replace(arm, points=tuple(map(point, arm.points)))


def with_arms(report: Report, *arms: Arm) -> Report:
    """The report with these arms in the place of those of their names."""
    new = {arm.name: arm for arm in arms}
    return msgspec.structs.replace(report, arms=tuple(new.get(arm.name, arm) for arm in report.arms))


def test_where_every_point_settled_no_answer_doubts_and_where_none_did_every_figure_says_so(example: Report) -> None:
    one = msgspec.structs.replace(
        arm_of(example, "encode.cpu.fp32.numpy.t2"), name="encode.cpu.fp32.numpy.t1", threads=1
    )
    full = with_cuda(msgspec.structs.replace(example, arms=(*example.arms, one)), dict.fromkeys((1, 8, 64, 256), 2.0))
    points = [[msgspec.structs.replace(each, stable=True) for each in arm.points] for arm in full.arms]
    sure = [msgspec.structs.replace(arm, points=tuple(each)) for arm, each in zip(full.arms, points, strict=True)]
    for each in answers_of(with_arms(full, *sure)):
        assert "not settled" not in each.answer, each.question
    told = answers_of(with_arms(full, *map(loosened, full.arms)))
    doubts = {each.question: each.answer.count("not settled") for each in told}
    assert doubts == {
        "Which device?": 1,  # an operation on a card
        "Is int8 worth it?": 3,  # a figure for each operation
        "Which batch?": 3,
        "Which path?": 3,
        "How many threads?": 2,  # both ends of encode's batches
        "And torch?": 6,
        "And torch-compile?": 6,
        "What can a service promise?": 3,
        "Can the figures be believed?": 0,  # counts them
    }


def test_a_figure_is_doubted_where_a_point_of_either_side_did_not_settle_and_nowhere_else(example: Report) -> None:
    for name in ("encode.cpu.int8.numpy.t2", "encode.cpu.fp32.numpy.t2"):
        found = answer(with_arms(example, loosened(arm_of(example, name), 256)), "Is int8 worth it?")
        assert "fp32 in encode at batch 256 (not settled), " in found.answer
        assert found.answer.count("not settled") == 1
    found = answer(with_arms(example, loosened(arm_of(example, "encode.cpu.int8.numpy.t2"), 8)), "Is int8 worth it?")
    assert "not settled" not in found.answer  # no figure of it is at batch 8
    best = loosened(arm_of(example, "decode.cpu.int8.pinned.t2"), 8)
    told = answer(with_arms(example, best), "Which batch?").answer.split("; ")
    assert [", not settled, " in each for each in told] == [False, True, False]  # it was chosen against batch 8 too
    slow = with_cuda(example, dict.fromkeys((1, 8, 64, 256), 0.5))
    found = answer(with_arms(slow, loosened(slow.arms[-1], 8)), "Which device?")
    assert found.answer == "The GPU does not pay up to batch 256 in encode (not settled), copies included."


def test_what_a_service_can_promise_is_the_highest_rate_that_held(example: Report) -> None:
    found = answer(example, "What can a service promise?")
    rates = {
        arm.name: arm.scenarios.server.rate
        for arm in example.arms
        if arm.operation == "encode" and arm.scenarios and arm.scenarios.server and arm.scenarios.server.max_batch > 1
    }
    assert found.numbers["encode"] == max(rates.values())
    assert max(rates, key=lambda name: rates[name]) in found.answer


def test_no_service_is_promised_more_than_the_calls_of_its_arm_gave(example: Report) -> None:
    arm = arm_of(example, "encode.cpu.fp32.numpy.t2")
    calls = arm.points[-1].rows_per_second
    assert calls is not None
    assert arm.scenarios is not None
    assert arm.scenarios.server is not None
    assert arm.scenarios.server.max_batch == arm.points[-1].batch
    for times, spread, note in (
        (2.0, 0.3, f" (its calls gave no more, though trials held {2 * calls:,.0f}, not settled)."),
        (1.2, 0.3, " (not settled)."),  # within the noise of its calls
        (2.0, 0.01, f" (its calls gave no more, though trials held {2 * calls:,.0f})."),
        (1.05, 0.01, "."),
    ):
        server = msgspec.structs.replace(arm.scenarios.server, rate=times * calls)
        held = msgspec.structs.replace(arm, scenarios=msgspec.structs.replace(arm.scenarios, server=server))
        held = loosened(held, spread=spread) if "not settled" in note else held
        found = answer(msgspec.structs.replace(example, arms=(held,)), "What can a service promise?")
        assert found.numbers == {"encode": calls}
        assert found.answer.endswith(f" at {calls:,.0f} a second of encode by {arm.name}{note}")


def test_an_operation_that_held_no_rate_or_was_not_tried_is_said_to(example: Report) -> None:
    def without(arm: Arm) -> Arm:
        terms = arm.scenarios
        if terms is None or terms.server is None or arm.operation == "encode":
            return arm
        if arm.operation == "decode":
            none = msgspec.structs.replace(terms.server, rate=0.0, failed=1234.0, latencies_ns=())
            return msgspec.structs.replace(arm, scenarios=msgspec.structs.replace(terms, server=none))
        untried = msgspec.structs.replace(terms, server=None, missing={"server": "100 queries take too long"})
        return msgspec.structs.replace(arm, scenarios=untried)

    arms = tuple(map(without, example.arms))
    found = answer(msgspec.structs.replace(example, arms=arms), "What can a service promise?")
    assert list(found.numbers) == ["encode"]
    told = found.answer.split("; ")
    assert told[1] == "no rate of decode was held under 10 ms, down to 1,234 a second"
    assert told[2].startswith("no rate of reconstruct was tried: 100 queries")
    others = tuple(arm for arm in arms if arm.operation == "decode")
    found = answer(msgspec.structs.replace(example, arms=others), "What can a service promise?")
    assert found.answer == "No rate of decode was held under 10 ms, down to 1,234 a second."


def test_wrong_numbers_of_a_precision_are_not_called_unavailable_and_nothing_is_a_share_of_no_elbo(
    example: Report,
) -> None:
    wrong = msgspec.structs.replace(arm_of(example, "decode.cpu.int8.numpy.t2"), status="wrong", points=())
    costs = tuple(msgspec.structs.replace(cost, negative_elbo_fp32=0.0) for cost in example.bundle.costs)
    bundle = msgspec.structs.replace(example.bundle, costs=costs)
    arms = tuple(wrong if arm.name == wrong.name else arm for arm in example.arms)
    found = answer(msgspec.structs.replace(example, arms=arms, bundle=bundle), "Is int8 worth it?")
    assert "; decode gave wrong numbers in it." in found.answer
    assert "ELBO" not in found.answer


def test_figures_of_several_numbers_of_threads_say_which(example: Report) -> None:
    settings = msgspec.structs.replace(example.settings, threads=(1, 2))
    assert "in encode with t2, " in answer(msgspec.structs.replace(example, settings=settings), "Which path?").answer


def test_where_nothing_was_timed_there_are_no_figures_to_believe(example: Report) -> None:
    arms = tuple(arm for arm in example.arms if arm.status == "unavailable")
    found = answer(msgspec.structs.replace(example, arms=arms), "Can the figures be believed?")
    assert found.answer == "There are none: nothing was timed."


def test_unstable_points_and_refused_arms_are_counted(example: Report) -> None:
    found = answer(example, "Can the figures be believed?")
    assert found.numbers["unstable"] == 1.0
    assert found.numbers["refused"] == 1.0
    assert "points came under a spread of 10%" in found.answer


def test_a_floor_is_rows_a_second_or_a_ratio_and_threads_may_be_left_out(example: Report) -> None:
    assert hold(parse("encode.cpu.fp32.numpy@256=10000"), example).held
    assert hold(parse("encode.cpu.fp32.numpy.t2@256=1e4"), example).held
    missed = hold(parse("encode.cpu.fp32.numpy@256=1e12"), example)
    assert not missed.held
    assert " rows/s, wanted is 1,000,000,000,000" in (missed.reason or "")
    loose = with_arms(example, loosened(arm_of(example, "encode.cpu.fp32.numpy.t2"), 256))
    for asked in ("encode.cpu.fp32.numpy@256=1e12", "encode.cpu.int8.numpy@1/encode.cpu.fp32.numpy@256=99"):
        assert " (not settled), wanted is " in (hold(parse(asked), loose).reason or "")
    ratio = hold(parse("encode.cpu.int8.numpy@256/encode.cpu.fp32.numpy=1.5"), example)
    assert ratio.held
    assert ratio.found == pytest.approx(1.9, abs=0.1)
    assert hold(parse("encode.cpu.fp32.numpy@256/encode.cpu.fp32.numpy@1=2"), example).held


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("encode.cpu.fp32.numpy@7=1", "was not timed at 7"),
        ("encode.tpu.fp32.numpy@1=1", "no such arm"),
        ("encode.cuda.fp32.numpy@1=1", "was not timed at 1: device: cuda cannot be had"),
    ],
)
def test_a_floor_of_an_arm_that_was_not_timed_is_missed_with_the_reason(asked: str, told: str, example: Report) -> None:
    found = hold(parse(asked), example)
    assert not found.held
    assert told in (found.reason or "")


@pytest.mark.parametrize(
    "asked", ["", "encode", "encode@1", "encode@1=0", "encode@1=x", "encode@0=1", "@1=1", "a@1/=2"]
)
def test_a_floor_in_another_form_is_refused(asked: str) -> None:
    with pytest.raises(OptionError, match="--floor: must be ARM@BATCH=ROWS_PER_S"):
        parse(asked)


def test_a_report_against_itself_has_moved_nowhere(example: Report) -> None:
    found = compare(example, example)
    assert {move.verdict for move in found.moves} == {"within noise"}
    assert {move.ratio for move in found.moves} == {1.0}
    assert (found.differences, found.only_old, found.only_new) == ((), (), ())


def test_a_point_moves_where_its_ratio_is_beyond_the_spread_of_both(example: Report) -> None:
    plain = arm_of(example, "encode.cpu.fp32.numpy.t2")
    times = {1: 2.0, 8: 1.001, 64: 0.5, 256: 1.0}
    new = msgspec.structs.replace(
        example,
        arms=tuple(faster(arm, "cpu", times) if arm is plain else arm for arm in example.arms),
        versions=example.versions | {"onnxruntime": "9.9"},
    )
    found = compare(example, new)
    verdicts = {move.batch: move.verdict for move in found.moves if move.arm == plain.name}
    assert verdicts == {1: "faster", 8: "within noise", 64: "slower", 256: "within noise"}
    assert found.differences == ("onnxruntime: 1.32.0 before, 9.9 now",)


def another(report: Report) -> Report:
    """The same figures of another bundle."""
    bundle = msgspec.structs.replace(report.bundle, name="newer", id="f" * 32, input=(1, 8, 8))
    return msgspec.structs.replace(report, bundle=bundle)


def test_a_report_of_another_bundle_is_compared_and_its_first_line_says_that_the_bundles_differ(
    example: Report,
) -> None:
    found = compare(example, another(example))
    assert found.bundles == f"example {example.bundle.id} before, newer {'f' * 32} now"
    assert len(found.moves) > 10
    assert any(each.startswith("x: ") and each.endswith(" before, 1 x 8 x 8 now") for each in found.differences)
    told = table(msgspec.structs.replace(example, comparison=found))
    first = told.index(f"the bundles differ: {found.bundles}\nagainst the report of ")
    assert told[:first].endswith("\n\n")
    assert "the bundles differ" not in table(msgspec.structs.replace(example, comparison=compare(example, example)))


@pytest.mark.parametrize("nothing", [0.0, 5e-324, 0.4])
def test_what_took_no_time_or_is_missing_has_no_ratio(nothing: float, example: Report) -> None:
    def emptied(arm: Arm) -> Arm:
        assert arm.points[0].latency is not None
        none = msgspec.structs.replace(arm.points[0].latency, p50_ns=nothing)
        first = msgspec.structs.replace(arm.points[0], latency=none)
        return msgspec.structs.replace(arm, points=(first, msgspec.structs.replace(arm.points[1], latency=None)))

    plain = arm_of(example, "encode.cpu.fp32.numpy.t2")
    empty = msgspec.structs.replace(example, arms=tuple(emptied(arm) if arm is plain else arm for arm in example.arms))
    for old, new in ((empty, example), (example, empty), (empty, empty)):
        found = compare(old, new)
        assert [move for move in found.moves if move.arm == plain.name] == []
        assert "inf" not in table(msgspec.structs.replace(example, comparison=found)).partition("against the report")[2]


def test_a_change_of_many_times_is_said_in_times_and_what_is_not_listed_is_counted(example: Report) -> None:
    times: dict[int, float] = dict.fromkeys((1, 8, 64, 256), 1 / 40)
    whole = [arm for arm in example.arms if arm.points and all(point.latency for point in arm.points)]
    slower = tuple(faster(arm, "cpu", times) for arm in whole)
    found = compare(example, msgspec.structs.replace(example, arms=slower[1:]))
    told = table(msgspec.structs.replace(example, comparison=found)).partition("against the report")[2]
    assert "ms, 40 times, noise" in told
    assert f"and {len(found.moves) - 12} more, less far" in told
    assert "2 arms of the older report alone" in told
