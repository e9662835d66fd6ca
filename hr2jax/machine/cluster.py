"""Workers that Dask has: those of a client, or of a cluster on this machine that lives as long as it is needed.

Dask's scheduler gives the tasks to whoever is free, and to another one where a worker dies. So many tasks are there at
a time as keep everybody busy; the others are not made yet. What is to end is cancelled, for which `stopping.check`
asks at every step of the workers; those of our own cluster are killed a second later.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import os
import pickle
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextvars import ContextVar
from typing import Any

from .stopping import GRACE, LOOK, check
from .workers import Answer, LostError, Shared, Task

log = logging.getLogger("hr2jax")

AHEAD = 2  # tasks for each thread of a worker: one that runs and one that waits
CONNECTING = 20.0  # seconds for a scheduler to answer
CLOSING = 30.0  # seconds that the end of our own cluster may take on a busy machine
REFRESH = 2.0  # seconds between counts of the workers, which come and go
INSTALL = 'pip install "distributed>=2025.1" "cryptography>=42"'  # the extra "cluster"
PRELOAD = f"{__package__}.cluster_worker"
# A worker that does not answer for minutes is at work; nothing is served to browsers.
SETTINGS: dict[str, Any] = {
    "distributed.scheduler.worker-ttl": None, "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
}  # fmt: skip
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}  # fmt: skip


class Cluster:
    """The workers of a client of the caller's, which is left open.

    Attributes:
        grace: seconds in which what is cancelled is waited for.
    """

    grace = 0.0

    def __init__(self, client: Any):
        """client: a distributed.Client that is not asynchronous."""
        self.client = client

    @property
    def at_once(self) -> int:
        """Of the workers that are there now."""
        return sum(self.client.nthreads().values())

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Any]:
        yield self.client

    def answers(
        self, work: Callable[[Shared, Task], Answer], shared: Shared, tasks: Iterable[Task],
        until: float | None = None,
    ) -> Iterator[Answer]:  # fmt: skip
        """See `Workers`.

        Raises:
            LostError: the scheduler is gone, or a task has taken every worker that had it along.
        """
        with self._connected() as client:
            run = _Run(client, work, shared)
            try:
                yield from run.answers(iter(tasks), until)
            finally:
                run.end(self.grace)


class Local(Cluster):
    """So many processes on this machine, each with one thread, that nobody else can talk to (TLS)."""

    grace = GRACE

    def __init__(self, count: int):
        """count: of processes. Raises ImportError where distributed is not installed."""
        _distributed(f"workers={count}", "distributed", "cryptography")
        self.count = count

    @property
    def at_once(self) -> int:
        """As many as there are processes."""
        return self.count

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Any]:
        if (there := _kept.get()) is not None:
            yield there.client_of(self.count)
        else:
            with _started(self.count) as (_, client):
                yield client


@contextlib.contextmanager
def _started(count: int) -> Iterator[tuple[Any, Any]]:
    """So many processes, and a client of theirs, until the block ends."""
    import dask
    import distributed

    flags = f"{os.environ.get('XLA_FLAGS', '')} {ENVIRONMENT['XLA_FLAGS']}".strip()
    with dask.config.set(SETTINGS):
        cluster = distributed.LocalCluster(
            n_workers=count, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=":0",
            memory_limit=0, silence_logs=logging.CRITICAL, security=True, preload=PRELOAD,
            env=ENVIRONMENT | {"XLA_FLAGS": flags},
        )  # fmt: skip
        try:
            with distributed.Client(cluster, set_as_default=False) as client:
                yield cluster, client
        finally:
            with contextlib.suppress(TimeoutError):  # what does not answer is killed by its nanny, soon
                cluster.close(timeout=CLOSING)


class _Kept:
    """Processes that one piece of work after the other uses, started with the first."""

    def __init__(self, stack: contextlib.ExitStack):
        self.stack, self.count = stack, 0
        self.cluster: Any = None
        self.client: Any = None

    def client_of(self, count: int) -> Any:
        """A client of at least so many."""
        if self.cluster is None:
            self.cluster, self.client = self.stack.enter_context(_started(count))
        elif count > self.count:
            self.cluster.scale(count)
        self.count = max(count, self.count)
        return self.client


_kept: ContextVar[_Kept | None] = ContextVar("hr2jax processes", default=None)


@contextlib.contextmanager
def keeping_processes() -> Iterator[None]:
    """Within, `Local` uses the processes that are there already: to start them takes seconds."""
    if _kept.get() is not None:  # whoever is around it ends them
        yield
        return
    with contextlib.ExitStack() as stack:
        token = _kept.set(_Kept(stack))
        try:
            yield
        finally:
            _kept.reset(token)


def _distributed(what: str, *needed: str) -> Any:
    """Dask's module, if all that is needed is there."""
    try:
        first, *_ = map(importlib.import_module, needed)
    except ImportError as error:
        raise ImportError(f"{what} needs Dask: {INSTALL} ({error})") from None
    return first


def connected(address: str) -> Any:
    """A client of the scheduler at this address, by Dask's own settings (TLS), open until the process ends.

    Raises:
        ImportError: distributed is not installed.
        ValueError: nobody answers there.
    """
    distributed = _distributed("a scheduler", "distributed")
    try:
        return distributed.Client(address, timeout=CONNECTING, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"no Dask scheduler answers at {address!r}: {reason}") from None


def cluster_of(client: Any) -> Cluster:
    """The workers of a `client`.

    Raises:
        ImportError: distributed is not installed.
        ValueError: it is no client, or an asynchronous one.
        LostError: it is not connected, or not any more.
    """
    distributed = _distributed("client", "distributed")
    if not isinstance(client, distributed.Client):
        raise ValueError(f"client must be None or a distributed.Client, but {type(client).__name__} was given")
    if client.asynchronous:
        raise ValueError("client must not be asynchronous, but one with asynchronous=True was given")
    if client.status != "running":
        raise LostError(f"the scheduler {_place(client)} was lost: client is {client.status}")
    return Cluster(client)


class _Run:
    """One call of `answers`: what is on its way."""

    def __init__(self, client: Any, work: Callable[..., Any], shared: Any):
        self.client, self.work, self.shared = client, work, shared
        self.pending: dict[Any, Any] = {}  # future -> task
        self.name = f"hr2jax-{secrets.token_hex(8)}"
        self.place = _place(client)
        self.room, self.due, self.was_told = 0, -1.0, False

    def answers(self, source: Iterator[Any], until: float | None = None) -> Iterator[Any]:
        """Of the tasks, as they come."""
        try:
            if (first := next(source, None)) is None:
                return
            from .cluster_worker import Common

            self.client.register_plugin(Common(self.name, self.shared))
            self._submit(first)
            self._give(source)
            while self.pending:
                check()
                if self.client.status != "running":
                    raise self._lost()
                done = [future for future in self.pending if future.status not in ("pending", "processing")]
                for future in done:
                    task = self.pending.pop(future)
                    is_answer, answer = self._answer(future)
                    if is_answer:
                        yield answer
                    else:
                        self._again(task)
                self._give(source)
                if until is not None and not self.room and time.time() >= until:
                    raise LostError(f"no worker of {self.place} was there when time was over")
                if not done:
                    time.sleep(LOOK / 10)
        except OSError as error:  # of a connection, or the work's own
            if isinstance(error, LostError) or self.client.status == "running":
                raise
            raise self._lost() from None

    def end(self, grace: float) -> None:
        """Cancel what is on its way; so many seconds are given to it."""
        left, is_running = list(self.pending), self.client.status == "running"
        self.pending.clear()
        with contextlib.suppress(Exception):
            if left and is_running:
                self.client.cancel(left, force=True)
                if grace:
                    self.client.run(_idle, grace)
            if is_running:
                self.client.unregister_worker_plugin(self.name)

    def _threads(self) -> int:
        """How many tasks can run at a time."""
        if time.monotonic() >= self.due:
            self.room = sum(self.client.nthreads().values())
            if not self.room and not self.was_told:
                self.was_told = True
                log.info("waiting for workers of %s", self.place)
            self.due = time.monotonic() + REFRESH
        return self.room

    def _give(self, source: Iterator[Any]) -> None:
        while len(self.pending) < max(AHEAD * self._threads(), AHEAD):
            try:
                task = next(source)
            except StopIteration:
                return
            self._submit(task)

    def _submit(self, task: Any) -> None:
        from .cluster_worker import run

        future = self.client.submit(run, self.work, self.name, pickle.dumps(task), pure=False)
        self.pending[future] = task

    def _again(self, task: Any) -> None:
        if self.client.status != "running":
            raise self._lost()
        self._submit(task)

    def _answer(self, future: Any) -> tuple[bool, Any]:
        """Whether there is one, and it."""
        import distributed

        if future.status in ("lost", "cancelled"):
            return False, None
        try:
            return future.result()  # False: it was told to end, by somebody who ends its worker
        except CancelledError:
            return False, None
        except distributed.KilledWorker:
            raise LostError(f"workers of {self.place} died of one task again and again") from None

    def _lost(self) -> LostError:
        return LostError(f"the scheduler {self.place} was lost")


def _place(client: Any) -> str:
    return str(getattr(client.scheduler, "address", ""))


async def _idle(dask_worker: Any, seconds: float) -> None:
    """Wait until nothing runs here any more, but not longer."""
    until = time.monotonic() + seconds
    while dask_worker.state.executing_count and time.monotonic() < until:
        await asyncio.sleep(LOOK / 10)
