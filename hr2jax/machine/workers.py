"""Workers: the one way in which work that others do at the same time is started, fed and stopped.

Who wants answers writes a function of what all tasks share and of one task, and takes the answers as they come from
`Workers.answers`; whatever ends that loop ends the workers. They are told by a flag, which `stopping.check` asks for at
every step of theirs as it does in the call's own process, so that it works in processes and in threads alike. What asks
for nothing is killed. Processes that share tasks are Dask's (cluster.py).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from .child import in_child
from .stopping import check

Shared = TypeVar("Shared")
Task = TypeVar("Task")
Answer = TypeVar("Answer")


class LostError(ConnectionError):
    """Those who worked are gone, or cannot be reached."""


class Workers(Protocol):
    """Somewhere tasks are worked on; `at_once` of them, as far as that is known beforehand."""

    @property
    def at_once(self) -> int: ...  # noqa: D102

    def answers(
        self, work: Callable[[Shared, Task], Answer], shared: Shared, tasks: Iterable[Task],
        until: float | None = None,
    ) -> Iterator[Answer]:  # fmt: skip
        """work(shared, task) of every task, in the order in which they come.

        Args:
            work: a function of a module; its steps call `stopping.check`, or the workers kill it.
            shared, tasks: picklable; `shared` is sent once, and tasks are taken as they can be worked on.
            until: time.time() from which nobody waits for workers that are not there; None: never.

        Raises:
            KeyboardInterrupt: the call that waits is to end; so do the workers, as whenever the iterator is closed.
            LostError: nobody is there any more who could work.
            Whatever `work` raises.
        """


class Here:
    """No others: one task after the other, in this process and thread."""

    at_once = 1

    def answers(
        self, work: Callable[[Shared, Task], Answer], shared: Shared, tasks: Iterable[Task],
        until: float | None = None,
    ) -> Iterator[Answer]:  # fmt: skip
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

    at_once = 1

    def __init__(self, seconds: float | None = None, quiet: bool = True):
        self.seconds, self.quiet = seconds, quiet

    def answers(
        self, work: Callable[[Shared, Task], Answer], shared: Shared, tasks: Iterable[Task],
        until: float | None = None,
    ) -> Iterator[Answer]:  # fmt: skip
        """See `Workers`; raises what `in_child` does besides."""
        for task in tasks:
            yield in_child(work.__module__, work.__name__, shared, task, quiet=self.quiet, seconds=self.seconds)


def workers_of(count: int | None, tasks: int, client: Any = None) -> Workers:
    """The workers for so many tasks: those of a Dask client, or `count` processes; this process for a single task.

    Raises:
        ImportError: Dask is needed and not installed.
        ValueError: `client` is none.
    """
    from .cluster import Local, cluster_of

    if client is not None:
        cluster = cluster_of(client)
        return cluster if tasks else Here()
    return Here() if count is None or min(count, tasks) < 2 else Local(min(count, tasks))


def call(name: tuple[str, str], arguments: Sequence[Any]) -> Any:
    """The function (module, name) of these arguments: work for whoever must not import the module itself."""
    module, function = name
    return getattr(importlib.import_module(module), function)(*arguments)
