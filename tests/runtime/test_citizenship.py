"""A good guest in other people's programs: what it imports, prints, starts and leaves, each in a fresh process."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Fresh = Callable[..., Any]

EVERYTHING = """
import sys, json, numpy as np
import reparam
after_import = sorted(sys.modules)
vae = reparam.load(sys.argv[1], device="cpu", threads=1)
x = np.zeros((3, *vae.manifest.input.shape), np.float32)
q = vae.encode(x)
q.kl(), q.std
vae.decode(vae.sample(x, seed=7))
vae.reconstruct(x), vae.generate(3, seed=7), vae.interpolate(x, x), list(vae.stream(x, op="encode")), vae.info()
reparam.verify(sys.argv[1], device="cpu", threads=1)
"""
HEAVY = {"torch", "onnx", "onnxscript", "matplotlib", "PIL", "tqdm", "reparam_train", "reparam_export"}


def test_running_a_model_imports_nothing_heavy_and_prints_nothing(bundle: Path, fresh: Fresh) -> None:
    tell = "print(json.dumps([after_import, sorted(sys.modules)]), file=sys.stderr)"
    done = fresh(EVERYTHING + tell, bundle)
    assert (done.code, done.out) == (0, "")
    after_import, after_all = map(set, json.loads(done.err))
    assert not after_all & HEAVY
    assert "onnxruntime" in after_all
    assert "onnxruntime" not in after_import


def test_importing_warns_of_nothing(fresh: Fresh) -> None:
    done = fresh("import warnings; warnings.simplefilter('error'); import reparam, reparam.cli.main")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_telemetry_is_off_before_onnxruntime_is_first_imported(bundle: Path, fresh: Fresh) -> None:
    watch = """
import os, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "onnxruntime":
            print(os.environ.get("ORT_DISABLE_TELEMETRY"))
sys.meta_path.insert(0, Watch())
"""
    done = fresh(watch + EVERYTHING, bundle)
    assert (done.code, done.out) == (0, "1\n")


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_no_thread_runs_beyond_those_configured(bundle: Path, fresh: Fresh, threads: int) -> None:
    code = """
import os, sys, numpy as np, reparam
before = len(os.listdir("/proc/self/task"))
vae = reparam.load(sys.argv[1], device="cpu", threads=int(sys.argv[2]))
x = np.zeros((300, *vae.manifest.input.shape), np.float32)
vae.reconstruct(x, seed=7)
print(len(os.listdir("/proc/self/task")) - before)
"""
    done = fresh(code, bundle, threads)
    assert done.code == 0, done.err
    assert int(done.out) == 2 * (threads - 1)  # the caller's own thread works too, in each of the two sessions


def test_numpys_and_pythons_global_randomness_are_left_alone(bundle: Path, fresh: Fresh) -> None:
    begin = "import random, numpy\nrandom.seed(1); numpy.random.seed(1)\n"
    end = "\nprint(random.random(), numpy.random.random())"
    done = fresh(begin + EVERYTHING + end, bundle)
    assert done.code == 0, done.err
    assert done.out == fresh(begin + end).out


def test_the_programs_settings_are_left_alone(bundle: Path, fresh: Fresh) -> None:
    begin = """
import gc, locale, os, signal, sys, threading, warnings
def state():
    return {
        "environment": dict(os.environ), "folder": os.getcwd(), "locale": locale.setlocale(locale.LC_ALL),
        "interrupts": signal.getsignal(signal.SIGINT), "path": list(sys.path), "arguments": list(sys.argv),
        "collection": gc.get_threshold(), "threads": threading.active_count(), "mask": os.umask(18),
    }
os.umask(18)
before = state()
"""
    end = """
after = state()
after["environment"].pop("ORT_DISABLE_TELEMETRY")
print(*(name for name in before if before[name] != after[name]))
"""
    done = fresh(begin + EVERYTHING + end, bundle)
    assert (done.code, done.out) == (0, "\n"), done.err


def test_a_process_made_by_fork_may_load_a_model_of_its_own(bundle: Path, fresh: Fresh) -> None:
    code = """
import os, sys, numpy as np, reparam
child = os.fork()
if not child:
    with reparam.load(sys.argv[1], device="cpu", threads=1) as vae:
        os._exit(0 if vae.generate(3, seed=7).shape[0] == 3 else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = fresh(code, bundle)
    assert (done.out, done.err) == ("0\n", "")


@pytest.mark.skipif(shutil.which("strace") is None, reason="watches system calls with strace, which is not installed")
def test_nothing_is_looked_up_in_a_network_and_no_file_is_written(bundle: Path, tmp_path: Path) -> None:
    code = "import os, numpy; os.mkdir('begin')\n" + EVERYTHING
    trace = tmp_path / "trace"
    calls = "trace=network,openat,open,creat,mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat"
    subprocess.run(
        ["strace", "-f", "-e", calls, "-o", str(trace), sys.executable, "-B", "-c", code, str(bundle)],
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    _, begin, ours = trace.read_text().partition('mkdir("begin"')
    assert begin
    lines = [line for line in ours.splitlines()[1:] if "resumed>" not in line]
    assert len(lines) > 10
    wrong = "O_WRONLY|O_RDWR|O_CREAT|socket\\(|connect\\(|sendto\\(|mkdir|rename|unlink|creat\\("
    assert [line for line in lines if re.search(wrong, line)] == []
