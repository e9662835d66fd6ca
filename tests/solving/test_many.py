"""solve_all: the same bounds as one by one, with less work."""

import dataclasses

import numpy as np
import pytest

import hr2jax
from hr2jax import Status
from hr2jax.engines.product import batch, lowrank, schedule
from hr2jax.relaxation import RELAXATIONS, preset
from hr2jax.solving import each
from tests.reference.effort import FULL
from tests.reference.monitor import Monitor, lifting_of
from tests.reference.product import solve_product_form

BOX = {"center": np.zeros(6), "radius": 0.5}


def network(outputs=4, seed=0, p=6, m=8):
    rng = np.random.default_rng(seed)
    return hr2jax.Network(
        [rng.standard_normal((m, p)), rng.standard_normal((outputs, m))], [rng.standard_normal(m), np.zeros(outputs)]
    )


@pytest.mark.parametrize("relaxation", ["shor", "hr2", "hr2z", "hr2+", "lasserre2"])
@pytest.mark.parametrize("box", [{}, BOX], ids=["global", "local"])
def test_every_pair_gets_the_bound_that_solve_finds(relaxation, box):
    outputs = 4 if FULL and relaxation in ("shor", "hr2", "hr2z") else 3
    net = network(outputs, p=2 if relaxation == "lasserre2" else 6, m=3)
    box = {name: (np.zeros(net.widths[0]) if name == "center" else value) for name, value in box.items()}
    results = hr2jax.solve_all(net, relaxation=relaxation, tol=1e-4, **box)
    pairs = [(k, j) for k in range(outputs) for j in range(k + 1, outputs)]
    assert len(results) == len(pairs)
    for pair, result in zip(pairs, results, strict=True):
        alone = hr2jax.solve(net, output=pair, relaxation=relaxation, tol=1e-4, **box)
        assert result.bound == pytest.approx(alone.bound, rel=2e-3 if relaxation == "hr2+" else 3e-4)
        assert result.certificate.verify(net, output=pair) <= result.bound * (1 + 1e-12)
        assert result.lower <= alone.bound * (1 + 1e-12)


def test_progress_names_the_problem_that_runs(caplog):
    with caplog.at_level("INFO", "hr2jax"):
        hr2jax.solve_all(network(), [(0, 1), (0, 2), 3], progress=True)
    lines = caplog.messages
    assert lines[0].startswith("1 of 3, F_0 - F_1: iteration")
    assert lines[-1].startswith("3 of 3, F_3: iteration")


@pytest.mark.parametrize("relaxation", RELAXATIONS)
def test_every_relaxation_bounds_several_outputs(relaxation):
    """Those without families ended in a KeyError."""
    net = network(3, p=2, m=3)
    norm = 2 if relaxation == "lipsdp" else "inf"
    pairs = [(0, 1), (1, 2)]
    for pair, result in zip(pairs, hr2jax.solve_all(net, pairs, relaxation=relaxation, norm=norm), strict=True):
        assert result.lower <= result.certificate.verify(net, output=pair, norm=norm) <= result.bound * (1 + 1e-12)


def test_options_are_checked_where_there_is_nothing_to_solve():
    with pytest.raises(ValueError, match="tol"):
        hr2jax.solve_all(network(), [], tol=-1)


def test_an_iteration_limit_holds_for_each_of_several():
    for result in hr2jax.solve_all(network(), max_iterations=1):
        assert result.iterations <= 1


def test_outputs_of_every_kind_in_their_order():
    net = network()
    asked = [2, (3, 1), np.array([1.0, -2.0, 0.5, 0.0])]
    for output, result in zip(asked, hr2jax.solve_all(net, asked), strict=True):
        assert result.certificate.verify(net, output=output) > 0
    assert hr2jax.solve_all(net, []) == []
    assert len(hr2jax.solve_all(network(outputs=1))) == 1


@pytest.mark.usefixtures("compiled_quickly")
def test_large_problems_start_from_an_earlier_pair_that_shares_a_label(monkeypatch):
    monkeypatch.setattr(schedule, "SMALL", 0)
    given = []
    solve_lowrank = lowrank.solve_lowrank

    def count(*arguments, **named):
        given.append((bool(named["start"]), named["steered"]))
        return solve_lowrank(*arguments, **named)

    monkeypatch.setattr(lowrank, "solve_lowrank", count)
    hr2jax.solve_all(network(), [(0, 1), (0, 2), (1, 2)])
    assert given == [(False, None), (True, None), (True, None)]


@pytest.mark.usefixtures("compiled_quickly")
def test_small_problems_are_steered_together(monkeypatch):
    calls = []
    minimise = batch.minimise
    monkeypatch.setattr(batch, "minimise", lambda *a, **k: calls.append(a[0].shape) or minimise(*a, **k))
    monkeypatch.setattr(each, "is_accelerated", lambda: True)
    results = hr2jax.solve_all(network())
    assert len(calls) <= schedule.Schedule().bulk_rounds  # traced or run once for all six, not once for each
    assert all(result.status is Status.SOLVED for result in results)


@pytest.mark.usefixtures("compiled_quickly")
@pytest.mark.parametrize(
    "relaxation", ["hr2z", *(pytest.param(name, marks=pytest.mark.slow) for name in ("shor", "hr2"))]
)
def test_a_run_that_was_steered_with_others_only_finishes(relaxation):
    liftings = [lifting_of(4, 5, True, seed) for seed in range(3)]
    problems = [(lifting, preset(relaxation, lifting)) for lifting in liftings]
    for steered, (lifting, families) in zip(batch.steer_together(problems, tolerance=1e-3), problems, strict=True):
        value, monitor = solve_product_form(lifting, families)[0], Monitor(lifting)
        assert lowrank.solve_lowrank(lifting, families, monitor, steered=steered) is Status.SOLVED
        assert value * (1 - 1e-7) <= monitor.best <= value * (1 + 1e-3)
        assert steered.iteration < monitor.reports[0]


def test_a_stop_leaves_bounds_for_every_pair():
    stopped = []
    results = hr2jax.solve_all(network(), callback=lambda record: stopped.append(record) or True)
    assert [result.status for result in results] == [Status.STOPPED] * 6
    assert len(stopped) == 1
    assert all(np.isfinite(result.bound) for result in results)


@pytest.mark.parametrize(("given", "word"), [
    ({"output": 1}, "output"), ({"warm_start": None}, "warm_start"), ({"checkpoint": "c.npz"}, "checkpoint"),
    ({"pairs": "01"}, "pairs"), ({"pairs": [(0, 9)]}, "9"), ({"tol": -1}, "tol"), ({"radius": 1.0}, "center"),
])  # fmt: skip
def test_what_means_nothing_is_refused_before_any_work(given, word, monkeypatch):
    monkeypatch.setattr("hr2jax.solving.each.prepare", lambda *_: pytest.fail("work was done"))
    with pytest.raises(ValueError, match=word):
        hr2jax.solve_all(network(), **given)
    with pytest.raises(TypeError, match="relax"):
        hr2jax.solve_all(network(), relax="hr2")


# A time limit is the total -----------------------------------------------------------------------------


def timed(monkeypatch, spends, statuses, bounds=lambda k, turn: 10.0):
    """`solve_all` of three problems whose solves spend so many seconds of a clock of their own; the limits they had."""
    some, now, given, turns = hr2jax.solve(network(), output=0, relaxation="product"), [0.0], [], {}

    def solved(net, problem, fixed, options, *rest, **_):
        k = int(np.flatnonzero(problem.coefficients)[0])
        turn = turns[k] = turns.get(k, -1) + 1
        given.append((k, options.time_limit, options.warm_start is not None))
        now[0] += min(spends[k], options.time_limit)
        return dataclasses.replace(some, status=statuses[k], bound=bounds(k, turn), lower=float(turn))

    monkeypatch.setattr(each, "solve_checked", solved)
    monkeypatch.setattr(each.time, "time", lambda: now[0])
    return hr2jax.solve_all(network(), [0, 1, 2], relaxation="product", time_limit=9.0), given


def test_what_one_problem_leaves_of_the_total_the_others_have(monkeypatch):
    """Each once had all of the limit, so that 45 pairs took 45 times as long."""
    _, given = timed(monkeypatch, [1.0, 9.0, 9.0], [Status.SOLVED] * 3)
    assert [(k, limit) for k, limit, _ in given] == [(0, 3.0), (1, 4.0), (2, 4.0)]


def test_what_is_left_at_the_end_is_used_for_those_that_ended_by_their_share(monkeypatch):
    """`certify` with 60 s stopped after 12 s with nothing certified."""
    statuses = [Status.TIME_LIMIT, Status.SOLVED, Status.TIME_LIMIT]
    results, given = timed(monkeypatch, [1.0, 1.0, 1.0], statuses, lambda k, turn: 10.0 - turn)
    assert [k for k, *_ in given] == [0, 1, 2, 0, 2, 0, 2, 0, 2]
    assert given[3] == (0, 3.0, True)  # 6 s are left for two
    assert [result.bound for result in results] == [7.0, 10.0, 7.0]
    assert results[0].lower == 3.0


def test_it_ends_where_more_time_brings_nothing(monkeypatch):
    results, given = timed(monkeypatch, [0.1, 0.1, 0.1], [Status.TIME_LIMIT] * 3)
    assert [k for k, *_ in given] == [0, 1, 2, 0, 1, 2]
    assert [result.bound for result in results] == [10.0] * 3
