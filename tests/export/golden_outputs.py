"""Runs the graphs of bundles on their golden inputs with whatever onnxruntime is here: `golden_outputs.py OUT BUNDLE`.

Needs numpy and onnxruntime alone, so that old ones can be asked. OUT becomes an .npz with an array for each bundle (any
number may be given), precision and golden output, named like `0/fp32/mean_3`.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime


def session(file: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def outputs(bundle: Path) -> dict[str, np.ndarray]:
    manifest = json.loads((bundle / "manifest.json").read_text())
    found = {}
    with np.load(bundle / manifest["golden"]["file"]) as golden:
        cases = [name.removeprefix("x_") for name in golden.files if name.startswith("x_") and name[2].isdigit()]
        for graph in manifest["graphs"]:
            running = session(bundle / graph["file"])
            for case in cases:
                feeds = {i.name: golden[f"{i.name}_{case}"] for i in running.get_inputs()}
                names = [o.name for o in running.get_outputs()]
                for name, array in zip(names, running.run(names, feeds)):  # noqa: B905  Python 3.8 may read this
                    found[f"{graph['precision']}/{name}_{case}"] = array
    return found


if __name__ == "__main__":
    out, *bundles = sys.argv[1:]
    np.savez(out, **{f"{i}/{name}": array for i, b in enumerate(bundles) for name, array in outputs(Path(b)).items()})
    print(onnxruntime.__version__)
