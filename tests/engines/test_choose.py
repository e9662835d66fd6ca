"""What engines know before they begin."""

import numpy as np
import pytest

from hr2jax.engines import pace
from hr2jax.engines.choose import engine_for
from hr2jax.options import Options
from hr2jax.problem import checked_problem
from hr2jax.relaxation import lift, preset
from hr2jax.relaxation.presolve import LIFTINGS, presolve
from hr2jax.relaxation.section import find_section
from hr2jax.relaxation.table import RELAXATIONS
from tests.reference.cases import random_net


@pytest.fixture(autouse=True)
def forget():
    pace._slowness.cache_clear()
    yield
    pace._slowness.cache_clear()


def test_a_slower_machine_takes_longer_for_a_large_proof(monkeypatch):
    seconds = []
    for tick in (2e-3, 8e-3):
        clock = iter(range(100))
        monkeypatch.setattr(pace.time, "perf_counter", lambda clock=clock, tick=tick: tick * next(clock))
        pace._slowness.cache_clear()
        seconds.append(pace.certificate_seconds(8000))
    assert seconds[1] == pytest.approx(4 * seconds[0])


def test_a_busy_moment_does_not_count_for_more_than_a_slow_machine(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(pace.time, "perf_counter", lambda: 60.0 * next(clock))
    assert pace.certificate_seconds(8000) == pytest.approx(pace.SLOWEST * pace.PROOF * 8000**3)


@pytest.mark.parametrize("tick", [1e-9, 1e-3, 1e3])
def test_more_rows_never_take_less(tick, monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(pace.time, "perf_counter", lambda: tick * next(clock))
    guesses = [pace.certificate_seconds(rows) for rows in (10, 1000, 1500, 1501, 2000, 3000, 10000)]
    assert guesses == sorted(guesses)


def test_the_machine_is_looked_at_once_and_for_large_problems_only(monkeypatch):
    looks = []
    clock = iter(range(100))
    monkeypatch.setattr(pace.time, "perf_counter", lambda: looks.append(0) or 1e-3 * next(clock))
    small = pace.certificate_seconds(1000)
    assert not looks
    assert small == pytest.approx(8 * pace.certificate_seconds(500))
    pace.certificate_seconds(8000)
    count = len(looks)
    assert count
    pace.certificate_seconds(4000)
    assert len(looks) == count


@pytest.mark.parametrize("widths, name, engine", [
    ((2, 8, 8, 8, 1), "reach", "newton"), ((3, 16, 16, 16, 1), "adjoint", "lowrank"),
])  # fmt: skip
def test_newton_cuts_what_has_x_of_the_last_layers(widths, name, engine):
    """Abalone's 9-16-16-1 was lowrank's: 1.0086 of the constant, which newton is below after a second."""
    net, options = random_net(np.random.default_rng(0), widths), Options(relaxation="hr2+")
    problem, section = checked_problem(net, norm=2), find_section(net) if name == "reach" else None
    lifting = lift(net, problem, presolve(net, problem, chains=LIFTINGS[name], section=section))
    assert engine_for(lifting, preset("hr2+", lifting), RELAXATIONS["hr2+"], options) == engine
