"""Small files that ask for much memory or time, and how a reader fares with them in a process that has little."""

import json
import subprocess
import sys

_CHILD = """
import json, os, resource, sys, time
from hr2jax.io import read_vnnlib
from hr2jax.reading import load
from hr2jax import Certificate
if any(".onnx" in path for path in sys.argv):
    try:
        import onnx
    except ImportError:
        pass
if any(path.endswith((".keras", ".h5")) for path in sys.argv):  # what they need to start
    import h5py, jax, keras
    jax.numpy.zeros(3).block_until_ready()
    load(sys.argv.pop(3))
import numpy
said = []
with open("/proc/self/statm") as file:
    size = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
resource.setrlimit(resource.RLIMIT_AS, (size + int(float(sys.argv[1])), resource.RLIM_INFINITY))
for path in sys.argv[3:]:
    start = time.monotonic()
    try:
        if sys.argv[2] == "certificate":
            Certificate.load(path)
        else:
            says_itself = path.endswith((".keras", ".h5", ".module.pt", ".script.pt"))
            read_vnnlib(path) if path.endswith(".vnnlib") else load(path, None if says_itself else "relu")
        text = "read"
    except ValueError as error:
        text = f"refused: {error}"
    except BaseException as error:
        text = f"{type(error).__name__}: {error}"
    said.append((text, time.monotonic() - start))
print(json.dumps(said))
"""


def outcomes(paths, limit=3e8, seconds=20.0, read="network"):
    """What becomes of each file in one process with `limit` bytes beside what it needs to start; each in time.

    The first of files of Keras is an honest one, which the process reads to start with.
    """
    command = [sys.executable, "-c", _CHILD, str(limit), read, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60 + seconds * len(paths), check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout)
    assert max(took for _, took in said) <= seconds, said
    return [text for text, _ in said]
