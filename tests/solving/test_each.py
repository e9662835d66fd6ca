"""`solve_all` where others work: the same bounds, killed workers, lost schedulers, one time limit for all."""

import os
import signal

import numpy as np
import pytest

import hr2jax
from hr2jax import Network, Status
from hr2jax.machine.workers import LostError
from hr2jax.solving import each, many, prepared

from ..reference.dask import cluster  # noqa: F401 (a fixture)

OF_DASK = pytest.mark.framework("distributed", "cryptography")


def network(outputs=3, p=4, m=5, seed=0):
    rng = np.random.default_rng(seed)
    return Network([rng.standard_normal((m, p)), rng.standard_normal((outputs, m))], [rng.standard_normal(m),
                   np.zeros(outputs)])  # fmt: skip


class Elsewhere:
    """Two at once, as far as anybody can tell: answers come in another order; the last `lost` ones never."""

    at_once = 2

    def __init__(self, lost=0):
        self.lost = lost

    def answers(self, work, shared, tasks, until=None):
        for task in reversed(list(tasks)[self.lost :]):
            yield work(shared, task)
        if self.lost:
            raise LostError("the scheduler of a test was lost")


def through(monkeypatch, workers):
    monkeypatch.setattr(many, "checked_workers", lambda *_: workers)


def test_others_find_the_same_in_any_order(monkeypatch):
    alone, told = hr2jax.solve_all(network()), []
    through(monkeypatch, Elsewhere())
    shared = hr2jax.solve_all(network(), found=lambda k, result: told.append(k))
    assert told == [2, 1, 0]
    assert [result.problem["output"] for result in shared] == [result.problem["output"] for result in alone]
    assert [result.bound for result in shared] == pytest.approx([result.bound for result in alone], rel=2e-3)


def test_a_lost_scheduler_loses_nothing_that_was_finished(monkeypatch):
    through(monkeypatch, Elsewhere(lost=1))
    told = []
    results = hr2jax.solve_all(network(), found=lambda k, result: told.append(k))
    assert told == [2, 1, 0]
    assert [result.status for result in results] == [Status.STOPPED, Status.SOLVED, Status.SOLVED]
    assert results[0].message.startswith("the scheduler of a test was lost")
    assert results[0].certificate.verify(network(), output=(0, 1)) <= results[0].bound * (1 + 1e-12)


def test_the_time_of_all_is_shared_by_turns(monkeypatch):
    """Five problems by two at once are three turns; what is left at the end is used again."""
    some, limits, now = hr2jax.solve(network(), output=0, relaxation="product"), [], [0.0]

    def solved(net, problem, fixed, options, *rest, **_):
        limits.append(options.time_limit)
        return hr2jax.Result(**{**vars(some), "status": Status.SOLVED})

    class InTurn(Elsewhere):
        def answers(self, work, shared, tasks, until=None):
            return (work(shared, task) for task in tasks)

    monkeypatch.setattr(each, "solve_checked", solved)
    monkeypatch.setattr(each.time, "time", lambda: now[0])
    through(monkeypatch, InTurn())
    hr2jax.solve_all(network(), [0, 1, 2, (0, 1), (0, 2)], relaxation="product", time_limit=6.0)
    assert limits == [2.0, 2.0, 3.0, 3.0, 6.0]


@pytest.mark.parametrize("given", [{"pairs": None}, {"pairs": [np.eye(3)]}, {"pairs": [0, 1], "norm": 1}],
                         ids=["outputs", "rows", "columns"])  # fmt: skip
def test_pre_activation_bounds_are_proved_once(given, monkeypatch):
    """Once for each output, row and column, before."""
    proved, used = [], []
    once, own = prepared.pre_bounds, prepared.presolve
    monkeypatch.setattr(prepared, "pre_bounds", lambda *those: proved.append(once(*those)) or proved[-1])
    monkeypatch.setattr(prepared, "presolve", lambda *those, bounds, **k: used.append(bounds) or own(
        *those, bounds=bounds, **k))  # fmt: skip
    hr2jax.solve_all(network(), center=np.zeros(4), radius=0.5, max_iterations=1, witness=0, **given)
    assert len(proved) == 1 < len(used)
    assert all(bounds is proved[0] for bounds in used)


@pytest.mark.parametrize("given", [{"workers": 0}, {"workers": 2.5}, {"workers": 2, "client": 3}])
def test_workers_that_mean_nothing_are_refused(given):
    with pytest.raises(ValueError, match="workers"):
        hr2jax.solve_all(network(), **given)


def test_a_callback_is_not_called_elsewhere(monkeypatch):
    through(monkeypatch, Elsewhere())
    with pytest.raises(ValueError, match=r"callback .* found is told"):
        hr2jax.solve_all(network(), callback=lambda record: None)


def dying(shared, task):
    """The first process that has the second problem is killed."""
    mark = os.environ["HR2JAX_TEST_MARK"]
    if task.place == 1 and not os.path.exists(mark):
        open(mark, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return each.solve_one(shared, task)


@OF_DASK
def test_processes_of_our_own_and_one_that_is_killed(tmp_path, monkeypatch):
    monkeypatch.setenv("HR2JAX_TEST_MARK", str(tmp_path / "died"))
    monkeypatch.setattr(each, "solve_elsewhere", dying)
    alone, shared = hr2jax.solve_all(network()), hr2jax.solve_all(network(), workers=2)
    assert (tmp_path / "died").exists()
    assert [result.status for result in shared] == [Status.SOLVED] * 3
    assert [result.bound for result in shared] == pytest.approx([result.bound for result in alone], rel=2e-3)


@OF_DASK
def test_a_real_scheduler_that_is_killed(cluster):  # noqa: F811
    client, scheduler, _ = cluster
    told = []

    def found(k, result):
        if not told:
            scheduler.kill()
        told.append(k)

    net, outputs = network(), [0, 1, 2, (0, 1), (0, 2), (1, 2)] * 8
    results = hr2jax.solve_all(net, outputs, client=client, found=found)
    assert sorted(told) == list(range(len(outputs)))
    statuses = {result.status for result in results}
    assert statuses == {Status.SOLVED, Status.STOPPED}
    lost = next(result for result in results if result.status is Status.STOPPED)
    assert "was lost" in lost.message and np.isfinite(lost.bound)


@OF_DASK
def test_nobody_waits_for_workers_beyond_the_time_limit():
    import distributed

    with (
        distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as none,
        distributed.Client(none, set_as_default=False) as client,
    ):
        results = hr2jax.solve_all(network(), client=client, time_limit=1.0)
    assert all("no worker" in result.message and np.isfinite(result.bound) for result in results)
