"""Ctrl-C ends a call within two seconds, whatever runs: the work has a thread of its own.

The main thread, the only one where Python raises what a signal means, does nothing but wait. No interrupt lands within
the work, so that nothing is left half done. The work asks `check` at every step whether the call is to end, and ends
with its best. A compilation, a linear program or a factorisation asks nothing: after GRACE seconds the main thread
takes what is proved so far, and goes. The thread that it leaves ends at its next step. It is waited for before the
interpreter is torn down: JAX's threads and a compilation that goes on beside that are a segmentation fault.

In a thread that is not the main one no signal is heard, and the work is done where it is asked for.
"""

from __future__ import annotations

import atexit
import contextlib
import contextvars
import functools
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, ParamSpec, TypeVar

from ..interrupted import Interrupted, Terminated

P = ParamSpec("P")
T = TypeVar("T")

GRACE = 1.0  # seconds in which the work may end by itself
LOOK = 0.1  # seconds between looks at the flag while something is waited for

_here: contextvars.ContextVar[_Work | None] = contextvars.ContextVar("hr2jax work", default=None)
# whose so_far is asked for, where that is not within the work
_asking: contextvars.ContextVar[_Work | None] = contextvars.ContextVar("hr2jax asking", default=None)
_left: set[threading.Thread] = set()


def stoppable(call: Callable[P, T]) -> Callable[P, T]:
    """The call, in a thread of its own where it is made in the main one; one within another is part of that.

    Ctrl-C raises `Interrupted`. Its `result` is what the call returned where it ended in time, or else what the
    function says that `tell` was given last. A signal's handler that raises something else has that raised.
    """

    @functools.wraps(call)
    def stoppable_call(*args: P.args, **kwargs: P.kwargs) -> T:
        work = functools.partial(call, *args, **kwargs)
        around = _here.get()
        if around is not None:
            return around.within(work)
        this = _Work()
        if threading.current_thread() is not threading.main_thread():
            return this.in_place(work)
        try:
            return this.aside(work)
        except Interrupted:
            raise
        except KeyboardInterrupt as error:  # it came after the work had ended
            this.name(error)
            this.interrupted()

    return stoppable_call


def tell(so_far: Callable[[], Any]) -> None:
    """Say how to find out what is proved so far, from another thread; of calls within calls, only the outer one."""
    work = _here.get()
    if work is not None and not work.depth:
        work.so_far = so_far


def check() -> None:
    """Raise KeyboardInterrupt where the call is to end: once, so that what is known can be proved, then when left."""
    work = _here.get()
    if work is not None and (work.is_left or (work.is_asked and not work.is_heard)):
        work.is_heard = True
        raise KeyboardInterrupt


@contextlib.contextmanager
def heeding(flag: Callable[[], bool]) -> Iterator[None]:
    """Every step within is to end once `flag` says so; for a worker, whose call was made elsewhere."""
    work = _Work(flag)
    token = _here.set(work)
    try:
        yield
    finally:
        _here.reset(token)


def is_left() -> bool:
    """Whether nobody waits for this work any more: then it must leave nothing behind."""
    work = _here.get()
    return work is not None and work.is_left


def is_interrupted() -> bool:
    """Whether Ctrl-C has come."""
    work = _here.get()
    return work is not None and (work.is_asked or work.is_heard)


def stopped_by() -> str:
    """What has come: "Ctrl-C" or "SIGTERM"; for the work, and for what it has told (`tell`)."""
    work = _here.get() or _asking.get()
    return "Ctrl-C" if work is None else work.by


def hear() -> None:
    """Say that a KeyboardInterrupt has come to the work itself, which returns what it has."""
    if (work := _here.get()) is not None:
        work.is_heard = True


def in_callers_thread(function: Callable[..., T], *args: Any) -> T:
    """function(*args) where the call was made: what belongs to the user may belong to a thread."""
    work = _here.get()
    if work is not None and work.thread is not None:
        return work.ask(function, args)
    try:
        return function(*args)
    except KeyboardInterrupt:
        hear()
        raise


class _Work:
    """One call.

    Attributes:
        flag: says whether it is to end, where somebody else decides that.
        is_heard: whether the work knows.
        is_left: whether nobody waits for it any more.
        thread: the work's; None where it is the caller's.
        depth: how many calls within it have not ended.
        so_far: see `tell`.
        by: what ended it, or would if nothing has: see `stopped_by`.
    """

    def __init__(self, flag: Callable[[], bool] | None = None) -> None:
        self.flag = flag
        self._is_asked = self.is_heard = self.is_left = False
        self.thread: threading.Thread | None = None
        self.depth = 0
        self.so_far: Callable[[], Any] | None = None
        self.by = "Ctrl-C"
        self._value: list[Any] = []
        self._error: BaseException | None = None
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()

    @property
    def is_asked(self) -> bool:
        """Whether it is to end."""
        return self._is_asked or (self.flag is not None and self.flag())

    def within(self, work: Callable[[], T]) -> T:
        """A call within this one."""
        self.depth += 1
        try:
            return work()
        finally:
            self.depth -= 1

    def in_place(self, work: Callable[[], T]) -> T:
        """The work, in the caller's thread; only what it raises itself can interrupt it."""
        token = _here.set(self)
        try:
            self._value.append(work())
        except KeyboardInterrupt as error:
            self.name(error)
            self.is_heard = True
        finally:
            _here.reset(token)
        if self.is_heard:
            self.interrupted()
        value: T = self._value[0]
        return value

    def aside(self, work: Callable[[], T]) -> T:
        """The work, in a thread of its own, which is waited for."""
        context, device = contextvars.copy_context(), _device()

        def body() -> None:
            _here.set(self)
            try:
                with device:
                    self._value.append(work())
            except BaseException as error:  # it is raised where the call was made
                self._error = error
            finally:
                self._calls.put(None)

        self.thread = threading.Thread(target=context.run, args=(body,), name="hr2jax")
        try:
            self.thread.start()
            self._serve(None)
        except BaseException as error:  # Ctrl-C, or what a handler of the user's raises
            self._end(error)
        raised, self._error = self._error, None  # or it would hold what held it, and all of the work's arrays with it
        try:
            if raised is not None and not isinstance(raised, KeyboardInterrupt):
                raise raised
            if raised is not None or self.is_heard:
                self.interrupted()
        finally:
            del raised
        value: T = self._value[0]
        return value

    def ask(self, function: Callable[..., T], args: tuple[Any, ...]) -> T:
        """For the work: function(*args) in the caller's thread."""
        call = _Call(function, args)
        self._calls.put(call)
        while not call.is_done.wait(LOOK):
            check()
        if call.error is not None:
            self.name(call.error)
            self.is_heard |= isinstance(call.error, KeyboardInterrupt)
            raise call.error
        value: T = call.value
        return value

    def _serve(self, seconds: float | None) -> None:
        """Do what the work asks for, until it has ended or time is over."""
        end = None if seconds is None else time.monotonic() + seconds
        with contextlib.suppress(queue.Empty):
            while call := self._calls.get(timeout=None if end is None else max(end - time.monotonic(), 0.0)):
                call.answer()

    def _end(self, error: BaseException) -> NoReturn:
        """Let the work end, in GRACE seconds or without being waited for; a second interrupt does not wait."""
        self.name(error)
        self._is_asked = True
        with contextlib.suppress(KeyboardInterrupt):
            self._serve(GRACE)
        self.is_left = True
        if self.thread is not None and self.thread.is_alive():
            _left.difference_update([thread for thread in _left if not thread.is_alive()])
            if not _left:
                atexit.register(_wait)  # now: what is registered last is done first, before JAX ends
            _left.add(self.thread)
        if not isinstance(error, KeyboardInterrupt):
            raise error
        self.interrupted()

    def name(self, error: BaseException) -> None:
        """Say which signal an interrupt was."""
        if isinstance(error, Terminated):
            self.by = "SIGTERM"

    def interrupted(self) -> NoReturn:
        """Raise Interrupted with what there is."""
        result = self._value[0] if self._value else None
        if not self._value and self.so_far is not None:
            token = _asking.set(self)
            with contextlib.suppress(Exception):  # the work may be at it
                result = self.so_far()
            _asking.reset(token)
        raise Interrupted(result, self.by) from None


class _Call:
    """Something to be done in another thread."""

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...]):
        self.function, self.args = function, args
        self.is_done = threading.Event()
        self.value: Any = None
        self.error: BaseException | None = None

    def answer(self) -> None:
        """Do it. What it raises is for whoever asked, and a KeyboardInterrupt for both."""
        try:
            self.value = self.function(*self.args)
        except BaseException as error:
            self.error = error
            if isinstance(error, KeyboardInterrupt):
                raise
        finally:
            self.is_done.set()


def _device() -> Any:
    """`jax.default_device` of this thread, for another."""
    jax = sys.modules.get("jax")
    device = None if jax is None else getattr(jax.config, "jax_default_device", None)
    return contextlib.nullcontext() if jax is None or device is None else jax.default_device(device)


def _wait() -> None:
    """At the interpreter's end: until what was left has come to its next step."""
    try:
        for thread in _left:
            thread.join()
    except KeyboardInterrupt:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        os._exit(130)
