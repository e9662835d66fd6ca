"""Cases of a solve (docs/theory/cases.md): a tree of signs in place of a relaxation, where few patterns matter."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from ..arithmetic.float64 import Array
from ..bounds.cases import is_for, work_of_case
from ..lower.effort import Effort, point_seconds
from ..machine.threads import few_threads
from ..relaxation.neurons import masks
from ..relaxation.presolve import LIFTINGS, Presolve, pre_bounds
from .session import Session

# Neurons that switch, and inputs, of problems that are looked at.
MOST_NEURONS, MOST_INPUTS = 100, 1000
MOST_WITH_FACES = 20  # inputs of a global problem, each of which has two faces
# Nodes of a tree before relaxations, a second or two, and at most after them; a share of the time that is left.
FIRST, MOST, SHARE = 300, 3000, 0.4
# The same of the trees of all faces: to begin with, where those are not far above what is attained then, and after
# relaxations, for each second of those, and multiplications for each node of these.
LOOK_FACED, NEAR = 3000, 1.5
FIRST_FACED, MOST_FACED, FOR_EACH_FACED, WORK_FACED = 20000, 60000, 400, 2e5
LOOKED = 0.05  # seconds, told by counted points, of a search for a witness from where a tree has found one
# Nodes of a tree after relaxations for each second that those took: half of that second.
FOR_EACH = 100
# Multiplications of intervals for each node of a first tree, about a hundredth of a second; fewer nodes than these are
# no tree.
WORK, FEWEST = 4e6, 30
# Of the tolerance, how far above what is attained a tree is cut.
FINE = 0.01
# What proofs may add to a bound.
ROUNDING = 1e-8


def is_sought(session: Session) -> bool:
    """Whether cases are a part of what was asked, and may be few; they are cut down to what a witness attains."""
    options, problem, fixed = session.options, session.problem, session.fixed
    if session.lower <= 0:
        return False
    is_free = options.lifting == "auto" and options.cuts is None and options.method == "auto"
    if not (is_free and options.record.hardest.reaches and is_for(session.net, problem)):
        return False
    # of a matrix these norms are known to rounding
    norms = problem.norm, problem.output_norm
    is_exact = not problem.is_vector or problem.norm == 1 or problem.output_norm == "inf" or norms == (2, 2)
    inputs = MOST_INPUTS if problem.is_local else MOST_WITH_FACES
    return is_exact and 0 < fixed.switching <= MOST_NEURONS and len(fixed.free) <= inputs


def _affordable(session: Session, most: int) -> int:
    """How many nodes, at most so many, whose cuts take no longer than those of a small network's."""
    fixed = session.fixed
    of_each = 2.0 * fixed.switching * work_of_case(session.net, session.problem, fixed.directions)
    work = WORK if session.problem.is_local else WORK_FACED
    return int(min(most, most * work / of_each))


def close_at_once(session: Session) -> bool:
    """`close` by a tree of a second; local relaxations of one hidden layer are as quick, and leave little."""
    if not session.problem.is_local:
        if close(session, LOOK_FACED):
            return True
        is_near = session.cases is not None and session.cases.bound <= NEAR * session.lower
        return is_near and close(session, FIRST_FACED)
    return session.net.depth > 1 and close(session, FIRST)


def close_after(session: Session, work: float) -> bool:
    """`close` by a tree of half of the time that relaxations have taken, `work`, told by counted iterations."""
    if not session.problem.is_local:
        return close(session, min(MOST_FACED, int(FOR_EACH_FACED * work)))
    return session.net.depth > 1 and close(session, min(MOST, int(FOR_EACH * work)))


def close(session: Session, most: int) -> bool:
    """Offer the bound of a tree of at most so many nodes where it is the least so far; whether nothing is below it."""
    left = session.remaining()
    if left <= 0 or not is_sought(session) or (most := _affordable(session, most)) < FEWEST:
        return False
    net, problem, end = session.net, session.problem, session.seconds() + SHARE * left
    fixed = replace(session.fixed, chains=LIFTINGS["none"], with_last=False)
    with few_threads(max(net.widths)), session.timings.span("solve"), np.errstate(all="ignore"):
        if session.cases is None:
            session.cases = _search(session, fixed)
        search = session.cases
        goal = session.lower * (1.0 + FINE * session.tolerance)
        is_whole = search.run(goal, search.nodes + most, lambda: math.isfinite(end) and session.seconds() > end)
        before = session.bound
        if search.bound < before:
            with session.on(fixed):
                proved = session.certify(search.entries(), None)
            if proved < before:
                session.engine, session.relaxation_value = "cases", search.bound
            is_whole = is_whole and proved <= search.bound * (1.0 + ROUNDING)
        if not problem.is_local and not session.is_closed():
            _look(session, search.best())
            return session.is_closed()  # else a case that nothing is cut of may hold nothing
    return is_whole or session.is_closed()


def _search(session: Session, fixed: Presolve) -> Any:
    """The trees, of a domain or of the faces that stand for all of the inputs."""
    from ..engines.cases.faces import FaceSearch  # here: their linear programs are the slowest import
    from ..engines.cases.search import Search

    net, problem, points = session.net, session.problem, session.witness[None]
    if not problem.is_local:
        return FaceSearch(net, problem, fixed.directions, points)
    bounds = pre_bounds(net, problem, fixed.slopes)
    assert bounds is not None  # of a bounded domain
    return Search(net, problem, fixed.directions, *masks(net, fixed.layers), bounds, points)


def _look(session: Session, x: Array) -> None:
    """What a point attains that the search has come across; of several values, climb from there."""
    from ..lower import attained, search  # its linear programs make it the slowest import

    net, problem = session.net, session.problem
    if problem.is_vector:
        effort = Effort(net, LOOKED / point_seconds(net), session.remaining())
        value, witness = search(net, problem, effort=effort, seed=session.options.seed, starts=x[None])
    else:
        value, witness = attained(net, problem, x), x
    if value > session.lower:
        session.lower, session.witness, session.has_witness = value, witness, True
