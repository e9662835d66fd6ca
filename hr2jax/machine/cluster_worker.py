"""What runs in a worker of Dask's: each has from its beginning what all tasks share, and one thread."""

from __future__ import annotations

import pickle
import signal
import threading
from collections.abc import Callable
from typing import Any

from distributed import Worker, WorkerPlugin, get_worker
from threadpoolctl import threadpool_limits

from .programs import keep
from .stopping import check, heeding, is_interrupted

_lock = threading.Lock()
_is_ready = False
_packed: dict[str, bytes] = {}
_shared: dict[str, Any] = {}


class Common(WorkerPlugin):
    """What the tasks of one call share: the scheduler gives it to each worker, now or when that comes."""

    def __init__(self, name: str, value: Any):
        """name: of the call, unique; value: picklable."""
        self.name, self.packed = name, pickle.dumps(value)

    def setup(self, worker: Worker) -> None:
        """Have it; unpacked when it is used."""
        _packed[self.name] = self.packed

    def teardown(self, worker: Worker) -> None:
        """The call has ended."""
        _packed.pop(self.name, None)
        _shared.pop(self.name, None)


def dask_setup(worker: Worker) -> None:
    """Of our own cluster, in the worker's main thread: Ctrl-C is for the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def run(work: Callable[[Any, Any], Any], name: str, packed: bytes) -> tuple[bool, Any]:
    """(True, the work's answer to a task), or (False, None) where it was told to end.

    Dask lets a KeyboardInterrupt end a worker. A task that is cancelled, or whose client is gone, has another state.
    """
    global _is_ready  # noqa: PLW0603
    with _lock:
        if not _is_ready:
            threadpool_limits(1)
            keep()
            _is_ready = True
        if name not in _shared:
            _shared[name] = pickle.loads(_packed[name])
    worker: Any = get_worker()
    key, tasks = worker.get_current_task(), worker.state.tasks

    def is_to_end() -> bool:
        state = tasks.get(key)
        return state is None or state.state not in ("executing", "long-running") or worker.status.name != "running"

    try:
        with heeding(is_to_end):
            check()
            answer = work(_shared[name], pickle.loads(packed))
            return (False, None) if is_interrupted() else (True, answer)  # a solve may have heard it, and ended early
    except KeyboardInterrupt:
        return False, None
