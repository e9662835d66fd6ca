"""`hr2jax info`."""

from __future__ import annotations

import argparse
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .answer import YES
from .arguments import described_network

if TYPE_CHECKING:
    from ..layer import Layer
    from ..network import Network
    from ..problem import Problem

# Outputs whose bound `info` shows, values of a line, and layers.
SHOWN_OUTPUTS = 10
SHOWN_LAYERS = 60
# Neurons and inputs of several hidden layers up to which bounds are shown: beyond, each output's takes seconds.
BOUNDED_SIZE = 4000


def info_command(arguments: argparse.Namespace) -> int:
    """Print what a network file holds."""
    from ..text import table

    net, data, made = described_network(arguments)
    points = None if arguments.input is None else _points(arguments.input, net)
    rows = _what_it_is(net)
    rows += _chain(net) if net.is_chain and not any(made) else _layers(net, made)
    if data:
        rows.append(("data", f"{', '.join(data)}   (beside the network, no part of it)"))
    rows.append(("F(0)", _values(net, [0.0] * net.widths[0])))
    for i, x in enumerate([] if points is None else points):
        rows.append(("F(x)" if len(points) == 1 else f"F(x_{i})", _values(net, x)))  # type: ignore[arg-type]
    rows += _bounds(net)
    print(table(rows))
    return YES


def _what_it_is(net: Network) -> list[tuple[str, str]]:
    import numpy as np

    from ..text import widths_text

    parts = [_entries(part) for layer in net.layers for part in (*layer.inputs.values(), layer.bias)]
    with np.errstate(over="ignore"):
        single = all(np.array_equal(part.astype(np.float32), part) for part in parts)
    exact = not any(layer.has_radii for layer in net.layers)
    numbers = "float64" + (", every one of them also a float32" if single and exact else "")
    shape = f"(input, {net.depth} hidden, outputs)" if net.is_chain else "(input, every layer)"
    rows = [
        ("widths", f"{widths_text(net.widths)}   {shape}"),
        ("parameters", f"{sum(part.size for part in parts)}"),
        ("numbers", numbers if exact else f"{numbers}, some known to within a radius (float64 does not hold them)"),
        ("hash", net.hash),
    ]
    if not net.is_chain:
        rows.insert(1, ("depth", f"{net.depth}   (activations on the longest way)"))
    return rows


def _entries(part: Any) -> Any:
    """The numbers that a matrix or a vector stores."""
    return part.data if hasattr(part, "tocsr") else part


def _chain(net: Network) -> list[tuple[str, str]]:
    names = [f"A_{i + 1}, b_{i + 1}" for i in range(net.depth)] + ["C, d"]
    rows = []
    for name, weight, bias in zip(names, net.weights, net.biases, strict=True):
        rows.append((name, f"in [{weight.min():.4g}, {weight.max():.4g}], [{bias.min():.4g}, {bias.max():.4g}]"))
    return rows


def _layers(net: Network, made: tuple[str, ...]) -> list[tuple[str, str]]:
    """One line a layer: its neurons, what they are of, how many entries that takes, the operators that it was."""
    rows = []
    for l, layer in enumerate(net.layers[:SHOWN_LAYERS], start=1):
        said = made[l - 1] if l <= len(made) else ""
        rows.append((f"y_{l}" if l < len(net.layers) else f"y_{l} = F", _layer(layer) + (f"   {said}" if said else "")))
    if len(net.layers) > SHOWN_LAYERS:
        rows.append(("...", f"{len(net.layers) - SHOWN_LAYERS} more layers"))
    return rows


def _layer(layer: Layer) -> str:
    import numpy as np

    takes = " + ".join(
        f"{'x' if k == 0 else f'y_{k}'} ({np.count_nonzero(_entries(A))} of {A.shape[0]} x {A.shape[1]})"
        for k, A in layer.inputs.items()
    )
    own = "".join(f" {name} {value:.4g}" for name, value in layer.parameters.items() if isinstance(value, float))
    text = f"{layer.width} {'affine' if layer.activation == 'identity' else layer.activation}{own} of {takes}"
    radii = [_entries(r).max(initial=0.0) for r in layer.radii.values()]
    if layer.bias_radius is not None:
        radii.append(layer.bias_radius.max())
    return f"{text}, enclosed to {max(radii):.1e}" if radii else text


def _points(path: str, net: Network) -> Any:
    """The inputs in a file, (n, p_0); decimals become the nearest floats."""
    import numpy as np

    from .numbers import read_numbers

    x = np.array([float(v) for v in read_numbers(path)])
    width = net.widths[0]
    if x.size == 0 or x.size % width:
        raise ValueError(f"{path} holds {x.size} numbers, but inputs of the network have {width}")
    return x.reshape(-1, width)


def _values(net: Network, x: Any) -> str:
    import numpy as np

    with np.errstate(all="ignore"):
        y = net(x)
    more = f", ... ({len(y)} values)" if len(y) > SHOWN_OUTPUTS else ""
    return ", ".join(f"{v:.10g}" for v in y[:SHOWN_OUTPUTS]) + more


def _bounds(net: Network) -> list[tuple[str, str]]:
    import numpy as np

    from ..engines.memory import estimate
    from ..engines.sizes import Sizes
    from ..options import Options
    from ..problem import checked_problem
    from ..relaxation.presolve import LIFTINGS, presolve
    from ..text import upper_text

    rows = []
    try:
        problem = checked_problem(net, 0)
        with contextlib.suppress(ValueError), np.errstate(all="ignore"):  # bounds that overflow: nothing to solve
            if net.depth > 1 and sum(net.widths) > BOUNDED_SIZE:
                # sizes need no bounds of derivatives, which take long here
                fixed = replace(presolve(net, problem, chains=LIFTINGS["none"]), chains=LIFTINGS["adjoint"])
            else:
                fixed = presolve(net, problem)
            sizes = Sizes.of(problem, fixed)
            needed = sum(estimate(Options.relaxation, Options.method, sizes))
            rows.append(("memory", f"about {needed / 1e9:.1f} GB to solve {Options.relaxation} globally"))
        if net.depth > 1 and sum(net.widths) > BOUNDED_SIZE:
            return [*rows, ("bounds", "none here of a network of this size; hr2jax solve has them")]
        for k in range(min(net.widths[-1], SHOWN_OUTPUTS)):
            bound = bound_without_solver(net, checked_problem(net, k))
            how = "global, norm inf, no solver; hr2jax solve improves it"
            rows.append((f"F_{k}", f"constant <= {upper_text(bound)}   ({how})"))
    except (NotImplementedError, ValueError) as error:
        if net.is_chain:
            raise
        return [("bounds", f"none yet ({error})")]
    if net.widths[-1] > SHOWN_OUTPUTS:
        rows.append(("...", f"{net.widths[-1] - SHOWN_OUTPUTS} more outputs"))
    return rows


def bound_without_solver(net: Network, problem: Problem) -> float:
    """What interval arithmetic or norm products prove, rounded up; infinity where that overflows."""
    import numpy as np

    from ..certificate.prover import baseline
    from ..relaxation.presolve import presolve

    with np.errstate(all="ignore"):
        # no chains: the sizes of derivatives are not needed
        return baseline(net, problem, presolve(net, problem, chains=()))


INFO = """Printed: widths, number of parameters, the hash that certificates carry, the layers (of a graph: what each
takes, the operators that it was made of, and to within which radius numbers are enclosed that float64 does not hold),
F(0), the memory that a solve needs, and, where the network is not large, a certified bound of each output that needs
no solver.
"""
