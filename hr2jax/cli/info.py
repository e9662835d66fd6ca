"""`hr2jax info`."""

from __future__ import annotations

import argparse
import contextlib
from typing import TYPE_CHECKING

from .answer import YES
from .arguments import network_with_data

if TYPE_CHECKING:
    from ..network import Network
    from ..problem import Problem

# Outputs whose bound `info` shows.
SHOWN_OUTPUTS = 10


def info_command(arguments: argparse.Namespace) -> int:
    """Print what a network file holds."""
    import numpy as np

    from ..engines.memory import estimate
    from ..engines.sizes import Sizes
    from ..options import Options
    from ..problem import checked_problem
    from ..relaxation.presolve import presolve
    from ..text import table, upper_text, widths_text

    net, data = network_with_data(arguments)
    if not net.is_chain:
        print(table([("network", repr(net)), ("hash", net.hash)]))
        return YES
    parameters = sum(array.size for array in (*net.weights, *net.biases))
    with np.errstate(over="ignore"):
        single = all(np.array_equal(array.astype(np.float32), array) for array in (*net.weights, *net.biases))
    rows = [
        ("widths", f"{widths_text(net.widths)}   (input, {net.depth} hidden, outputs)"),
        ("parameters", f"{parameters}"),
        ("numbers", "float64" + (", every one of them also a float32" if single else "")),
        ("hash", net.hash),
    ]
    names = [f"A_{i + 1}, b_{i + 1}" for i in range(net.depth)] + ["C, d"]
    for name, weight, bias in zip(names, net.weights, net.biases, strict=True):
        rows.append((name, f"in [{weight.min():.4g}, {weight.max():.4g}], [{bias.min():.4g}, {bias.max():.4g}]"))
    if data:
        rows.append(("data", f"{', '.join(data)}   (beside the network, no part of it)"))
    problem = checked_problem(net, 0)
    with contextlib.suppress(ValueError), np.errstate(all="ignore"):  # bounds that overflow: there is nothing to solve
        needed = sum(estimate(Options.relaxation, Options.method, Sizes.of(problem, presolve(net, problem))))
        rows.append(("memory", f"about {needed / 1e9:.1f} GB to solve {Options.relaxation} globally"))
    for k in range(min(net.widths[-1], SHOWN_OUTPUTS)):
        bound = bound_without_solver(net, checked_problem(net, k))
        rows.append((f"F_{k}", f"<= {upper_text(bound)}   (global, norm inf, no solver; hr2jax solve improves it)"))
    if net.widths[-1] > SHOWN_OUTPUTS:
        rows.append(("...", f"{net.widths[-1] - SHOWN_OUTPUTS} more outputs"))
    print(table(rows))
    return YES


def bound_without_solver(net: Network, problem: Problem) -> float:
    """What interval arithmetic or norm products prove, rounded up; infinity where that overflows."""
    import numpy as np

    from ..certificate.prover import baseline
    from ..relaxation.presolve import presolve

    with np.errstate(all="ignore"):
        # no chains: the sizes of derivatives are not needed
        return baseline(net, problem, presolve(net, problem, chains=()))


INFO = """Printed: widths, number of parameters, the hash that certificates carry, the range of the weights,
and a certified bound of each output that needs no solver.
"""
