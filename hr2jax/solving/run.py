"""One solve, from a checked problem to its Result."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arithmetic.enclosure import TooLargeError, check_arithmetic
from ..arithmetic.float64 import Array
from ..bounds import preactivation_bounds
from ..bounds.slopes.search import find_output_slopes, find_slopes, pick_method
from ..certificate.certificate import Certificate, CertificateError
from ..engines.bilinear.mixing import first_bound
from ..engines.block.form import MAX_DENSE_BYTES
from ..engines.lipopt.lipopt import check_size, krivine_engine
from ..engines.memory import check_memory
from ..engines.monitor import Stop
from ..engines.pace import certificate_seconds
from ..engines.sizes import Sizes
from ..machine.compile_clock import compile_seconds
from ..machine.device import on_device
from ..machine.memory import peak_bytes
from ..network import Network
from ..options import BASELINES, CUTTING, INTERIOR_POINT, LIPOPT, Options
from ..problem import LipschitzProblem
from ..progress import progress_line
from ..relaxation import Lifting, lift
from ..relaxation.families import transfer
from ..relaxation.lasserre import lasserre_size
from ..relaxation.presolve import LIFTINGS, Presolve, presolve
from ..result import Progress, Result, Status, relative_gap
from ..version import versions
from .session import Session
from .stages import Stage, stages_of

if TYPE_CHECKING:
    from ..engines.product.lowrank import Steered

# At most so long is spent on pre-activation bounds.
BOUND_SECONDS = 60.0
# Shapes of problems for which this process has compiled its programs.
_KNOWN: set[tuple[Any, ...]] = set()


def check_network(net: Any) -> None:
    """Refuse what is no Network."""
    if not isinstance(net, Network):
        raise ValueError(f"net must be a hr2jax.Network, but {type(net).__name__} was given")


def run(net: Network, problem: LipschitzProblem, options: Options, began: float) -> Result:
    """One solve: presolve, engine, certificate, result."""
    check_arithmetic()
    check_package(options)
    with on_device(options.device):
        start = _load_checkpoint(net, problem, options)
        fixed = prepare(net, problem, options)
        with progress_line(options.progress) as show:
            return solve_checked(net, problem, fixed, options, start, show, began)


def check_package(options: Options) -> None:
    """Raise ImportError where the solver's package is missing."""
    if options.method in INTERIOR_POINT:
        from ..engines.block.conic import package

        package(options.method)


def prepare(net: Network, problem: LipschitzProblem, options: Options) -> Presolve:
    """The presolved problem, with the pre-activation bounds and the lifting that the options ask for."""
    chosen = options.lifting
    if chosen == "auto" or net.depth == 1:
        chosen = "adjoint" if net.depth > 1 else "forward"  # as bench/depth.py --liftings and bench/deep.py measured
    if problem.quantity == "maximum":
        chosen = "values"
    elif options.relaxation == "lipsdp":
        chosen = "lipsdp"
    method = options.bounds
    if not problem.is_local or net.depth == 1:  # intervals are exact at depth 1
        method = "interval"
    elif method == "auto":
        method = pick_method(net, problem)
    slopes = None
    if method != "interval":
        limit = math.inf if options.time_limit is None else options.time_limit
        seconds = min(0.2 * limit, BOUND_SECONDS)
        slopes = find_slopes(net, problem, method, seconds=seconds, seed=options.seed)
        if problem.quantity == "maximum":
            proved = preactivation_bounds(net, problem, slopes)
            last = find_output_slopes(net, problem, proved, method, seconds=seconds, seed=options.seed) or {}
            slopes = dict(slopes) | {(net.depth + 1, k): values for k, values in last.items()}
    return presolve(net, problem, slopes=slopes, chains=LIFTINGS[chosen])


def solve_checked(
    net: Network, problem: LipschitzProblem, fixed: Presolve, options: Options, start: Certificate | None,
    show: Callable[[Progress], None] | None, began: float, steered: Steered | None = None,
    brief: bool = False,
) -> Result:  # fmt: skip
    """`solve` after its checks; `brief`: the search for a witness takes no longer than the engine."""
    if options.relaxation in BASELINES:
        return _without_solver(net, problem, fixed, options, show, began, brief)
    sizes = Sizes.of(problem, fixed)
    if options.relaxation in LIPOPT:
        estimated = check_size(net, problem, LIPOPT[options.relaxation])
    elif options.relaxation != "lasserre2":
        estimated = check_memory(options, sizes)
    lifting = lift(net, problem, fixed)
    if options.relaxation == "lasserre2":
        _refuse_large(lifting)
        estimated = check_memory(options, sizes)
    if options.relaxation in LIPOPT:
        engine = krivine_engine(net, problem, LIPOPT[options.relaxation])
        stages = [Stage(options.relaxation, frozenset(), engine, options.tol, 1.0)]
    else:
        stages = stages_of(lifting, options, steered)
    session = Session(net, problem, fixed, options, versions(), show, began)
    if not math.isfinite(session.bound):
        raise TooLargeError("the network's Lipschitz constant exceeds what float64 can hold")
    multipliers: Mapping[str, Array] = {}
    if start is not None:
        session.offer(start)
        multipliers = _starting_multipliers(net, start, fixed, lifting)
    elif options.warm_start is not None:
        multipliers = _starting_multipliers(net, options.warm_start.certificate, fixed, lifting)
    setup, compiled = session.seconds(), compile_seconds()
    status, programs = Status.SOLVED, (options.relaxation, options.method, tuple(lifting.sizes.items()))
    try:
        # Without a time limit equal calls give equal results, whatever the process has compiled before. With cuts it
        # is long before anything is certified, programs known or not.
        is_late = options.time_limit is not None and (programs not in _KNOWN or options.relaxation == "hr2+")
        if is_late and problem.quantity == "lipschitz" and options.relaxation not in LIPOPT:
            with session.timings.span("solve"):
                first_bound(lifting, session)
        with session.timings.span("lower"):
            _search(session, min(0.05 if brief else 1.0, 0.1 * session.remaining()))
        if session.bound > session.lower:
            session.report(0, math.nan, math.nan)
            session.keep_for_search(_lower_seconds(session, share=0.1) if session.remaining() < math.inf else 0.0)
            for stage in stages:
                if stage is not stages[-1] and stage.share * session.remaining() < certificate_seconds(lifting.size):
                    continue  # not worth beginning
                stage_of = session.stage(stage.relaxation, stage.tolerance, stage.share)
                # engines look at what comes out, whatever overflowed on the way
                with session.timings.span("solve"), stage_of, np.errstate(all="ignore"):
                    status = stage.engine(session, stage.own(multipliers))
                if status is Status.STOPPED or session.is_over():
                    break
            _KNOWN.add(programs)
            session.keep_for_search(0.0)
        if status is Status.STOPPED:  # whoever says so does not want to wait for a better witness
            raise Stop(status)
        with session.timings.span("lower"):
            most = max(session.timings.seconds.get("solve", 0.0), 0.1) if brief else math.inf
            _search(session, min(_lower_seconds(session), most))
    except Stop as stop:
        status = stop.status
    except KeyboardInterrupt:
        status = Status.STOPPED
    except (FloatingPointError, np.linalg.LinAlgError):
        status = Status.NUMERICAL_ERROR
    return _result(session, status, setup, compile_seconds() - compiled, lifting.size, estimated)


def _without_solver(
    net: Network, problem: LipschitzProblem, fixed: Presolve, options: Options,
    show: Callable[[Progress], None] | None, began: float, brief: bool = False,
) -> Result:  # fmt: skip
    """The certificate of a baseline, and a search for a witness."""
    session = Session(net, problem, fixed, options, versions(), show, began)
    if not math.isfinite(session.bound):
        raise TooLargeError("the network's Lipschitz constant exceeds what float64 can hold")
    setup, compiled, status = session.seconds(), compile_seconds(), Status.SOLVED
    session.relaxation_value = session.bound
    try:
        with session.timings.span("lower"):
            _search(session, min(0.1 if brief else 1.0, 0.5 * session.remaining()))
    except Stop as stop:
        status = stop.status
    except KeyboardInterrupt:
        status = Status.STOPPED
    return _result(session, status, setup, compile_seconds() - compiled, 0, 0.0)


def _result(
    session: Session, status: Status, setup: float, compiling: float, size: int, estimated: float
) -> Result:
    timings = dict.fromkeys(("setup", "compile", "solve", "certify", "lower"), 0.0) | session.timings.seconds
    timings |= {"setup": setup, "compile": compiling, "peak_bytes": peak_bytes()}
    bound = session.bound
    description = _description(session.net, session.problem, session.fixed, session.options, size)
    return Result(
        bound=bound,
        lower=session.lower,
        witness=session.witness,
        relaxation_value=session.relaxation_value if bound != 0 else 0.0,
        gap=relative_gap(bound, session.lower),
        status=status,
        message=status.value,
        certificate=session.certificate,
        iterations=session.iteration,
        history=session.arrays(),
        timings=timings,
        problem=description | {"estimated_bytes": int(estimated)},
    )


def _search(session: Session, seconds: float) -> None:
    """Raise the session's lower bound."""
    if seconds <= 0:
        return
    if session.problem.quantity == "maximum":
        from ..lower.values import climb_values as search
    else:
        from ..lower import search  # its linear programs make it the slowest import: not for those who do not wait

    value, witness = search(
        session.net, session.problem, seconds=seconds, seed=session.options.seed, starts=session.witness[None]
    )
    if value > session.lower:
        session.lower, session.witness = value, witness


def _lower_seconds(session: Session, share: float = 1.0) -> float:
    """Time for the final search: nothing where the gap is closed, else by size, within a share of what is left."""
    if relative_gap(session.bound, session.lower) <= session.tolerance:
        return 0.0
    size = session.fixed.switching * len(session.fixed.free)
    return max(min(1.0 + 15.0 * size / 300_000, 15.0, share * session.remaining()), 0.0)


def _starting_multipliers(
    net: Network, earlier: Certificate, fixed: Presolve, lifting: Lifting
) -> dict[str, Array]:
    """An earlier certificate's multipliers, neuron by neuron and input by input, of the families of this problem."""
    claim = earlier.lipschitz_problem
    free = claim.free_inputs if claim.is_local else np.arange(net.widths[0])
    moved = transfer(earlier.multipliers, earlier.layout, free, lifting)
    return {name: values for name, values in moved.items() if np.isfinite(values).all()}


def _refuse_large(lifting: Lifting) -> None:
    """Raise ValueError where lasserre2 would not fit, counting what `block_form` would take long to enumerate."""
    entries, moments = lasserre_size(lifting.sizes["v"], lifting.sizes["t"], "xi" in lifting.sizes)
    if 8 * entries * moments > MAX_DENSE_BYTES:
        raise ValueError(
            f"relaxation='lasserre2' is for tiny networks: here it has {entries} matrix entries and {moments} moments; "
            "'hr2' and 'hr2z' fit"
        )


def _load_checkpoint(net: Network, problem: LipschitzProblem, options: Options) -> Certificate | None:
    path = options.checkpoint
    if path is None or not path.exists():
        return None
    try:
        certificate = Certificate.load(path)
        bound = certificate.verify(net)
    except CertificateError as error:
        raise ValueError(f"checkpoint {str(path)!r} exists but cannot be resumed from: {error}") from None
    # a certificate that best has kept names the step it came from
    expected = {options.relaxation} if options.relaxation != "best" else {"best", "shor", "hr2", "hr2z", "hr2+"}
    if certificate.lipschitz_problem != problem or certificate.relaxation not in expected:
        raise ValueError(f"checkpoint {str(path)!r} exists but is of another problem; give another path or remove it")
    return certificate.with_bound(bound)


def _description(
    net: Network, problem: LipschitzProblem, fixed: Presolve, options: Options, size: int
) -> dict[str, Any]:
    return {
        "widths": list(net.widths),
        "quantity": problem.quantity,
        "output": problem.coefficients.tolist(),
        "norm": problem.norm,
        "domain": "local" if problem.is_local else "global",
        "center": None if problem.center is None else problem.center.tolist(),
        "radius": None if problem.radius is None else problem.radius.tolist(),
        "relaxation": options.relaxation,
        **({"cuts": list(options.cuts)} if options.relaxation in CUTTING else {}),
        "method": options.method,
        **({"lifting": options.lifting} if net.depth > 1 else {}),
        "tol": options.tol,
        "seed": options.seed,
        "free_inputs": len(fixed.free),
        "unstable_neurons": fixed.switching,
        "moment_matrix": size,
        "network_hash": net.hash,
        "versions": versions(),
    }
