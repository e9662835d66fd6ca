"""One solve, from a checked problem to its Result."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ..arithmetic.enclosure import TooLargeError, check_arithmetic
from ..arithmetic.float64 import Array
from ..arithmetic.midpoint import Middle
from ..certificate.certificate import Certificate
from ..certificate.lagrangian import families_of, kept_rows
from ..certificate.names import transfer
from ..engines.bilinear.mixing import first_bound
from ..engines.choose import HIGHS
from ..engines.lipopt.lipopt import krivine_engine
from ..engines.memory import check_krivine_memory, check_memory, refuse_many_moments
from ..engines.monitor import Stop
from ..engines.pace import certificate_seconds, engine_seconds
from ..engines.sizes import Sizes
from ..lower.effort import Effort, point_seconds
from ..machine.compile_clock import compile_seconds
from ..machine.device import devices_of, on_device
from ..machine.memory import peak_bytes
from ..machine.stopping import hear, is_interrupted, tell
from ..machine.threads import few_threads
from ..network import Network
from ..options import INTERIOR_POINT, WITH_X, Options
from ..problem import Problem
from ..progress import Show, progress_line
from ..relaxation import Lifting, lift
from ..relaxation.lifting import is_tensored
from ..relaxation.presolve import LIFTINGS, Presolve, presolve
from ..result import Result, Status, interrupted_message, relative_gap, solved_message
from ..version import versions
from . import cases
from .checkpoint import load_checkpoint, seconds_used
from .description import description
from .haste import norms_in_time
from .last import beside
from .liftings import other_presolves
from .passing import offer_lipsdp, offer_pass
from .prepared import Known, bare, by_intervals, prepare
from .session import Session
from .stages import Stage, stages_of
from .tensored import check_size

if TYPE_CHECKING:
    from ..engines.product.lowrank import Steered

# Seconds that a search for a witness may take, told by counted points (`point_seconds`): before any engine, and after
# it where it has counted less, and at most.
QUICK, LEAST, MOST = 0.05, 0.15, 15.0
TOO_LARGE = "the network's Lipschitz constant exceeds what float64 can hold; give one of smaller weights"


def run(net: Network, problem: Problem, options: Options, began: float, known: Known | None = None) -> Result:
    """One solve: presolve, engine, certificate, result; `known` of the domain, if anything is."""
    with few_threads(sum(net.widths)):  # before the check, which is of the threads that then prove
        check_arithmetic()
        with on_device(options.device):
            check_there(options)
            start = load_checkpoint(net, problem, options)
            if options.time_limit is not None:  # the total of all calls that have gone on from one another
                options = replace(options, time_limit=max(options.time_limit - seconds_used(start), 0.0))
            with norms_in_time(net, options.time_limit):
                return _run(net, problem, options, start, began, known)


def _run(
    net: Network, problem: Problem, options: Options, start: Certificate | None, began: float, known: Known | None
) -> Result:
    """`run` after its checks, from a checkpoint's certificate."""
    from .parts import is_solved_in_parts, solve_parts  # here: it is made of this

    if is_solved_in_parts(net, problem, options, start):
        with progress_line(options.progress) as show:
            return solve_parts(net, problem, options, start, show, began, tell, known)
    early = by_intervals(net, problem, options) if known is None else None
    if early is not None:  # slopes are searched first, for up to a minute, and whoever stops it has a bound
        tell_at_once(net, problem, early, options, start)
    fixed = prepare(net, problem, options, known)
    with progress_line(options.progress) as show:
        return solve_checked(net, problem, fixed, options, start, show, began, tell=tell)


def check_there(options: Options) -> None:
    """Raise ImportError where the solver's package is missing, ValueError where there are not so many devices."""
    if options.devices is not None:
        devices_of(options.devices)
    if options.method in INTERIOR_POINT:
        from ..engines.block.conic import package

        package(options.method)


def solve_checked(
    net: Network, problem: Problem, fixed: Presolve, options: Options, start: Certificate | None,
    show: Show | None, began: float, steered: Steered | None = None,
    tell: Callable[[Callable[[], Result]], None] | None = None,
) -> Result:  # fmt: skip
    """`solve` after its checks; `tell` is given a function that says in another thread what is proved so far."""
    plan = None if options.record.baseline else Plan(net, problem, fixed, options, steered)
    with few_threads(max(net.widths)):
        session = Session(net, problem, fixed, options, versions(), show, began)
    if not math.isfinite(session.bound):
        raise TooLargeError(TOO_LARGE)
    if tell is not None:
        estimated, checked, clock = 0.0 if plan is None else plan.estimated, session.seconds(), compile_seconds()

        def so_far() -> Result:
            compiling = compile_seconds() - clock
            return _result(session, Status.STOPPED, checked, compiling, estimated, interrupted_message())

        tell(so_far)
    session.size = 0 if plan is None else plan.size
    if start is not None:
        session.checkpoint.used = seconds_used(start)
        session.offer(start)
    setup, compiled = session.seconds(), compile_seconds()
    if plan is None:
        session.relaxation_value = session.bound
        status = _ended(lambda: _last_search(session, 0.0))
        return _result(session, status, setup, compile_seconds() - compiled, 0.0)
    before = start
    if start is None and options.warm_start is not None:
        before = options.warm_start.certificate
    status = _ended(lambda: _climb(session, plan, before))
    session.checkpoint.keep(session.certificate, is_last=True)
    return _result(session, status, setup, compile_seconds() - compiled, plan.estimated)


def bounded_at_once(net: Network, problem: Problem, fixed: Presolve, options: Options, message: str) -> Result:
    """What is proved before any solver begins, as a result that was STOPPED."""
    session = Session(net, problem, fixed, options, versions(), None, time.perf_counter())
    if not math.isfinite(session.bound):
        raise TooLargeError(TOO_LARGE)
    return _result(session, Status.STOPPED, session.seconds(), 0.0, 0.0, message)


def tell_at_once(
    net: Network, problem: Problem, known: Known, options: Options, start: Certificate | None
) -> None:
    """Tell what is proved before slopes are searched, and let a checkpoint have it."""
    session = Session(net, problem, bare(net, problem, known), options, versions(), None, time.perf_counter())
    if start is not None:
        session.offer(start)
    if math.isfinite(session.bound):
        if not (options.record.baseline or options.record.degree):
            offer_pass(session, known)
        tell(lambda: _result(session, Status.STOPPED, session.seconds(), 0.0, 0.0, interrupted_message()))


class Plan:
    """What is run, and about how many bytes that takes; the lifted problem and its stages are built when asked for.

    Raises:
        ValueError: it does not fit in memory, said before anything large is built.
    """

    def __init__(
        self, net: Network, problem: Problem, fixed: Presolve, options: Options, steered: Steered | None
    ):
        self.net, self.problem, self.fixed, self.options, self.steered = net, problem, fixed, options, steered
        record, sizes = options.record, Sizes.of(problem, fixed)
        self.size, is_other = sizes.N, problem.quantity == "lipschitz" and fixed.chains != LIFTINGS["lipsdp"]
        if record.degree is not None:
            self.estimated = check_krivine_memory(net, problem, record.degree)
            return
        if record.matrices:  # counted: `block_form` would take long to enumerate them
            refuse_many_moments(sizes)
        if is_tensored(problem, fixed):
            self.estimated = check_size(problem, fixed)
            return
        self.estimated = check_memory(options, sizes, self._of_lipsdp if is_other else None)

    def _of_lipsdp(self) -> Sizes:
        return Sizes.of(self.problem, presolve(self.net, self.problem, chains=LIFTINGS["lipsdp"]))

    @cached_property
    def lifting(self) -> Lifting:
        """The lifted problem."""
        return lift(self.net, self.problem, self.fixed)

    def on(self, fixed: Presolve) -> Plan:
        """The same by another lifting."""
        return Plan(self.net, self.problem, fixed, self.options, None)

    @cached_property
    def stages(self) -> list[Stage]:
        """What is solved, one after the other."""
        record = self.options.record
        if record.degree is not None:
            engine = krivine_engine(self.net, self.problem, record.degree)
            return [Stage(record, frozenset(), engine, HIGHS, self.options.tol)]
        options = self.options
        if beside(self.problem, options, self.fixed) is not None:  # the lifting xL follows, which has these and more
            options = replace(options, cuts=[name for name in options.planes if name not in WITH_X])
        return stages_of(self.lifting, options, self.steered)

    @property
    def proof(self) -> float:
        """About what a certificate takes, in seconds; rows that are eliminated cost nothing, and cuts couple all."""
        if self.options.record.cuts or self.options.record.degree is not None:
            return certificate_seconds(self.size)
        known = families_of(self.lifting)
        used = {name: np.zeros(known[name].shape) for name in self.stages[-1].families if name in known}
        return certificate_seconds(kept_rows(self.lifting, used, Middle))


def _ended(work: Callable[[], Status]) -> Status:
    """How a piece of work ended, whatever ended it: what is certified by then is the session's."""
    try:
        return work()
    except Stop as stop:
        return stop.status
    except KeyboardInterrupt:
        hear()
        return Status.STOPPED
    except (FloatingPointError, np.linalg.LinAlgError):
        return Status.NUMERICAL_ERROR


def _climb(session: Session, plan: Plan, before: Certificate | None) -> Status:
    """Cheap answers, the mixing method's bound, the stages, a last witness; each only where a gap is left."""
    options, status, work = session.options, Status.SOLVED, 0.0
    with session.timings.span("lower"):
        _search(session, QUICK)
    if not session.is_closed():
        is_lipschitz, lipsdp = session.problem.quantity == "lipschitz", None
        if is_lipschitz and not options.record.degree:
            with session.timings.span("solve"), np.errstate(all="ignore"):
                lipsdp = offer_lipsdp(session, plan.size, lambda: plan.lifting)
        if cases.close_at_once(session):  # some seconds, in which who interrupts it has LipSDP's bound
            return _last_search(session, work)
        session.report(session.iteration, math.nan, math.nan)
        if options.time_limit is not None:
            session.expect(plan.proof)
        if is_lipschitz and not options.record.degree:
            with session.timings.span("solve"), np.errstate(all="ignore"):
                first_bound(plan.lifting, session)
        given = {} if before is None else _starting_multipliers(session.net, before, plan.fixed, plan.lifting)
        multipliers = dict(given)
        session.keep_for_search(0.1 * session.remaining() if session.remaining() < math.inf else 0.0)
        if session.is_over():
            raise Stop(Status.TIME_LIMIT if session.iterations_left() > 0 else Status.ITERATION_LIMIT)
        for stage in plan.stages:
            if stage is not plan.stages[-1] and session.remaining() < plan.proof:
                continue  # not worth beginning
            session.engine = stage.method
            stage_of, iterations = session.stage(stage.relaxation.name, stage.tolerance), session.iteration
            # engines look at what comes out, whatever overflowed on the way
            with session.timings.span("solve"), stage_of, np.errstate(all="ignore"):
                start, V = stage.own(given if stage.is_afresh else multipliers), None
                if lipsdp is not None and before is None and stage.method == "lowrank":
                    start, V = stage.own(lipsdp.multipliers) | start, lipsdp.V
                status = stage.engine(session, start, V)
            work += engine_seconds(stage.method, plan.lifting.size, session.iteration - iterations)
            if status is Status.STOPPED or session.is_over():
                break
            if stage is not plan.stages[-1]:  # a relaxation's multipliers are those of a tighter one, too
                found = session.certificate
                multipliers |= _starting_multipliers(session.net, found, plan.fixed, plan.lifting)
        if status is not Status.STOPPED:
            for other in other_presolves(plan.net, plan.problem, plan.fixed, options, session.is_open):
                status = _beside(session, plan.on(other), before, status)
            if session.is_open() and cases.close_after(session, work):
                status = Status.SOLVED
        session.keep_for_search(0.0)
    if status is Status.STOPPED:  # whoever says so does not want to wait for a better witness
        return status
    return _last_search(session, work, status)


def _beside(session: Session, plan: Plan, before: Certificate | None, status: Status) -> Status:
    """A bound by another lifting in the time that is left, and how all has ended."""
    if session.is_over() or session.is_closed() or status is Status.STOPPED:
        return status
    stage, bound, value = plan.stages[-1], session.bound, session.relaxation_value
    before = session.certificate if plan.fixed.with_last else before  # what is found on the same domain is valid
    start = {} if before is None else _starting_multipliers(session.net, before, plan.fixed, plan.lifting)
    as_stage = session.stage(stage.relaxation.name, stage.tolerance)
    with session.on(plan.fixed), as_stage, session.timings.span("solve"), np.errstate(all="ignore"):
        ended = _ended(lambda: stage.engine(session, stage.own(start), None))
    if session.bound < bound:
        session.engine = stage.method
    else:
        session.relaxation_value = value
    return status if ended in (Status.SOLVED, Status.STALLED, Status.NUMERICAL_ERROR) else ended


def _last_search(session: Session, work: float, status: Status = Status.SOLVED) -> Status:
    """A witness beside the final bound, for as much as the bound has cost: `work`, in seconds by counted iterations."""
    if session.options.effort and not session.is_closed():
        if session.show is not None:
            session.show(session.record(), doing="bound final; searching a witness: ")
        with session.timings.span("lower"):
            _search(session, min(max(work, LEAST), MOST))
        if session.show is not None:
            session.show(session.record())
    return status


def _result(
    session: Session, status: Status, setup: float, compiling: float, estimated: float, message: str | None = None,
) -> Result:  # fmt: skip
    """The session's best; `message`: None for the status's own."""
    timings = dict.fromkeys(("setup", "compile", "solve", "certify", "lower"), 0.0) | session.timings.so_far()
    timings |= {"setup": setup, "compile": compiling, "peak_bytes": peak_bytes()}
    bound, gap = session.bound, relative_gap(session.bound, session.lower)
    if status is Status.STALLED and gap <= session.options.tol:
        status = Status.SOLVED  # nothing better is left to be found
    asked = description(session)
    if message is None:
        message = status.value
        if status is Status.STOPPED and is_interrupted():
            message = interrupted_message()
        elif status is Status.SOLVED:
            message = solved_message(gap > session.options.tol, session.options.effort > 0, session.has_witness)
    return Result(
        bound=bound,
        lower=session.lower,
        witness=session.witness if session.options.effort else None,
        relaxation_value=session.relaxation_value if bound != 0 else 0.0,
        gap=gap,
        status=status,
        message=message + session.checkpoint.note,
        certificate=session.certificate,
        iterations=session.iteration,
        history=session.arrays(),
        timings=timings,
        problem=asked | {"estimated_bytes": int(estimated)},
    )


def _search(session: Session, seconds: float) -> None:
    """Raise the session's lower bound by as many points as about take so many seconds, by the network's size alone."""
    left = session.remaining()
    if session.options.effort == 0 or left <= 0 or session.is_searched:
        return
    effort = effort_of(session.net, session.options, seconds, left)
    value, witness = searched(session.net, session.problem, session.options, effort, session.witness)
    session.is_searched = effort.is_complete
    if value > session.lower:
        session.lower, session.witness, session.has_witness = value, witness, True


def effort_of(net: Network, options: Options, seconds: float, left: float) -> Effort:
    """A search of so many seconds, told by points; `left` are those of the clock."""
    return Effort(net, options.effort * seconds / point_seconds(net), left)


def searched(
    net: Network, problem: Problem, options: Options, effort: Effort, start: Array | None
) -> tuple[float, Array]:
    """What is attained, and where, as far as the effort goes."""
    starts = np.zeros((0, net.widths[0])) if start is None else start[None]
    if problem.quantity == "maximum":
        from ..lower.values import climb_values as search
    else:
        from ..lower import search  # its linear programs make it the slowest import: not for those who do not wait

    return search(net, problem, effort=effort, seed=options.seed, starts=starts)


def _starting_multipliers(
    net: Network, earlier: Certificate, fixed: Presolve, lifting: Lifting
) -> dict[str, Array]:
    """An earlier certificate's multipliers, neuron by neuron and input by input, of the families of this problem."""
    claim = earlier.lipschitz_problem
    moved = transfer(earlier.multipliers, earlier.layout, claim.directions_of(net.widths[0]), lifting)
    return {name: values for name, values in moved.items() if np.isfinite(values).all()}
