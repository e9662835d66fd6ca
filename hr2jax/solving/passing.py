"""LipSDP's bound of a large deep network, before a tighter relaxation's engine: by one pass, then by its own engine."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..engines.monitor import Stop
from ..engines.pace import certificate_seconds
from ..engines.product.carried import Carried, carried
from ..engines.product.passes import one_pass
from ..engines.product.tangents import solve_tangents
from ..engines.sizes import Sizes
from ..machine.memory import available_bytes
from ..relaxation import Lifting, lift
from ..relaxation.presolve import LIFTINGS, Presolve, presolve
from ..result import Status
from .prepared import Known
from .session import Session

# What its engine's proofs take of the same, about: no diagonal is repaired by Newton's method.
LATER = 0.25
# Below this side of M_1 engines are quick, and need no first bound: without a time limit, and with one.
SMALL, SMALL_IN_TIME = 400, 120
# Arrays of LipSDP's N x N that are alive at once: its matrix, enclosed, a factor, what is left of the proof.
ALIVE = 8.0
# A share of the time limit that it may take; its proof and itself, over a proof for which a diagonal is repaired too
# (2C2F of GLipSDP, 5589 entries: 1.8 and 4.2 s of one processor, where that takes 50).
SHARE, QUICKER = 0.8, 0.15
# Up to this side the engine's first bound takes hardly longer than a pass and its proof: with a time limit no pass.
QUICK = 3000
# Inputs, neurons and outputs of a network with which a search for slopes takes longer than a pass.
FEWEST = 60


def offer_lipsdp(session: Session, size: int, lifted: Callable[[], Lifting]) -> Carried | None:
    """Offer the session what LipSDP's multipliers prove, where that is worth something and quick.

    With one hidden layer the mixing method's bound is better.

    Args:
        session: the solve's.
        size: of its lifting.
        lifted: makes that, which in a large network takes as long as some of LipSDP's iterations.

    Returns:
        Its optimum in the session's own lifting; None where that is LipSDP's, or has other variables.

    Raises:
        Stop: somebody wants it to stop.
    """
    net, problem = session.net, session.problem
    if net.depth <= 1 or size <= (SMALL if session.options.time_limit is None else SMALL_IN_TIME):
        return None
    if session.fixed.chains == ("q",):
        if _passes(session, size) and (found := one_pass(lifted())) is not None:
            session.certify(*found)
        return None
    fixed = presolve(net, problem, slopes=session.fixed.slopes, chains=LIFTINGS["lipsdp"])
    if not _fits(session, Sizes.of(problem, fixed).N):
        return None
    lipsdp = lift(net, problem, fixed)
    if _passes(session, lipsdp.size):
        _pass(session, fixed, lipsdp)
    if session.options.time_limit is not None:
        session.expect(LATER * certificate_seconds(lipsdp.size))
    session.engine = "lowrank"
    with session.stage("lipsdp", session.tolerance), session.on(fixed):
        solved = solve_tangents(lipsdp, session, seed=session.options.seed)
    session.relaxation_value = math.nan  # of the relaxation asked for nothing is known
    if solved.status is Status.STOPPED:
        raise Stop(solved.status)
    return None if solved.V is None else carried(lipsdp, solved.multipliers, solved.V, lifted())


def offer_pass(session: Session, known: Known) -> None:
    """Offer what one pass proves by the bounds that are known, before better ones of a local problem are searched.

    Of networks of a middle size: that search is short for smaller ones, and a pass is not for larger ones.
    """
    net, problem = session.net, session.problem
    if not (problem.is_local and problem.quantity == "lipschitz" and FEWEST < sum(net.widths) < QUICK):
        return
    fixed = presolve(net, problem, slopes=known.slopes, chains=LIFTINGS["lipsdp"], bounds=known.bounds)
    lipsdp = lift(net, problem, fixed)
    with np.errstate(all="ignore"):
        _pass(session, fixed, lipsdp)


def _pass(session: Session, fixed: Presolve, lipsdp: Lifting) -> None:
    """Certify what one pass finds in LipSDP's lifting."""
    if (found := one_pass(lipsdp)) is not None:
        with session.stage("lipsdp", session.tolerance), session.on(fixed):
            session.certify(*found)


def _passes(session: Session, size: int) -> bool:
    """Whether a pass is worth its time before the engine."""
    return (session.options.time_limit is None or size > QUICK) and _fits(session, size)


def _fits(session: Session, size: int) -> bool:
    """Whether a pass does, in memory and before the time limit."""
    is_quick = QUICKER * certificate_seconds(size) <= SHARE * session.left()
    return is_quick and 8.0 * ALIVE * size**2 <= available_bytes()
