"""Workers: started, fed and stopped in one way, wherever they are."""

import os
import sys
import threading

import pytest

from hr2jax.machine.child import ChildError
from hr2jax.machine.stopping import check, heeding, is_interrupted, stoppable
from hr2jax.machine.workers import Here, Killed, call, workers_of


def product(shared, task):
    return shared * task


def process(shared, task):
    return os.getpid()


def broken(shared, task):
    raise ZeroDivisionError(f"{shared} / {task}")


SOME = {"here": Here(), "killed": Killed()}
WHERE = pytest.mark.parametrize("workers", SOME.values(), ids=list(SOME))


@WHERE
def test_every_task_is_answered(workers):
    assert sorted(workers.answers(product, 3, [1, 2, 4])) == [3, 6, 12]
    assert list(workers.answers(product, 3, [])) == []


@WHERE
def test_what_the_work_raises_is_raised(workers):
    with pytest.raises(ZeroDivisionError, match="1 / 2"):
        list(workers.answers(broken, 1, [2]))


def test_who_works(monkeypatch):
    assert set(Here().answers(process, None, [0, 1])) == {os.getpid()}
    others = set(Killed().answers(process, None, [0, 1]))
    assert len(others) == 2 and os.getpid() not in others
    assert isinstance(workers_of(None, 9), Here) and isinstance(workers_of(1, 9), Here)
    assert isinstance(workers_of(4, 1), Here) and isinstance(workers_of(4, 0), Here)
    monkeypatch.setitem(sys.modules, "distributed", None)
    for asked in ({"count": 2}, {"count": None, "client": 3}):
        with pytest.raises(ImportError, match=r"needs Dask: pip install .distributed>="):
            workers_of(tasks=4, **asked)


def test_tasks_are_taken_as_they_are_worked_on():
    taken = []
    answers = Here().answers(product, 2, (taken.append(i) or i for i in range(9)))
    assert [next(answers), next(answers)] == [0, 2] and taken == [0, 1]


def test_a_flag_is_heard_at_each_step_of_calls_within_in_any_thread():
    flag, steps = threading.Event(), []

    @stoppable
    def steps_without_end():
        while True:
            check()
            steps.append(threading.current_thread())
            if len(steps) == 3:
                flag.set()

    def work():
        with heeding(flag.is_set):
            try:
                steps_without_end()
            except KeyboardInterrupt:
                steps.append(is_interrupted())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    assert steps == [thread] * 3 + [True]
    check()  # no flag is heard outside


def test_what_asks_for_nothing_is_killed():
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    with pytest.raises(KeyboardInterrupt), heeding(stop.is_set):
        list(Killed().answers(call, ("time", "sleep"), [(60,)]))
    with pytest.raises(TimeoutError):
        list(Killed(seconds=0.2).answers(call, ("time", "sleep"), [(60,)]))
    with pytest.raises(ChildError):
        list(Killed().answers(call, ("os", "_exit"), [(3,)]))
    assert list(Killed().answers(call, ("math", "hypot"), [(3.0, 4.0), (5.0, 12.0)])) == [5.0, 13.0]
