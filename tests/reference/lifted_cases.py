"""Liftings of random networks, and which layouts they refuse."""

from hypothesis import assume
from hypothesis import strategies as st

from hr2jax.arithmetic.arb import Arb
from hr2jax.arithmetic.enclosure import Enclosure
from hr2jax.bounds.slopes.search import find_slopes
from hr2jax.problem import checked_problem
from hr2jax.relaxation import lift
from hr2jax.relaxation.presolve import LIFTINGS, WITH_LAST, presolve
from tests.reference.cases import SCALES, random_cases

CHAINS = st.sampled_from(["forward", "adjoint", "both", "xL"])
BOUNDS = st.sampled_from(["interval", "interval", "linear"])


def refused(error):
    return any(word in str(error) for word in ("overflow", "float64", "too large", "2**"))


@st.composite
def lifted_cases(draw, depths=(2, 3, 4), scales=SCALES, chains=CHAINS, with_global=True):
    """(net, problem, presolve, lifting, rng), half of them global unless told otherwise."""
    net, problem, rng = draw(random_cases(depths, widest=4, scales=scales))
    if with_global and draw(st.booleans()):
        problem = checked_problem(net, problem.coefficients, problem.norm)
    if draw(st.integers(0, 3)) == 0:  # one column
        problem = checked_problem(net, problem.coefficients, 1, domain=problem.domain if problem.is_local else None)
        problem = problem.towards([rng.choice(problem.directions_of(net.widths[0]))])
    method = draw(BOUNDS) if problem.is_local else "interval"
    kind = draw(st.sampled_from([Enclosure, Enclosure, Arb]))
    try:
        slopes = None if method == "interval" else find_slopes(net, problem, method, seconds=1.0)
        chosen = draw(chains)
        with_last = chosen in WITH_LAST and problem.is_local
        fixed = presolve(net, problem, slopes=slopes, chains=LIFTINGS[chosen], with_last=with_last)
        lifting = lift(net, problem, fixed, kind)
    except ValueError as error:  # said in one sentence, before any work
        assert refused(error), error
        assume(False)
    return net, problem, fixed, lifting, rng
