"""`solve`: check, presolve, run an engine, certify, assemble the Result."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import ArrayLike

from .bounds.jumps import refuse_jumps
from .domain import Domain
from .machine.stopping import stoppable
from .options import Options
from .problem import Output, checked_problem
from .reading import Model, as_network
from .result import Progress, Result
from .solving.run import run


@stoppable
def solve(
    net: Model,
    *,
    output: Output = None,
    norm: Any = "inf",
    output_norm: Any = None,
    center: ArrayLike | None = None,
    radius: Any = None,
    domain: Domain | None = None,
    relaxation: str = Options.relaxation,
    bounds: str = Options.bounds,
    method: str = Options.method,
    tol: float = Options.tol,
    time_limit: float | None = Options.time_limit,
    max_iterations: int | None = Options.max_iterations,
    device: str | None = Options.device,
    devices: int | None = Options.devices,
    seed: int = Options.seed,
    witness: str | float = Options.witness,
    warm_start: Result | None = Options.warm_start,
    progress: bool = Options.progress,
    callback: Callable[[Progress], Any] | None = Options.callback,
    checkpoint: Any = Options.checkpoint,
    cuts: Sequence[str] | None = Options.cuts,
    lifting: str = Options.lifting,
    example: ArrayLike | None = None,
) -> Result:
    """A certified upper bound of the Lipschitz constant of the network, or of one of its outputs or a combination.

    The constant is that of f = M F, inputs measured in `norm` and its values, where there are several, in
    `output_norm`: ||f(x) - f(y)|| <= constant ||x - y||, everywhere, or on a ball or box: the largest operator norm of
    a Jacobian (docs/theory/several-outputs.md). The relaxation (Chen, Lasserre, Magron, Pauwels,
    NeurIPS 2020) is solved by an engine; whatever that returns, `bound` is proved from its multipliers in
    rounding-safe arithmetic, and `result.certificate` proves it again.

    Args:
        net: a ReLU network, or what holds one: a file, a module, a function of JAX (see `hr2jax.as_network`).
        output: None (F itself, all its outputs), k (F_k), (k, j) (F_k - F_j), a 1-D array c (c.F), or a 2-D array M
            (m, K), whose rows are combinations: M F.
        norm: "inf", 2 or 1, on the input.
        output_norm: "inf", 2 or 1, on the output where it has several entries; None: the same as `norm`. All norms of
            one value agree.
        center, radius: the ball's center (p_0,), or another shape of p_0 entries, flattened in C order, and radius in
            that norm, in the input's units; for "inf" also one half-width per input, zeros allowed. Neither for the
            global constant.
        domain: instead of them a `Box` or a `Ball`, whose shape need not be the norm's.
        relaxation: "shor", "hr2", "hr2z", "hr2+", "lasserre2" (docs/theory/moment-relaxation.md), or "best": climbs
            from "shor" to "hr2+" within the time limit and returns the tightest bound. "interval" and "product" are
            baselines that need no solver: interval arithmetic on the Jacobian, and the product of the layers' norms.
            "lipsdp" (made for norm 2, global), and "lipopt3" and "lipopt4" (one hidden layer, norm inf), are peers;
            "lipsdp+" is LipSDP with cutting planes, for large deep networks in norm 2.
        bounds: pre-activation bounds of local problems: "interval" (exact for one hidden layer), "linear" (backward,
            CROWN), "lp" (Planet's relaxation's), "split" (the same of parts of the domain; of chains), or "auto": the
            best that is cheap at this size. Networks with smooth layers have one kind, the better of intervals and
            lines.
        method: "auto", "lowrank", "newton" (few multipliers), and for one hidden layer in norm inf
            "admm", or an interior-point reference ("clarabel", "cvxopt", "sdpa", "mosek").
        tol: stop when bound - relaxation optimum <= tol * bound, as estimated by the duality gap.
        time_limit: seconds; the best certified bound so far comes back. JAX's compilations cannot be cut short: in a
            process that is new to a problem's shape, limits of few seconds are overrun by as much.
        max_iterations: of the engine.
        device: None (JAX's default), "cpu" or "gpu".
        devices: among so many devices of that kind `lowrank` divides the rows of its factor, so that each needs its
            share of the memory (docs/scale.md); None: one has them all.
        seed: of every random choice.
        witness: effort of the search of `lower`, counted in evaluated points, never in seconds: "auto" (1.0) follows
            from sizes and the engine's counted iterations and is meant to cost less than the bound; a number scales it;
            0: none (lower 0.0, witness None, gap 1.0).
        warm_start: an earlier Result of the same widths, whose multipliers to begin from.
        progress: show a live line on a terminal, else messages in `logging.getLogger("hr2jax")`.
        callback: called with a Progress now and then; returning True stops.
        checkpoint: path of a certificate file that always holds the best bound so far; resumed from if it exists.
        cuts: which cutting planes "hr2+" separates, of "T.U", "U.U", "T.T", "X0.U", "T.X0", "X0.X0" (pairs of
            factors), "triangles" and "cones", with several hidden layers "squares" and products such as "T.V", and with
            lifting "xL" "events", "clauses" and "exclusions", with "reach" these last (docs/theory/cuts.md); None: all
            of them.
        lifting: with several hidden layers, which variables carry the derivative through them: "forward" (tangents),
            "adjoint", "both", or "auto": adjoint, which was never much looser than the others, and often tighter; with
            any number "reach", of global constants alone, which knows which patterns occur (docs/theory/reach.md);
            by "auto" global "hr2+" of small networks tries both, unless `cuts` are given. Of several outputs also
            "tensored" (docs/theory/several-outputs.md), which "auto" tries likewise, local constants included. Of local
            constants of one output "xL", with values of the last layers too: "auto" of "hr2+" for small networks; and
            of networks with smooth layers "tied", where slopes are functions of the pre-activations: "auto" takes it
            where slopes are nearly linear, and beside the others elsewhere (docs/theory/depth.md); of several outputs
            from norm "inf" or 2 to 2 or 1, too, where the network is small (docs/theory/several-outputs.md).
        example: an input, of a module or function that does not say the shape of its own (see `hr2jax.as_network`).

    Raises:
        Interrupted: Ctrl-C; its `result` is a Result with the best certified bound, or None before there is one.
        ValueError: an argument that means nothing, or a problem that does not fit in memory, before any work.
        NotImplementedError: a combination that is not built, before any work.
    """
    began = time.perf_counter()
    net = as_network(net, example)
    problem = checked_problem(net, output, norm, center, radius, output_norm=output_norm, domain=domain)
    options = Options(
        relaxation=relaxation, bounds=bounds, method=method, tol=tol, time_limit=time_limit,
        max_iterations=max_iterations, device=device, devices=devices, seed=seed, witness=witness,
        warm_start=warm_start, progress=progress, callback=callback, checkpoint=checkpoint, cuts=cuts, lifting=lifting,
    )  # fmt: skip
    options = options.check(net, problem)
    refuse_jumps(net, problem)
    return run(net, problem, options, began)


@stoppable
def maximum(
    net: Model,
    *,
    center: ArrayLike | None = None,
    radius: Any = None,
    output: Output = None,
    norm: Any = "inf",
    domain: Domain | None = None,
    relaxation: str = Options.relaxation,
    bounds: str = Options.bounds,
    tol: float = Options.tol,
    time_limit: float | None = Options.time_limit,
    max_iterations: int | None = Options.max_iterations,
    device: str | None = Options.device,
    devices: int | None = Options.devices,
    seed: int = Options.seed,
    warm_start: Result | None = Options.warm_start,
    progress: bool = Options.progress,
    callback: Callable[[Progress], Any] | None = Options.callback,
    checkpoint: Any = Options.checkpoint,
    cuts: Sequence[str] | None = Options.cuts,
    example: ArrayLike | None = None,
) -> Result:
    """A certified upper bound of the largest value of one output (or combination) on a ball or box.

    With output=(j, k) that is the largest F_j - F_k: below 0, no input of the ball is given label j rather than k. The
    relaxation is that of Raghunathan, Steinhardt, Liang (NeurIPS 2018), x >= 0, x >= z, x (x - z) = 0, x (h - x) >= 0,
    for every neuron that can switch, and beside it the products with u of docs/theory/depth.md; behind smooth
    layers values lie between two lines, and between the flattest and the steepest slope.

    Args:
        net: a ReLU network, or what holds one: a file, a module, a function of JAX (see `hr2jax.as_network`).
        center, radius: the ball's center (p_0,), or of another shape in C order, and radius; for norm "inf" also one
            half-width per input.
        domain: instead of them a `Box` or a `Ball`.
        output, norm, bounds, tol, time_limit, max_iterations, device, devices, seed, warm_start, progress, callback,
            checkpoint: as for `solve`; `tol` is relative to what lies between the value at the center and the first
            bound.
        relaxation: "hr2" (or "shor", which is the same here), "hr2+" with cutting planes, or "interval": no solver.
        cuts, example: as for `solve`.

    Returns:
        A Result: `bound` is certified, `lower` is f at `witness`, rounded down. Both may be negative.

    Raises:
        Interrupted, ValueError, NotImplementedError: as `solve`.
    """
    began = time.perf_counter()
    net = as_network(net, example)
    problem = checked_problem(net, output, norm, center, radius, "maximum", domain=domain)
    options = Options(
        relaxation=relaxation, bounds=bounds, tol=tol, time_limit=time_limit, max_iterations=max_iterations,
        device=device, devices=devices, seed=seed, warm_start=warm_start, progress=progress, callback=callback,
        checkpoint=checkpoint, cuts=cuts,
    )  # fmt: skip
    return run(net, problem, options.check(net, problem), began)
