"""LipSDP's bound by one pass through the layers, before any engine: of every relaxation of a large deep network."""

from __future__ import annotations

from ..engines.pace import certificate_seconds
from ..engines.product.passes import one_pass
from ..engines.sizes import Sizes
from ..machine.memory import available_bytes
from ..relaxation import Lifting, lift
from ..relaxation.presolve import LIFTINGS, presolve
from .session import Session

# Below this side of M_1 engines are quick, and need no first bound.
SMALL = 400
# Arrays of LipSDP's N x N that are alive at once: its matrix, enclosed, a factor, what is left of the proof.
ALIVE = 8.0
# A share of the time limit that it may take; its proof and itself, over a proof for which a diagonal is repaired too
# (2C2F of GLipSDP, 5589 entries: 1.8 and 4.2 s of one processor, where that takes 50).
SHARE, QUICKER = 0.8, 0.15


def offer_pass(session: Session, lifting: Lifting) -> None:
    """Offer the session what a pass proves, where that is worth something and quick.

    With one hidden layer the mixing method's bound is better.
    """
    net, problem = session.net, session.problem
    if net.depth <= 1 or lifting.size <= SMALL:
        return
    is_own = lifting.presolve.chains == ("q",)
    size = lifting.size if is_own else Sizes.of(problem, fixed := presolve(
        net, problem, slopes=session.fixed.slopes, chains=LIFTINGS["lipsdp"]
    )).N  # fmt: skip
    if 8.0 * ALIVE * size**2 > available_bytes():
        return
    if QUICKER * certificate_seconds(size) > SHARE * session.left():
        return
    found = one_pass(lifting if is_own else lift(net, problem, fixed))
    if found is None:
        return
    if is_own:
        session.certify(*found)
        return
    with session.stage("lipsdp", session.tolerance, 1.0), session.on(fixed):
        session.certify(*found)
