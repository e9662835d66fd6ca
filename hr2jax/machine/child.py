"""A function in a process of its own, which is killed when the call that waits for it is to end."""

from __future__ import annotations

import contextlib
import pickle
import queue
import subprocess
import sys
import threading
from typing import Any

from .stopping import LOOK, check

# The answer goes where stdout was: what C code prints there goes to stderr. A parent that dies takes the child along.
CODE = """
import os, pickle, sys
answer = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)
try:
    import ctypes
    ctypes.CDLL(None).prctl(1, 9)
except Exception:
    pass
sys.path[:] = pickle.load(sys.stdin.buffer)
import importlib
module, name, args = pickle.load(sys.stdin.buffer)
try:
    out = True, getattr(importlib.import_module(module), name)(*args)
except Exception as error:
    out = False, error
pickle.dump(out, answer)
answer.close()
"""


class ChildError(RuntimeError):
    """The process ended without an answer."""


def in_child(module: str, name: str, *args: Any, quiet: bool = True, seconds: float | None = None) -> Any:
    """The function `name` of `module`, of picklable arguments, in another process.

    Args:
        module, name, args: what is called.
        quiet: whether what it prints is dropped.
        seconds: when to kill it.

    Raises:
        KeyboardInterrupt: the call that waits is to end; the process is killed.
        TimeoutError: time was over; it is killed.
        ChildError: it ended without an answer, by a signal for example.
        Whatever the function raises.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", CODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if quiet else None, start_new_session=True,  # a terminal's Ctrl-C is for the parent
    )  # fmt: skip
    job = pickle.dumps(sys.path) + pickle.dumps((module, name, args))
    answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def exchange() -> None:
        with contextlib.suppress(OSError, ValueError):
            answers.put(process.communicate(job)[0])

    reader = threading.Thread(target=exchange, name="hr2jax child", daemon=True)
    try:
        reader.start()
        waited = 0.0
        while True:
            check()
            with contextlib.suppress(queue.Empty):
                answer = answers.get(timeout=LOOK)
                break
            waited += LOOK
            if seconds is not None and waited >= seconds:
                raise TimeoutError(f"{module}.{name} took longer than {seconds:g} s")
    finally:
        process.kill()
        reader.join()
    if not answer:
        raise ChildError(f"{module}.{name} ended without an answer (exit code {process.wait()})")
    is_value, out = pickle.loads(answer)
    if not is_value:
        raise out
    return out
