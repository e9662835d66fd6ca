"""Cutting planes by Newton's method, against an interior-point solve with every cut at once."""

import numpy as np
import pytest

import hr2jax
from hr2jax import Status
from hr2jax.engines.product import newton_cuts
from hr2jax.engines.product.newton_cuts import solve_with_cuts
from hr2jax.options import CUT_NAMES, WITH_X
from hr2jax.relaxation.families import preset
from hr2jax.relaxation.products import GLOBAL_PAIRS, LOCAL_PAIRS, PRODUCTS
from hr2jax.relaxation.triangles import TRIANGLES

from ...reference.cases import random_net
from ...reference.deep_monitor import Monitor, lifting_of
from ...reference.product import every_product, every_triangle, solve_product_form

# seed, widths, norm, local, lifting: where cuts matter
CASES = [
    (1, (4, 4, 3), "inf", False, "adjoint"),
    (11, (4, 4, 3), "inf", True, "forward"),
    (5, (3, 3, 3, 2), "inf", True, "adjoint"),
    (22, (4, 4, 3), 2, True, "adjoint"),
    (0, (5, 6), "inf", True, "forward"),  # one hidden layer: triangles only
]


# of the others there are infinitely many
PAIRS = tuple(name for name in CUT_NAMES if name not in ("cones", *WITH_X))


def solved(lifting, tolerance=1e-4, start=None, names=CUT_NAMES, **more):
    monitor = Monitor(lifting, tolerance, **more)
    return solve_with_cuts(lifting, preset("hr2+", lifting), monitor, names, start), monitor


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_reaches_the_value_of_all_cuts_at_once(case):
    lifting = lifting_of(*case)
    families = preset("hr2+", lifting)
    kinds = (LOCAL_PAIRS if case[3] else GLOBAL_PAIRS) if lifting.masked_layers else ()
    pairs = ("T.U", "U.U", "T.T", "X0.U", "T.X0", "X0.X0", "triangles")
    extra = [*every_product(lifting, kinds), *every_triangle(lifting, pairs)]
    optimum, plain = (
        float(np.ldexp(solve_product_form(lifting, families, extra=more, tolerance=1e-8)[0], lifting.exponent))
        for more in (extra, ())
    )
    assert plain > optimum * 1.001 > 1e-3
    status, monitor = solved(lifting, names=PAIRS)
    assert status is Status.SOLVED
    assert solved(lifting)[1].bound <= monitor.bound * (1 + 1e-3)
    # what is violated by less than newton_cuts.LEAST is left
    assert optimum * (1 - 1e-6) <= monitor.bound <= optimum + max(2e-3 * optimum, 0.05 * (plain - optimum))
    assert monitor.reports[-1][1] <= monitor.bound


def test_cuts_that_are_slack_are_dropped_and_it_goes_on_from_what_is_left(monkeypatch):
    lifting = lifting_of(*CASES[0])
    rows = []
    real = newton_cuts.Problem

    def spy(lifting, families, multipliers):
        rows.append({name: len(multipliers.get(name, ())) for name in (TRIANGLES, PRODUCTS)})
        return real(lifting, families, multipliers)

    monkeypatch.setattr(newton_cuts, "Problem", spy)
    status, monitor = solved(lifting)
    assert status is Status.SOLVED
    assert rows[0] == {TRIANGLES: 0, PRODUCTS: 0}
    assert rows[-1][TRIANGLES] > 0 and rows[-1][PRODUCTS] > 0
    assert len(rows) > 3
    numbers = [number for number, *_ in monitor.reports]
    assert numbers == list(range(1, len(numbers) + 1))  # one count over all rounds


def test_limits_leave_what_was_reached():
    lifting = lifting_of(*CASES[0])
    for more, expected in ((dict(remaining=0.0), Status.TIME_LIMIT), (dict(iterations=20), Status.ITERATION_LIMIT)):
        status, monitor = solved(lifting, **more)
        assert status is expected
        assert np.isfinite(monitor.bound)
        assert len(monitor.reports) <= 20


def test_an_interrupt_certifies_the_last_step(monkeypatch):
    lifting = lifting_of(*CASES[0])
    monitor = Monitor(lifting, 1e-4)

    def report(iteration, *_):
        if iteration == 25:
            raise KeyboardInterrupt

    monkeypatch.setattr(monitor, "report", report)
    assert solve_with_cuts(lifting, preset("hr2+", lifting), monitor, CUT_NAMES) is Status.STOPPED
    assert np.isfinite(monitor.bounds[-1])


def test_too_many_cuts_keep_the_largest(monkeypatch):
    monkeypatch.setattr(newton_cuts, "MOST_CUTS", 30)
    lifting = lifting_of(*CASES[1])
    rng = np.random.default_rng(0)
    triples = np.array([[1, j, k] for j in range(2, lifting.size) for k in range(j + 1, lifting.size)])
    start = {TRIANGLES: np.column_stack([triples, rng.random(len(triples))])}
    assert len(triples) > 60
    status, monitor = solved(lifting, start=start)
    _, free = solved(lifting)
    assert status is Status.SOLVED
    assert monitor.bound <= free.bound * 1.5


@pytest.mark.parametrize("depth", [1, 2])
def test_solve_takes_it(depth):
    """As `auto` where it is small and has several layers, when asked for otherwise; from any warm start."""
    net = random_net(np.random.default_rng(4), [3] * (depth + 1) + [1], 1.0, 0.3)
    lifting = "adjoint" if depth > 1 else "forward"
    ask = dict(relaxation="hr2+", center=np.zeros(3), radius=1.0, lifting=lifting, cuts=PAIRS)
    bounds = {method: hr2jax.solve(net, method=method, **ask) for method in ("auto", "newton", "lowrank")}
    for result in bounds.values():
        assert result.status is Status.SOLVED
        assert result.lower <= result.bound == pytest.approx(bounds["lowrank"].bound, rel=3e-3)
        assert result.certificate.verify(net) == pytest.approx(result.bound, rel=1e-12)
    if depth > 1:
        assert bounds["auto"].bound == bounds["newton"].bound
    for start in bounds.values():
        warm = hr2jax.solve(net, method="newton", warm_start=start, **ask)
        assert warm.bound == pytest.approx(bounds["newton"].bound, rel=3e-3)
