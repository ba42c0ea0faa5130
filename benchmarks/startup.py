"""What a program pays before its first result: import, load and first encode, each in fresh processes; `make bench`.

Arms are interleaved, medians of several processes each; memory is the peak of a process that encodes one row. Needs the
repository's models/mnist.
"""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

BUNDLE = Path(__file__).resolve().parents[1] / "models" / "mnist"
ROUNDS = 11

NUMPY = "import numpy"
IMPORT = "import numpy, reparam"
FIRST = f"""
import numpy, reparam
vae = reparam.load({str(BUNDLE)!r}, device="cpu", threads=1)
vae.encode(numpy.zeros((1, *vae.manifest.input.shape), "float32"))
"""
PEAK = FIRST + "\nimport resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"


def seconds(code: str) -> float:
    """How long a fresh Python takes for some code."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - begin


def main() -> None:
    """Prints one JSON document."""
    arms: dict[str, list[float]] = {NUMPY: [], IMPORT: [], FIRST: []}
    for turn in range(-1, ROUNDS):
        for code, found in arms.items():
            took = seconds(code)
            if turn >= 0:  # the first one reads cold files
                found.append(took)
    numpy, imported, first = (statistics.median(found) for found in arms.values())
    peak = subprocess.run([sys.executable, "-c", PEAK], check=True, capture_output=True, text=True).stdout
    print(
        json.dumps(
            {
                "import_above_numpy_ms": 1000 * (imported - numpy),
                "import_load_and_first_encode_s": first,
                "peak_memory_mb": int(peak) / 1024,
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
