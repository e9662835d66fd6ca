"""Workers: the one way in which work that others do at the same time is started, fed and stopped.

Who wants answers writes a function of what all tasks share and of one task, and takes the answers as they come from
`Workers.answers`; whatever ends that loop ends the workers. They are told by a flag, which `stopping.check` asks for at
every step of theirs as it does in the call's own process, so that it works in processes and in threads alike. What asks
for nothing is killed.
"""

from __future__ import annotations

import importlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import connection, get_context, parent_process
from typing import Any, Protocol, TypeVar

from threadpoolctl import threadpool_limits

from .child import in_child
from .programs import keep
from .stopping import GRACE, LOOK, check, heeding

Shared = TypeVar("Shared")
Task = TypeVar("Task")
Answer = TypeVar("Answer")


class Workers(Protocol):
    """Somewhere tasks are worked on."""

    def answers(
        self, work: Callable[[Shared, Task], Answer], shared: Shared, tasks: Sequence[Task]
    ) -> Iterator[Answer]:
        """work(shared, task) of every task, in the order in which they come.

        Args:
            work: a function of a module; its steps call `stopping.check`, or the workers kill it.
            shared, tasks: picklable; `shared` is sent once.

        Raises:
            KeyboardInterrupt: the call that waits is to end; so do the workers, as whenever the iterator is closed.
            Whatever `work` raises.
        """


class Here:
    """No others: one task after the other, in this process and thread."""

    def answers(
        self, work: Callable[[Shared, Task], Answer], shared: Shared, tasks: Sequence[Task]
    ) -> Iterator[Answer]:
        """See `Workers`."""
        for task in tasks:
            check()
            yield work(shared, task)


class Killed:
    """A process for each task, one after the other, for what asks for nothing: it is killed (`in_child`).

    Attributes:
        seconds: when each is killed; None: when the call is to end.
        quiet: whether what it prints is dropped.
    """

    def __init__(self, seconds: float | None = None, quiet: bool = True):
        self.seconds, self.quiet = seconds, quiet

    def answers(
        self, work: Callable[[Shared, Task], Answer], shared: Shared, tasks: Sequence[Task]
    ) -> Iterator[Answer]:
        """See `Workers`; raises what `in_child` does besides."""
        for task in tasks:
            yield in_child(work.__module__, work.__name__, shared, task, quiet=self.quiet, seconds=self.seconds)


class Processes:
    """So many processes, started by spawn: a fork would copy JAX's threads in the middle of their work."""

    def __init__(self, count: int):
        self.count = count

    def answers(
        self, work: Callable[[Shared, Task], Answer], shared: Shared, tasks: Sequence[Task]
    ) -> Iterator[Answer]:
        """See `Workers`."""
        context = get_context("spawn")
        halt = context.Event()
        with ProcessPoolExecutor(self.count, context, _begin, (work, shared, halt)) as pool:
            pending: set[Future[Answer]] = {pool.submit(_work, task) for task in tasks}
            try:
                while pending:
                    check()
                    done, pending = wait(pending, timeout=LOOK, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            finally:
                halt.set()  # whatever ended the loop: the workers end, and the rest is not begun
                pool.shutdown(wait=True, cancel_futures=True)


def workers_of(count: int | None, tasks: int) -> Workers:
    """The workers for so many tasks; `count` None or 1, or a single task: none but this process."""
    return Here() if count is None or min(count, tasks) < 2 else Processes(min(count, tasks))


def call(name: tuple[str, str], arguments: Sequence[Any]) -> Any:
    """The function (module, name) of these arguments: work for whoever must not import the module itself."""
    module, function = name
    return getattr(importlib.import_module(module), function)(*arguments)


# --- in a process of `Processes` --------------------------------------------------------------------

_own: dict[str, Any] = {}


def _begin(work: Any, shared: Any, halt: Any) -> None:
    """One thread each for BLAS and XLA, before JAX has started its own; Ctrl-C is for the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    threadpool_limits(1)
    keep()
    _own.update(work=work, shared=shared, halt=halt)
    threading.Thread(target=_watch, args=(halt,), daemon=True).start()


def _watch(halt: Any) -> None:
    """End this process where it does not end by itself soon after it was told to, and where its parent is no more."""
    parent = parent_process()
    while not halt.is_set():
        if parent is not None and connection.wait([parent.sentinel], timeout=LOOK):
            os._exit(1)
    time.sleep(GRACE)
    os._exit(0)


def _work(task: Any) -> Any:
    with heeding(_own["halt"].is_set):
        check()
        return _own["work"](_own["shared"], task)
