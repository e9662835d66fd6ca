"""Workers that are Dask's: fed, stopped, killed and lost."""

import os
import signal
import threading
import time

import pytest

from hr2jax.machine.cluster import keeping_processes
from hr2jax.machine.stopping import check, heeding
from hr2jax.machine.workers import LostError, workers_of

from ..reference.dask import cluster  # noqa: F401 (a fixture)

pytestmark = pytest.mark.framework("distributed", "cryptography")


def product(shared, task):
    return shared * task


def broken(shared, task):
    raise ZeroDivisionError(f"{shared} / {task}")


def threads(shared, task):
    import threadpoolctl

    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    return {info["num_threads"] for info in threadpoolctl.threadpool_info()}


def until_told(folder, task):
    """Steps without an end."""
    (folder / f"{task}-began").touch()
    try:
        while True:
            check()
            time.sleep(0.01)
    except KeyboardInterrupt:
        (folder / f"{task}-told").touch()
        raise


def dying(folder, task):
    """The first process that has task 3 is killed in the middle of it."""
    if task == 3 and not (folder / "died").exists():
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)
    return task, os.getpid()


def deadly(shared, task):
    os.kill(os.getpid(), signal.SIGKILL)


def slow(shared, task):
    time.sleep(0.2)
    return task


def test_a_cluster_of_our_own(tmp_path):
    workers = workers_of(2, 9)
    assert sorted(workers.answers(product, 3, iter([1, 2, 4]))) == [3, 6, 12]
    assert list(workers.answers(threads, None, [0])) == [{1}]
    with pytest.raises(ZeroDivisionError, match="1 / 2"):
        list(workers.answers(broken, 1, [2]))


def process(shared, task):
    time.sleep(0.05)
    return os.getpid()


def test_processes_are_kept_from_one_piece_of_work_to_the_next():
    """They were started for the pairs of labels, and again for the inputs."""
    with keeping_processes():
        first = set(workers_of(2, 9).answers(process, None, range(8)))
        with keeping_processes():
            second = set(workers_of(2, 9).answers(process, None, range(8)))
        assert len(first) == 2 and second == first
        assert len(set(workers_of(3, 9).answers(process, None, range(200)))) in (2, 3)
    for number in first:
        with pytest.raises(ProcessLookupError):
            os.kill(number, 0)


def test_workers_that_are_not_waited_for_are_told(tmp_path):
    """The flag is asked for at each step, in the processes too: they end by themselves, before they are killed."""
    stop = threading.Event()

    def stop_when_begun():
        while not (tmp_path / "0-began").exists() or not (tmp_path / "1-began").exists():
            time.sleep(0.01)
        stop.set()

    threading.Thread(target=stop_when_begun).start()
    with pytest.raises(KeyboardInterrupt), heeding(stop.is_set):
        list(workers_of(2, 9).answers(until_told, tmp_path, range(9)))
    assert (tmp_path / "0-told").exists() and (tmp_path / "1-told").exists()
    assert len(list(tmp_path.glob("*-began"))) == 2


def test_a_worker_that_is_killed_is_replaced(tmp_path):
    answers = list(workers_of(2, 9).answers(dying, tmp_path, range(8)))
    assert sorted(task for task, _ in answers) == list(range(8))
    assert (tmp_path / "died").exists()


def test_a_task_that_kills_all_is_given_up(tmp_path):
    with pytest.raises(LostError, match="died of one task"):
        list(workers_of(2, 9).answers(deadly, None, range(2)))


def test_so_many_tasks_as_keep_all_busy_are_made(cluster):  # noqa: F811
    client, *_ = cluster
    taken, most = 0, 0

    def tasks():
        nonlocal taken
        for task in range(30):
            taken += 1
            yield task

    for done, _ in enumerate(workers_of(None, 30, client).answers(product, 1, tasks()), 1):
        most = max(most, taken - done)
    assert taken == done == 30 and most <= 4


def test_a_client_of_the_callers_is_left_as_it_was(cluster):  # noqa: F811
    client, *_ = cluster
    answers = workers_of(None, 30, client).answers(slow, None, range(30))
    assert next(answers) in range(30)
    answers.close()
    assert client.status == "running"
    assert client.submit(sum, [1, 2]).result(timeout=30) == 3


def test_a_lost_scheduler_is_said(cluster):  # noqa: F811
    client, scheduler, _ = cluster
    answers = workers_of(None, 99, client).answers(slow, None, range(99))
    next(answers)
    scheduler.kill()
    began = time.monotonic()
    with pytest.raises(LostError, match=r"the scheduler tcp://127.0.0.1:\d+ was lost"):
        list(answers)
    assert time.monotonic() - began < 20


def test_what_is_no_client():
    import distributed

    for client, said in ((3, "int was given"), ("tcp://127.0.0.1:1", "str was given")):
        with pytest.raises(ValueError, match=said):
            workers_of(None, 9, client)
    client = distributed.Client(processes=False, n_workers=0, dashboard_address=":0", set_as_default=False)
    client.close()
    with pytest.raises(LostError, match="is closed"):
        workers_of(None, 9, client)
