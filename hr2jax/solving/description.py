"""A result's `problem`: what was asked, and where its bound comes from."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..bounds.jumps import largest_jump
from ..network import Network
from ..relaxation.presolve import Presolve
from ..version import versions
from .session import Session


def description(session: Session) -> dict[str, Any]:
    """What was asked, and which engine, relaxation and lifting the bound comes from."""
    net, problem, fixed, options = session.net, session.problem, session.fixed, session.options
    return {
        "widths": list(net.widths),
        "quantity": problem.quantity,
        "output": problem.coefficients.tolist(),
        "norm": problem.norm,
        **({"output_norm": problem.output_norm} if problem.is_vector else {}),
        **problem.domain.description(),
        **({"jump": jump} if problem.quantity == "lipschitz" and (jump := largest_jump(net, problem)) else {}),
        "relaxation": options.relaxation,
        **({"cuts": list(options.planes)} if options.record.cuts else {}),
        "method": options.method,
        "engine": session.engine,
        "bound_by": session.certificate.relaxation,
        **({"lifting": session.certificate.lifting} if _has_choice(net, session) else {}),
        "tol": options.tol,
        "seed": options.seed,
        "free_inputs": len(fixed.free),
        "unstable_neurons": fixed.switching,
        "moment_matrix": session.size,
        "layers": _layers(net, fixed),
        "network_hash": net.hash,
        "versions": versions(),
    }


def _has_choice(net: Network, session: Session) -> bool:
    """Whether there are several liftings of the problem."""
    if session.certificate.lifting == "none":
        return False
    return net.depth > 1 or session.problem.is_vector or session.certificate.lifting not in ("forward", "values")


def _layers(net: Network, fixed: Presolve) -> list[dict[str, Any]]:
    """What the presolve found of each hidden layer; `low` and `high` bound the pre-activations that have a variable."""
    found = []
    for layer, neurons in zip(net.layers, fixed.layers, strict=False):
        low, high = (np.ldexp(side, neurons.exponent) for side in (neurons.low, neurons.high))
        found.append({
            "activation": layer.activation, "neurons": layer.width, "unstable": len(neurons.unstable),
            "active": len(neurons.active), "low": float(low.min()) if low.size else None,
            "high": float(high.max()) if high.size else None,
        })  # fmt: skip
    return found
