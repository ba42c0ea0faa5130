"""Whether this CPU has instructions for int8, without which int8 is slower than float32."""

import functools
from pathlib import Path
from typing import Final

# Names in /proc/cpuinfo: VNNI in its three encodings and AMX on x86, the dot product on ARM.
_INT8: Final = frozenset({"avx512_vnni", "avx_vnni", "amx_int8", "asimddp"})
NO_INT8: Final = "this CPU has no instructions for int8 (VNNI, AMX or ARM's dot product), its products may saturate"
_CPUINFO: Final = Path("/proc/cpuinfo")


@functools.cache
def has_int8() -> bool:
    """Whether they are there; False where the system does not tell, as outside Linux."""
    try:
        lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    flags = [line.partition(":")[2].split() for line in lines if line.startswith(("flags", "Features"))]
    return any(_INT8.intersection(each) for each in flags)
