"""What is solved within a time limit, one after the other."""

import numpy as np
import pytest

from hr2jax.options import Options
from hr2jax.problem import checked_problem
from hr2jax.solving.prepared import prepare
from hr2jax.solving.run import Plan
from tests.reference.cases import random_net

BOX = {"center": np.zeros(3), "radius": 0.7}


def plan_of(widths, where, **options):
    net = random_net(np.random.default_rng(0), widths)
    problem = checked_problem(net, norm="inf", **where)
    chosen = Options(**{"relaxation": "hr2+"} | options).check(net, problem)
    return Plan(net, problem, prepare(net, problem, chosen), chosen, None)


def names(*given, **options):
    return [(stage.relaxation.name, stage.method) for stage in plan_of(*given, **options).stages]


@pytest.mark.parametrize("where", [BOX, {}])
def test_with_a_limit_cheaper_relaxations_come_first_and_are_ended(where):
    """They had shares of it: hr2+ was above hr2 of the same time by a tenth, a largest value's by two thirds."""
    deep, one = (3, 5, 5, 1), (3, 5, 1)
    assert names(deep, where, time_limit=5.0) == [("hr2+", "newton")] * 2
    by_lowrank = {"time_limit": 5.0, "method": "lowrank"}
    assert [name for name, _ in names(deep, where, **by_lowrank)] == ["shor", "hr2+", "hr2+"]
    assert names(deep, where, relaxation="hr2", **by_lowrank) == [("shor", "lowrank"), ("hr2", "lowrank")]
    for relaxation in ("hr2+", "best"):
        stages = plan_of(one, where, relaxation=relaxation, time_limit=5.0).stages
        assert [(stage.relaxation.name, stage.relaxation.cuts) for stage in stages] == [("hr2+", False), ("hr2+", True)]
    assert names(one, where, relaxation="hr2", time_limit=5.0) == [("hr2", "lowrank")]
    assert names(one, BOX, relaxation="hr2", method="admm", time_limit=5.0) == [("hr2", "admm")]
    assert names(deep, where) == [("hr2+", "newton")]


def test_without_a_limit_best_climbs_over_what_exists_to_a_first_idea():
    stages = plan_of((3, 5, 1), {}, relaxation="best").stages
    assert [(stage.relaxation.name, stage.tolerance) for stage in stages] == [
        ("shor", 1e-2), ("hr2", 1e-2), ("hr2+", 1e-3),
    ]  # fmt: skip


def test_bounds_that_take_longer_than_a_limit_leaves_them_are_those_of_intervals(monkeypatch):
    """A CNN of 3072-4096-2048-512 had no bound 100 s after it was asked for one within 20: its slopes were searched."""
    assert plan_of((3, 5, 5, 1), BOX, time_limit=5.0).fixed.slopes
    monkeypatch.setattr("hr2jax.solving.prepared.PACE", 20.0)
    assert plan_of((3, 5, 5, 1), BOX).fixed.slopes
    assert plan_of((3, 5, 5, 1), BOX, time_limit=50.0).fixed.slopes
    assert not plan_of((3, 5, 5, 1), BOX, time_limit=5.0).fixed.slopes
    assert plan_of((3, 5, 5, 1), BOX, time_limit=5.0, bounds="linear").fixed.slopes


def events_asked_for(monkeypatch, **options):
    """Whether the stages' engines look for events."""
    asked = []

    def engine(lifting, families, record, options, steered=None):
        asked.extend(options.planes if record.cuts else ())

    monkeypatch.setattr("hr2jax.solving.stages.choose_engine", engine)
    assert plan_of((3, 5, 5, 1), BOX, **options).stages
    return {"events", "clauses"} & set(asked)


def test_events_are_left_to_the_lifting_that_follows(monkeypatch):
    """Their linear programs were a loss of a short limit: 6 % above hr2+ without them after 10 s on a busy machine."""
    assert not events_asked_for(monkeypatch, time_limit=5.0)
    assert events_asked_for(monkeypatch)
    assert events_asked_for(monkeypatch, time_limit=5.0, lifting="adjoint")
