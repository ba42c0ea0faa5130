"""Sizes are known before a graph runs: what contradicts itself, cannot be known, or asks for too much never loads."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reparam
from reparam.engine.memory import machine_memory
from reparam.errors import BundleError, DeviceUnavailable, OptionError, OutOfMemory
from reparam.testing import tiny_bundle

Maker = Callable[..., Path]
Making = Callable[..., Path]


@pytest.fixture
def making(tiny: Maker, onnx: Any, tmp_path: Path) -> Making:
    """A bundle whose encoder makes `mean` [batch, 2] by these nodes, out of x and these tensors."""

    def make(*nodes: bytes, tensors: tuple[bytes, ...] = ()) -> Path:
        rest = [onnx.node("Sub", "x x", "logvar"), onnx.node("Add", "x eps", "z")]
        inputs = [onnx.value(name, "batch", 2) for name in ("x", "eps")]
        outputs = [onnx.value(name, "batch", 2) for name in ("mean", "logvar", "z")]
        more = [(5, tensor) for tensor in tensors]
        return tiny(tmp_path / "b", encoder=onnx.model(onnx.graph([*nodes, *rest], inputs, outputs, *more)))

    return make


def floats(onnx: Any, name: str, *shape: int) -> bytes:
    found: bytes = onnx.message(*((1, side) for side in shape), (2, 1), (8, name), (9, bytes(4 * int(np.prod(shape)))))
    return found


def bombs(onnx: Any) -> dict[str, tuple[list[bytes], list[bytes]]]:
    """Graphs of a few hundred bytes that ask for more memory than any machine has: nodes and tensors."""
    node, integers = onnx.node, onnx.integers
    big = 2**20
    fill = onnx.message((1, "value"), (20, 4), (5, onnx.message((1, 1), (2, 1), (9, bytes(4)))))
    scales = onnx.message((1, 4), (2, 1), (8, "s"), (9, struct.pack("<4f", 1, 1, 1e6, 1e6)))
    shaped = [node("Reshape", "x four", "image")]
    return {
        "Expand of a constant": ([node("Expand", "w s", "e")], [floats(onnx, "w", 1), integers("s", big, big)]),
        "Expand of x": ([node("Expand", "x s", "e")], [integers("s", big, big, 1, 1)]),
        "Tile": ([node("Tile", "x s", "e")], [integers("s", big, big)]),
        "Pad": ([node("Pad", "x s", "e")], [integers("s", 0, 2**31 - 9, 2**31 - 9, 0)]),
        "ConstantOfShape": ([node("ConstantOfShape", "s", "e", (5, fill))], [integers("s", big, big)]),
        "Range": (
            [node("Range", "a b c", "e")],
            [scalar(onnx, "a", 0), scalar(onnx, "b", 2**40), scalar(onnx, "c", 1)],
        ),
        "Resize": ([*shaped, node("Resize", "image image s", "e")], [integers("four", 1, 1, -1, 2), scales]),
        "an outer product": ([node("MatMul", "w v", "e")], [floats(onnx, "w", big, 1), floats(onnx, "v", 1, big)]),
        "an outer sum": ([node("Add", "w v", "e")], [floats(onnx, "w", big, 1), floats(onnx, "v", 1, big)]),
        "doubling": ([double(onnx, place) for place in range(45)], []),
    }


def scalar(onnx: Any, name: str, number: int) -> bytes:
    found: bytes = onnx.message((2, 7), (8, name), (9, struct.pack("<q", number)))
    return found


def double(onnx: Any, place: int) -> bytes:
    last = "x" if place == 0 else f"d{place - 1}"
    axis = onnx.message((1, "axis"), (20, 2), (3, 0))
    found: bytes = onnx.node("Concat", f"{last} {last}", f"d{place}", (5, axis))
    return found


@pytest.mark.parametrize(
    "name",
    [
        *("Expand of a constant", "Expand of x", "Tile", "Pad", "ConstantOfShape", "Range", "Resize"),
        *("an outer product", "an outer sum", "doubling"),
    ],
)
def test_a_small_graph_that_asks_for_any_amount_of_memory_never_reaches_onnxruntime(
    onnx: Any, making: Making, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    import onnxruntime

    def never(*_: object, **__: object) -> None:
        raise AssertionError("onnxruntime saw it")

    nodes, tensors = bombs(onnx)[name]
    folder = making(*nodes, onnx.node("Relu", "x", "mean"), tensors=tuple(tensors))
    monkeypatch.setattr(onnxruntime, "InferenceSession", never)
    with pytest.raises(
        (BundleError, DeviceUnavailable),
        match=r"needs about [\d,]+ bytes|refused: .*(cannot have shape|products of const)",
    ):
        reparam.load(folder, device="cpu")


def test_the_memory_that_one_row_needs_must_be_there(onnx: Any, making: Making) -> None:
    folder = making(
        onnx.node("Expand", "x s", "e"), onnx.node("Relu", "x", "mean"), tensors=(onnx.integers("s", 2**50, 1, 1),)
    )
    with pytest.raises(BundleError, match="cannot have shape"):
        reparam.load(folder, device="cpu")
    nodes, tensors = bombs(onnx)["Tile"]
    with pytest.raises(DeviceUnavailable, match=r"needs about [\d,]+ bytes for 1 rows, this process may have [\d,]+"):
        reparam.load(making(*nodes, onnx.node("Relu", "x", "mean"), tensors=tuple(tensors)), device="cpu")


def test_products_of_constants_are_bounded_since_they_are_computed_while_loading(onnx: Any, making: Making) -> None:
    nodes = [onnx.node("MatMul", f"{'w' if place == 0 else f'm{place - 1}'} w", f"m{place}") for place in range(600)]
    folder = making(*nodes, onnx.node("Relu", "x", "mean"), tensors=(floats(onnx, "w", 256, 256),))
    with pytest.raises(BundleError, match="computes more than 1073741824 products of constants"):
        reparam.load(folder, device="cpu")


def test_cubic_resampling_is_counted_with_its_table(onnx: Any, making: Making) -> None:
    mode = onnx.message((1, "mode"), (20, 3), (4, "cubic"))
    corners = onnx.message((1, "coordinate_transformation_mode"), (20, 3), (4, "align_corners"))
    scales = onnx.message((1, 4), (2, 1), (8, "scales"), (9, struct.pack("<4f", 1, 1, 1 / 8, 64)))
    roi = onnx.message((1, 0), (2, 1), (8, "roi"))
    resize = onnx.node("Resize", "w roi scales", "wide", (5, mode), (5, corners))
    nodes = [resize, onnx.node("Relu", "x", "mean")]
    with pytest.raises(BundleError, match="Resize: computes more than 1073741824 products of constants"):
        reparam.load(making(*nodes, tensors=(floats(onnx, "w", 1, 1, 1024, 1024), roi, scales)), device="cpu")
    nodes = [onnx.node("Reshape", "x four", "w"), onnx.node("Tile", "w wide", "v"), *nodes]
    nodes[2] = onnx.node("Resize", "v roi scales", "wider", (5, mode), (5, corners))
    tensors = roi, scales, onnx.integers("four", 0, 1, 1, 2), onnx.integers("wide", 1, 1, 256, 256)
    with pytest.raises(OptionError, match=r"calls of max_batch=1 rows need about 2[\d,]{10} bytes"):
        reparam.load(making(*nodes, tensors=tensors), device="cpu", max_batch=1, memory_budget=2**20)


def test_a_size_that_depends_on_values_is_refused(onnx: Any, making: Making) -> None:
    to = onnx.message((1, "to"), (20, 2), (3, 7))
    keep = onnx.message((1, "keepdims"), (20, 2), (3, 1))
    nodes = [
        onnx.node("ReduceMax", "x", "most", (5, keep)),
        onnx.node("Cast", "most", "size", (5, to)),
        onnx.node("Reshape", "size one", "sizes"),
        onnx.node("Expand", "x sizes", "e"),
        onnx.node("Relu", "x", "mean"),
    ]
    with pytest.raises(BundleError, match=r"Expand 'e': input 1 decides a size and is not known before the graph runs"):
        reparam.load(making(*nodes, tensors=(onnx.integers("one", -1),)), device="cpu")


def test_slopes_are_stretched_to_x_and_never_x_to_slopes(onnx: Any, making: Making) -> None:
    nodes = [onnx.node("PRelu", "x slopes", "p"), onnx.node("Shape", "p", "s"), onnx.node("Relu", "x", "mean")]
    reparam.load(making(*nodes, tensors=(floats(onnx, "slopes", 1, 2),)), device="cpu").close()
    with pytest.raises(BundleError, match=r"PRelu 'p': x with its slopes must have shape \[1, 2\], has \[3, 2\]"):
        reparam.load(making(*nodes, tensors=(floats(onnx, "slopes", 3, 2),)), device="cpu")


@pytest.mark.parametrize("divisor", [0, -1])
def test_whole_numbers_are_divided_by_positive_ones_alone(onnx: Any, making: Making, divisor: int) -> None:
    nodes = [onnx.node("Shape", "x", "s"), onnx.node("Div", "s d", "e"), onnx.node("Relu", "x", "mean")]
    with pytest.raises(BundleError, match="divides whole numbers by what is not known to be positive"):
        reparam.load(making(*nodes, tensors=(onnx.integers("d", divisor),)), device="cpu")


def test_whole_numbers_are_not_divided_by_what_follows_from_the_rows(onnx: Any, making: Making) -> None:
    axis = onnx.message((1, "end"), (20, 2), (3, 1))
    nodes = [
        onnx.node("Shape", "x", "rows", (5, axis)),
        onnx.node("Sub", "three rows", "d"),  # 2 for one row, 0 for three
        onnx.node("Div", "three d", "e"),
        onnx.node("Relu", "x", "mean"),
    ]
    with pytest.raises(BundleError, match="Div: divides whole numbers by what follows from x, which may be 0"):
        reparam.load(making(*nodes, tensors=(onnx.integers("three", 3),)), device="cpu")


def test_memory_grows_no_faster_than_rows(onnx: Any, making: Making) -> None:
    end = onnx.message((1, "end"), (20, 2), (3, 1))
    nodes = [
        onnx.node("Shape", "x", "rows", (5, end)),
        onnx.node("Mul", "rows wide", "many"),
        onnx.node("Expand", "one many", "line"),
        onnx.node("Unsqueeze", "line axis", "column"),
        onnx.node("Add", "line column", "square"),
        onnx.node("Relu", "x", "mean"),
    ]
    tensors = (onnx.integers("wide", 100), floats(onnx, "one", 1), onnx.integers("axis", 1))
    with pytest.raises(BundleError, match=r"256 rows need [\d,]+ bytes and one [\d,]+: a graph whose memory grows"):
        reparam.load(making(*nodes, tensors=tensors), device="cpu")
    reparam.load(making(*nodes, tensors=tensors), device="cpu", max_batch=1).close()


def test_sizes_that_follow_from_shapes_are_known(onnx: Any, making: Making) -> None:
    nodes = [
        onnx.node("Shape", "x", "s"),
        onnx.node("Mul", "s two", "wide"),
        onnx.node("Expand", "one wide", "e"),
        onnx.node("Div", "wide two", "narrow"),
        onnx.node("Expand", "one narrow", "f"),
        onnx.node("Mul", "x f", "mean"),
    ]
    folder = making(*nodes, tensors=(onnx.integers("two", 2), floats(onnx, "one", 1)))
    with reparam.load(folder, device="cpu") as vae:
        assert vae.encode(np.ones((3, 2), np.float32)).mean.tolist() == [[0.0, 0.0]] * 3


def test_what_is_empty_is_refused(onnx: Any, making: Making) -> None:
    nodes = [onnx.node("Slice", "x none none", "e"), onnx.node("Relu", "x", "mean")]
    with pytest.raises(BundleError, match=r"Slice 'e': cannot have shape \[0, 2\]"):
        reparam.load(making(*nodes, tensors=(onnx.integers("none", 0),)), device="cpu")


# -- budgets ---------------------------------------------------------------------------------------------------------


def test_a_budget_holds_for_a_call_of_max_batch_rows(tmp_path: Path) -> None:
    folder = tiny_bundle(tmp_path / "b", input_shape=(100,))
    reparam.load(folder, device="cpu", max_batch=16, memory_budget=2**20).close()
    with pytest.raises(
        OptionError, match=r"memory_budget: calls of max_batch=100000 rows need about .* bytes, got 1,048"
    ):
        reparam.load(folder, device="cpu", max_batch=100_000, memory_budget=2**20)
    with pytest.raises(OptionError, match="lower max_batch or raise the budget"):
        reparam.load(folder, device="cpu", max_batch=1, memory_budget=1000)
    reparam.load(folder, device="cpu", max_batch=100_000).close()  # no budget: one row must fit


def test_a_pinned_model_keeps_to_the_budget(tmp_path: Path) -> None:
    folder = tiny_bundle(tmp_path / "b")
    with reparam.load(folder, device="cpu", max_batch=16, memory_budget=2**20) as vae:
        assert vae.pinned(17).batch == 17
        with pytest.raises(OutOfMemory, match=r"encoder\.onnx: no memory for 65536 rows in one run; give at most \d+"):
            vae.pinned(2**16)
    with reparam.load(folder, device="cpu", max_batch=16) as vae:
        assert vae.pinned(2**16).batch == 2**16


@pytest.mark.parametrize("budget", [0, -1, 1.5, "1 GB"])
def test_a_budget_is_a_number_of_bytes(bundle: Path, budget: object) -> None:
    with pytest.raises(OptionError, match="memory_budget: must be an integer from 1 to"):
        reparam.load(bundle, device="cpu", memory_budget=budget)  # type: ignore[arg-type]


def test_the_machines_memory_is_less_where_a_control_group_says_so(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    machine = machine_memory(tmp_path, "/a/b")
    assert machine > 2**26
    (inner / "memory.max").write_text("max\n")
    assert machine_memory(tmp_path, "/a/b") == machine
    (tmp_path / "a" / "memory.max").write_text(f"{2**26}\n")
    assert machine_memory(tmp_path, "/a/b") == 2**26
    (inner / "memory.max").write_text(f"{2**25}\n")
    assert machine_memory(tmp_path, "/a/b") == 2**25
    assert machine_memory(tmp_path, "/a") == 2**26
    (inner / "memory.max").write_text("-5\n")
    assert machine_memory(tmp_path, "/a/b") == 2**26


def test_control_groups_of_the_first_kind_limit_the_memory_too(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    machine = machine_memory(tmp_path, "/")
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("9223372036854771712\n")  # which means none
    assert machine_memory(tmp_path, "/") == machine
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text(f"{2**26}\n")
    assert machine_memory(tmp_path, "/") == 2**26
