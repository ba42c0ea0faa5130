"""Where the time of one graph goes on a card, and whether other options of its provider would do better.

    python benchmarks/gpu/why.py build/gpu/kl512/decoder.fp16.onnx --rows 1 --side 512
    python benchmarks/gpu/why.py models/digits/decoder.onnx --device cpu

For when a report of `make gpu` falls short: operators by the time of onnxruntime's own profile, on a card kernels too,
by that of PyTorch's, which sees all of the process; then bare sessions with one option changed each, in turn. Inputs
and outputs lie on the device.
"""

import argparse
import json
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from arms import in_turn

from reparam.engine.device import Device, missing_for_cuda, providers

_CHANGES: dict[str, dict[str, str]] = {
    "as it is": {},
    "cudnn_conv_algo_search=EXHAUSTIVE": {"cudnn_conv_algo_search": "EXHAUSTIVE"},
    "prefer_nhwc=1": {"prefer_nhwc": "1"},
    "use_tf32=1": {"use_tf32": "1"},
    "cudnn_conv_use_max_workspace=0": {"cudnn_conv_use_max_workspace": "0"},
    "arena_extend_strategy=kSameAsRequested": {"arena_extend_strategy": "kSameAsRequested"},
}


def session(graph: Path, device: Device, change: dict[str, str], profile: Path | None = None) -> Any:
    """A bare session with the options of ours, changed."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    if device.kind == "cpu":
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    options.add_session_config_entry("optimization.disable_specified_optimizers", "Pad_Fusion")
    name, usual = providers(device, tf32=".fp16." in graph.name, capture=False)[0]
    made = onnxruntime.InferenceSession(graph, options, providers=[(name, usual | change)], enable_fallback=0)
    if made.get_providers()[0] != name:
        raise SystemExit(f"error: onnxruntime does not take {change}")
    return made


def bound(made: Any, rows: int, side: int | None, factor: int, device: Device) -> Callable[[], None]:
    """A run over inputs and outputs on the device."""
    binding = made.io_binding()
    for each in made.get_inputs():
        if side is None and any(isinstance(size, str) for size in each.shape[1:]):
            raise SystemExit(
                f"error: {each.name} is open in height and width; give --side, and --factor if it is not 8"
            )
        open_sides = {"height": side, "width": side, "latent_height": (side or 0) // factor}
        open_sides["latent_width"] = open_sides["latent_height"]
        shape = [open_sides.get(size, size) for size in each.shape[1:]]
        values = np.random.default_rng(0).standard_normal((rows, *shape)).astype(np.float32)
        kind = "uint8" if "uint8" in each.type else "float32"
        value = onnxruntime.OrtValue.ortvalue_from_numpy(values.astype(kind), device.kind, device.index)
        binding.bind_ortvalue_input(each.name, value)
    for each in made.get_outputs():
        binding.bind_output(each.name, device.kind, device.index)
    return lambda: made.run_with_iobinding(binding)


def by_operator(place: str) -> list[tuple[str, float, int]]:
    """Operators of a profile by the milliseconds that their kernels took, most first, and how many ran."""
    spent: dict[str, float] = defaultdict(float)
    count: dict[str, int] = defaultdict(int)
    for event in json.loads(Path(place).read_text()):
        told = event.get("args", {})
        if event.get("cat") == "Node" and str(event.get("name", "")).endswith("_kernel_time"):
            name = f"{told.get('op_name')} on {str(told.get('provider', '')).removesuffix('ExecutionProvider')}"
            spent[name] += event["dur"] / 1e3
            count[name] += 1
    return sorted(((name, time, count[name]) for name, time in spent.items()), key=lambda found: -found[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graph", type=Path)
    parser.add_argument("--rows", type=int, default=1)
    parser.add_argument("--side", type=int, help="of images, where the graph leaves it open")
    parser.add_argument("--factor", type=int, default=8, help="how many times the latent's side that is")
    parser.add_argument("--seconds", type=float, default=10.0, help="of all sessions in turn")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    options = parser.parse_args()
    device = Device(options.device)
    if device.kind != "cpu" and (lacking := missing_for_cuda()):
        raise SystemExit(f"error: missing here: {', '.join(lacking)}")
    with tempfile.TemporaryDirectory() as folder:
        made = session(options.graph, device, {}, Path(folder) / "profile")
        run = bound(made, options.rows, options.side, options.factor, device)
        for _ in range(5):
            run()
        print("the first five runs, by operator; on a card the host's time of each launch")
        for name, time, count in by_operator(made.end_profiling())[:20]:
            print(f"{time:10.2f} ms  {count:5} times  {name}")
        if device.kind != "cpu":
            with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as seen:
                for _ in range(5):
                    run()
            print("five more, by kernel")
            print(seen.key_averages().table(sort_by="self_device_time_total", row_limit=20, max_name_column_width=70))
    changes = _CHANGES if device.kind != "cpu" else {"as it is": {}}
    runs = {
        name: bound(session(options.graph, device, change), options.rows, options.side, options.factor, device)
        for name, change in changes.items()
    }
    found = in_turn(runs, options.seconds)
    usual = found["as it is"]
    for name, times in found.items():
        ratio = statistics.median(one / other for one, other in zip(times, usual, strict=True))
        print(f"{1e3 * statistics.median(times):10.3f} ms  {ratio:.3f}  {name}")


if __name__ == "__main__":
    main()
