"""The command line: `hr2jax solve | certify | verify | info | demo`. Progress goes to stderr, the answer to stdout.

Decimals are exact here (decimals.py): the box that is certified contains the box that was asked for.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from jax.errors import JaxRuntimeError

from .api import solve
from .certificate import Certificate, CertificateError, baseline
from .decimals import box
from .enclosure import Array, UnsoundArithmeticError
from .files import refusal
from .io import load
from .memory import Sizes, estimate
from .network import Network
from .options import CUTS, METHODS, RELAXATIONS
from .presolve import presolve
from .problem import LipschitzProblem, lipschitz_problem
from .report import domain_text, output_text, table, upper_text, widths_text
from .result import Result
from .robustness import command as robustness
from .version import __version__

YES, NO, BAD, INTERRUPTED, NO_READER = 0, 1, 2, 130, 141

# A stated bound this much below what its certificate proves is wrong, not rounded differently.
ROUNDING = Fraction(1, 10**9)

# Outputs whose bound `info` shows.
SHOWN_OUTPUTS = 10

BAD_INPUT = (
    ValueError, NotImplementedError, OSError, ImportError, MemoryError, UnsoundArithmeticError, JaxRuntimeError,
)  # fmt: skip

EXIT_CODES = """exit codes:
  0    a certified bound, also when a limit or Ctrl-C ended the solve
  1    the answer is no: a certificate that does not verify
  2    bad usage or bad input, in one line on stderr
  130  Ctrl-C before there was any bound
  141  nobody reads the output any more (a closed pipe)
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code (see EXIT_CODES)."""
    try:
        try:
            return _run(argv)
        finally:
            sys.stdout.flush()
    except CertificateError as error:
        return _complain("not verified", error, NO)
    except BrokenPipeError:
        _forget_stdout()
        return NO_READER
    except BAD_INPUT as error:
        return _complain("error", error, BAD)
    except KeyboardInterrupt:
        return _complain("interrupted", "stopped before there was an answer", INTERRUPTED)
    except SystemExit as end:  # --help and --version
        return int(end.code or 0)


def _run(argv: Sequence[str] | None) -> int:
    arguments, unknown = _parser().parse_known_args(_joined(sys.argv[1:] if argv is None else argv))
    if unknown:
        raise ValueError(f"unrecognized arguments: {' '.join(unknown)} (try hr2jax {arguments.command} --help)")
    code: int = arguments.run(arguments)
    return code


def _joined(argv: Sequence[str]) -> list[str]:
    """`--clip -1,1` as `--clip=-1,1`: argparse takes what begins with a minus sign for an option."""
    out: list[str] = []
    for word in argv:
        if out and out[-1] == "--clip" and word[:1] == "-" and re.match(r"[.0-9]|inf|nan", word[1:]):
            out[-1] = f"--clip={word}"
        else:
            out.append(word)
    return out


def _complain(kind: str, error: BaseException | str, code: int) -> int:
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = ": ".join(str(part) for part in (error.filename, error.strerror) if part)
    elif isinstance(error, MemoryError):
        text = f"not enough memory for a problem of this size. {text}"
    print(f"hr2jax: {kind}: {' '.join(text.split()) or type(error).__name__}", file=sys.stderr)
    return code


def _forget_stdout() -> None:
    """Python flushes stdout once more on the way out, which would complain about the closed pipe."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


# --- commands ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def _kill_is_interrupt() -> Iterator[None]:
    """SIGTERM stops a solve as Ctrl-C does: the best bound so far is printed. The first of them is answered at once."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    heard = False

    def announce() -> None:
        nonlocal heard
        if not heard:
            heard = True
            # not by print: it may have been interrupted while it held its lock
            os.write(2, b"\nhr2jax: stopping, once the running step has ended (again: at once)\n")

    def stop(number: int, frame: Any) -> None:
        announce()
        signal.default_int_handler(number, frame)

    stop.announce = announce  # type: ignore[attr-defined]  # see interrupts.undisturbed
    # a signal that is ignored (nohup, a script's &) stays so
    before = {n: h for n in (signal.SIGTERM, signal.SIGINT) if (h := signal.getsignal(n)) not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _solve(arguments: argparse.Namespace) -> int:
    net = load(arguments.network)
    center, radius = box(arguments.center, arguments.radius, arguments.norm)
    outputs = _outputs(arguments)
    with _kill_is_interrupt(), warnings.catch_warnings():
        warnings.showwarning = _warn
        warnings.filterwarnings("always", "checkpoint ", RuntimeWarning)  # python -W error must not lose the answer
        result = solve(
            net,
            output=arguments.output,
            norm=arguments.norm,
            center=center,
            radius=radius,
            relaxation=arguments.relaxation,
            method=arguments.method,
            tol=arguments.tol,
            time_limit=arguments.time_limit,
            max_iterations=arguments.max_iterations,
            device=arguments.device,
            seed=arguments.seed,
            progress=not arguments.quiet,
            checkpoint=arguments.checkpoint,
            cuts=None if arguments.cuts is None else [name for name in arguments.cuts.split(",") if name],
        )
    return _answer(result, outputs, _write)


def _certify(arguments: argparse.Namespace) -> int:
    outputs = robustness.outputs(arguments)
    with _kill_is_interrupt():
        report = robustness.run(arguments)
    return _answer(report, outputs, robustness.write)


def _answer(answer: Any, outputs: dict[str, Path], write: Callable[[Any, str, Path], None]) -> int:
    """Write the files, print the answer; a file that cannot be written is said after it."""
    failures = []
    try:
        for name, path in outputs.items():
            try:
                write(answer, name, path)
            except Exception as error:  # the answer is worth more than one of its files
                reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
                failures.append(f"--{name} {path} could not be written: {reason}")
    finally:  # also when Ctrl-C ends the writing
        print(answer)
    if failures:
        raise ValueError("; ".join(failures))
    return YES


def _write(result: Result, name: str, path: Path) -> None:
    if name == "certificate":
        result.certificate.save(path)
    elif name == "json":
        result.to_json(path)
    else:
        from .plot import plot_result

        plot_result(result, path)


def _warn(message: Warning | str, *_: object, **__: object) -> None:
    print(f"hr2jax: warning: {message}", file=sys.stderr)


def _verify(arguments: argparse.Namespace) -> int:
    net = load(arguments.network)
    with open(arguments.certificate, "rb"):  # what cannot be read is bad input; what is no certificate is a no
        pass
    certificate = Certificate.load(arguments.certificate)
    center, radius = box(arguments.center, arguments.radius, arguments.norm)
    proven = certificate.verify(
        net,
        output=arguments.output,
        norm=arguments.norm,
        center=center,
        radius=radius,
        arithmetic=arguments.arithmetic,
    )
    stated = Fraction(certificate.bound)
    if Fraction(proven) > stated + ROUNDING * abs(stated):
        raise CertificateError(
            f"the certificate states the bound {certificate.bound!r}, but it proves only {proven!r}"
        )
    claim = certificate.lipschitz_problem
    radii = None if claim.radius is None else claim.radius.tolist()
    f, text = output_text(claim.coefficients.tolist()), upper_text(proven)
    rows = [
        ("verified", _statement(claim, text)),
        ("proven bound", f"{text}   ({arguments.arithmetic} arithmetic; {upper_text(certificate.bound)} is stated)"),
        ("function", f"f = {f} of the network {widths_text(net.widths)}"),
        ("network hash", certificate.network_hash),
        ("domain", domain_text(radii)),
        ("norm", f"{claim.norm} on the input"),
        ("relaxation", f"{certificate.relaxation} (where the multipliers came from; the proof does not rest on it)"),
    ]
    if claim.center is not None:
        rows.insert(5, ("center", _few(claim.center)))
    print(table(rows))
    return YES


def _statement(claim: LipschitzProblem, bound: str) -> str:
    """What a certificate proves, as an inequality and where it holds."""
    box = claim.norm == "inf"
    domain = " in the domain " + ("|x_i - center_i| <= radius_i" if box else "||x - center||_2 <= radius")
    where = "" if claim.center is None else domain
    if claim.quantity == "maximum":
        return f"f(x) <= {bound} for all x{where}"
    distance = "max_i |x_i - y_i|" if box else "||x - y||_2"
    return f"|f(x) - f(y)| <= {bound} {distance} for all x, y{where}"


def _info(arguments: argparse.Namespace) -> int:
    net = load(arguments.network)
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
    problem = lipschitz_problem(net, 0)
    with contextlib.suppress(ValueError), np.errstate(all="ignore"):  # bounds that overflow: there is nothing to solve
        needed = sum(estimate("hr2", "auto", Sizes.of(problem, presolve(net, problem))))
        rows.append(("memory", f"about {needed / 1e9:.1f} GB to solve hr2 globally"))
    for k in range(min(net.widths[-1], SHOWN_OUTPUTS)):
        bound = bound_without_solver(net, lipschitz_problem(net, k))
        rows.append((f"F_{k}", f"<= {upper_text(bound)}   (global, norm inf, no solver; hr2jax solve improves it)"))
    if net.widths[-1] > SHOWN_OUTPUTS:
        rows.append(("...", f"{net.widths[-1] - SHOWN_OUTPUTS} more outputs"))
    print(table(rows))
    return YES


def bound_without_solver(net: Network, problem: LipschitzProblem) -> float:
    """What interval arithmetic or norm products prove, rounded up; infinity where that overflows."""
    with np.errstate(all="ignore"):
        # no chains: the sizes of derivatives are not needed
        return baseline(net, problem, presolve(net, problem, chains=()))


def _demo(arguments: argparse.Namespace) -> int:
    from .demo import run_demo

    run_demo(sys.stdout)
    return YES


def _few(values: Array) -> str:
    return np.array2string(values, threshold=6, edgeitems=3, max_line_width=10**6)


# --- what is given ----------------------------------------------------------------------------------


def _outputs(arguments: argparse.Namespace) -> dict[str, Path]:
    """The files to write, refused now rather than after an hour of solving."""
    outputs = {
        name: Path(path)
        for name in ("certificate", "json", "plot")
        if (path := getattr(arguments, name)) is not None
    }
    taken = {os.path.realpath(path) for path in (arguments.network, arguments.center, arguments.checkpoint) if path}
    if os.path.exists(arguments.radius or ""):
        taken.add(os.path.realpath(arguments.radius))
    for name, path in outputs.items():
        if reason := refusal(path):
            raise ValueError(f"--{name} {path} cannot be written: {reason}")
        if os.path.realpath(path) in taken:
            raise ValueError(f"--{name} {path} would overwrite another file of this command")
        taken.add(os.path.realpath(path))
    if "plot" in outputs:
        from .plot import check_plot

        check_plot(outputs["plot"])
    return outputs


# --- usage ------------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message} (try {self.prog} --help)")


def _output(text: str) -> int | tuple[int, int]:
    numbers = [int(part) for part in text.split(",")]
    if len(numbers) > 2:
        raise ValueError
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])


_output.__name__ = "K or K,J"  # argparse names it in its message


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = _Parser(
        prog="hr2jax",
        formatter_class=raw,
        allow_abbrev=False,
        description="Certified upper bounds of Lipschitz constants of ReLU networks.\n"
        "Progress goes to stderr, the answer to stdout.",
        epilog=EXIT_CODES + "\nNew here? hr2jax demo needs no file.",
    )
    parser.add_argument("--version", action="version", version=f"hr2jax {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, run: Any, brief: str, description: str, epilog: str = "") -> argparse.ArgumentParser:
        added = commands.add_parser(
            name, help=brief, description=description, epilog=epilog, formatter_class=raw, allow_abbrev=False
        )
        added.set_defaults(run=run)
        return added

    p = command("solve", _solve, "a certified upper bound of a Lipschitz constant", _SOLVE, _SOLVE_EXAMPLES)
    _network(p)
    _claim(p)
    p.add_argument("--relaxation", default="hr2", metavar="NAME",
                   help=f"{', '.join(RELAXATIONS)} (default hr2); tighter ones take longer; best climbs")  # fmt: skip
    p.add_argument("--cuts", metavar="NAMES",
                   help=f"cutting planes of hr2+ and best, among {','.join(CUTS)} (default all)")  # fmt: skip
    p.add_argument("--method", default="auto", metavar="NAME", help=f"the solver: {', '.join(METHODS)} (default auto)")
    p.add_argument("--tol", type=float, default=1e-3, metavar="T",
                   help="stop when bound - relaxation optimum <= T * bound, by estimate (default 1e-3)")  # fmt: skip
    p.add_argument("--time-limit", type=float, metavar="S",
                   help="seconds; the best certified bound by then is the answer (what must "
                        "be compiled first may take some seconds more)")  # fmt: skip
    p.add_argument("--max-iterations", type=int, metavar="N", help="iterations of the solver; likewise")
    p.add_argument("--device", choices=("cpu", "gpu"), help="where the solver runs (default: JAX's choice)")
    p.add_argument("--seed", type=int, default=0, metavar="N", help="of every random choice (default 0)")
    p.add_argument("--certificate", metavar="OUT.npz", help="write the proof, for hr2jax verify")
    p.add_argument("--json", metavar="OUT.json", help="write the result and its history")
    p.add_argument("--plot", metavar="OUT.png", help='draw bounds against seconds (.png, .pdf, .svg; "hr2jax[plot]")')
    p.add_argument("--checkpoint", metavar="FILE", help="keep the best certificate here while solving; resume from it")
    p.add_argument("--quiet", action="store_true", help="no progress on stderr")

    p = command("verify", _verify, "prove a certificate's bound again", _VERIFY, _VERIFY_EXAMPLES)
    p.add_argument("certificate", metavar="CERT.npz", help="a certificate, from solve --certificate")
    _network(p)
    _claim(p)
    p.add_argument("--arithmetic", choices=("float", "ball"), default="float",
                   help='float64 with proved error bounds, or arbitrary precision (slow; "hr2jax[ball]")')  # fmt: skip

    p = command("info", _info, "what a network file holds", _INFO, "example:\n  hr2jax info model.npz\n")
    _network(p)
    command("demo", _demo, "the embedded example: no file needed", _DEMO, "example:\n  hr2jax demo\n")
    p = command("certify", _certify, "robustness of a classifier on a set of inputs", robustness.DESCRIPTION,
                f"{robustness.EXAMPLES}{EXIT_CODES}")  # fmt: skip
    robustness.add_arguments(p)
    return parser


def _network(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("network", metavar="NET", help=robustness.NETWORK_HELP)


def _claim(parser: argparse.ArgumentParser) -> None:
    only = "; the certificate must be about just this" if parser.prog.endswith("verify") else ""
    parser.add_argument("--output", type=_output, metavar="K|K,J",
                        help=f"F_K, or the difference F_K - F_J; counted from 0{only}")  # fmt: skip
    parser.add_argument("--norm", default=None if only else "inf", metavar="inf|2", help=f"norm on the input{only}")
    parser.add_argument("--center", metavar="FILE", help=f".npy, .npz, .csv or .txt: p_0 numbers, with --radius{only}")
    parser.add_argument("--radius", metavar="R", help="half-width of the box around the center (norm 2: radius of the "
                        f"ball), in the units of the input; a number, or a file of p_0 numbers{only}")  # fmt: skip


_SOLVE = """Prove an upper bound of the Lipschitz constant of one output f of the network:
    |f(x) - f(y)| <= bound * max_i |x_i - y_i|
for all x, y, or, with --center and --radius, for all x, y in the box |x_i - center_i| <= R. With --norm 2
distances are Euclidean, and the domain is the ball ||x - center||_2 <= R.
The bound is proved in rounding-safe arithmetic, whatever the solver did and whenever it was stopped
(Ctrl-C stops it with the best bound so far).

R is in the units of the network's input: for pixels in 0..1, R = 0.05 is 5 % of the range.
Decimals are taken exactly: R and the center's rounding are rounded up, so the box proved contains yours.

Printed: the certified bound (rounded up), an attained lower bound (rounded down), the gap between
them, why the solver stopped, and where the seconds went.
"""
_SOLVE_EXAMPLES = f"""examples:
  hr2jax solve model.npz --output 3                              global constant of F_3
  hr2jax solve model.npz --output 3,5 --center x.npy --radius 0.05
                                                                 of F_3 - F_5 around x
  hr2jax solve model.npz --certificate bound.cert.npz --json bound.json --plot bound.png
  hr2jax solve model.npz --relaxation shor --time-limit 60       looser, sooner
  hr2jax solve model.npz --relaxation best --time-limit 600      the tightest in ten minutes

{EXIT_CODES}"""
_VERIFY = """Prove a certificate's bound again, from the network's weights and the certificate's multipliers alone;
nothing of the solver is used or trusted. Printed: "verified", the bound proved here (rounded up), and
the claim in words: function, network, domain, norm. Read the claim: it is what was proved.
With --output, --norm, --center or --radius the claim must be just that.
"""
_VERIFY_EXAMPLES = f"""examples:
  hr2jax verify bound.cert.npz model.npz
  hr2jax verify bound.cert.npz model.npz --output 3,5 --center x.npy --radius 0.05
  hr2jax verify bound.cert.npz model.npz --arithmetic ball

{EXIT_CODES}"""
_INFO = """Printed: widths, number of parameters, the hash that certificates carry, the range of the weights,
and a certified bound of each output that needs no solver.
"""
_DEMO = """Certify a classifier of handwritten digits that ships with the package: one output and one margin
everywhere, then all margins around one digit, and what that says about the digit. Under a minute.
"""
