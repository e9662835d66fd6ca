"""The command line: `hr2jax solve | certify | prove | verify | report | info | demo | selftest |
completion`.

Progress goes to stderr, the answer to stdout.
Decimals are exact here (numbers.py): the box that is certified contains the box that was asked for.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import Any

from ..options import CUT_NAMES, DEVICES, METHODS, Options
from ..relaxation.table import RELAXATIONS
from ..version import __version__
from . import certify as robustness
from . import prove as properties
from .answer import BAD, EXIT_CODES, INTERRUPTED, NO, NO_READER, YES, deliver, found
from .arguments import Parser, add_claim, add_network, add_workers, effort, nearest
from .completion import COMPLETION, COMPLETION_EXAMPLES, completion_command
from .info import INFO, info_command
from .report import REPORT, REPORT_EXAMPLES, report_command
from .selftest import SELFTEST, selftest_command
from .signals import Signals, listening
from .solve import SOLVE, SOLVE_EXAMPLES, solve_command
from .verify import VERIFY, VERIFY_EXAMPLES, verify_command

BAD_INPUT = (ValueError, NotImplementedError, OSError, ImportError, MemoryError)
# The same of modules that take a second to import, which `hr2jax --help` does not: where one is not there yet it has
# raised nothing.
REFUSED = (("hr2jax.certificate.certificate", "CertificateError"),)
BAD_STATE = (("hr2jax.arithmetic.enclosure", "UnsoundArithmeticError"), ("jax.errors", "JaxRuntimeError"))


def main(argv: Sequence[str] | None = None, ready: Callable[[], None] = lambda: None) -> int:
    """Run one command; returns its exit code (see EXIT_CODES).

    Args:
        argv: the words after `hr2jax`; None: this process's.
        ready: called when all that the command needs is imported, before it does anything and hears signals.
    """
    _open_streams()
    signals = Signals()
    with _log_on_stderr(), contextlib.ExitStack() as stack:

        def begin() -> None:
            ready()
            stack.enter_context(listening(signals))

        code = _answered(argv, signals, begin)
    return signals.code or code


def _answered(argv: Sequence[str] | None, signals: Signals, ready: Callable[[], None]) -> int:
    """The command's exit code where no signal comes."""
    try:
        try:
            return _run(argv, signals, ready)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _forget_stdout()
        return NO_READER
    except KeyboardInterrupt:
        return _complain("interrupted", "stopped before there was an answer", INTERRUPTED)
    except SystemExit as end:  # --help and --version
        return int(end.code or 0)
    except Exception as error:
        if _is_one(error, REFUSED):
            return _complain("not verified", error, NO)
        if isinstance(error, BAD_INPUT) or _is_one(error, BAD_STATE):
            return _complain("error", error, BAD)
        raise


def _open_streams() -> None:
    """/dev/null where stdin, stdout or stderr is closed: else the next file would take its number and what is said."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 (until the process ends)


@contextlib.contextmanager
def _log_on_stderr() -> Iterator[None]:
    """The library's messages, each on a line: progress as it is, the others after what they are."""
    log, handler = logging.getLogger("hr2jax"), logging.StreamHandler(sys.stderr)
    handler.format = _line  # type: ignore[method-assign]
    level, propagates = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        log.propagate = propagates


def _line(record: logging.LogRecord) -> str:
    text = record.getMessage()
    return text if record.levelno <= logging.INFO else f"hr2jax: {record.levelname.lower()}: {text}"


def _is_one(error: Exception, classes: Sequence[tuple[str, str]]) -> bool:
    known = ((sys.modules.get(module), name) for module, name in classes)
    return any(module is not None and isinstance(error, getattr(module, name)) for module, name in known)


def _run(argv: Sequence[str] | None, signals: Signals, ready: Callable[[], None]) -> int:
    parser = _parser()
    arguments, unknown = parser.parse_known_args(_joined(sys.argv[1:] if argv is None else argv))
    if unknown:
        near = nearest(parser, unknown[0]) if unknown[0].startswith("-") else ""
        raise ValueError(f"unrecognized arguments: {' '.join(unknown)}{near} (try hr2jax {arguments.command} --help)")
    for module in arguments.needs:
        import_module(module, __package__)
    ready()
    arguments.signals = signals
    code: int = arguments.run(arguments)
    return code


def _joined(argv: Sequence[str]) -> list[str]:
    """`--clip -1,1` (or `--center`) as `--clip=-1,1`: argparse takes what begins with a minus sign for an option.

    Raises:
        ValueError: a word such as `--plot=--`, of which Python 3.11's argparse makes an empty list.
    """
    out: list[str] = []
    for word in argv:
        if re.fullmatch("--[^=]+=--", word):
            raise ValueError(f"argument {word.partition('=')[0]}: expected one argument, but -- was given")
        if out and out[-1] in ("--clip", "--center") and word[:1] == "-" and re.match(r"[.0-9]|inf|nan", word[1:]):
            out[-1] = f"{out[-1]}={word}"
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


def _certify(arguments: argparse.Namespace) -> int:
    outputs = robustness.outputs(arguments)
    report = found(arguments.signals, lambda: robustness.run(arguments))
    return deliver(report, outputs, robustness.write)


def _demo(arguments: argparse.Namespace) -> int:
    from .demo import run_demo

    run_demo(sys.stdout)
    return YES


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser(
        prog="hr2jax",
        formatter_class=raw,
        allow_abbrev=False,
        description="Certified upper bounds of Lipschitz constants of neural networks.\n"
        "Progress goes to stderr, the answer to stdout.",
        epilog=f"{EXIT_CODES}\n{PROGRAMS}\nNew here? hr2jax demo needs no file.",
    )
    parser.add_argument("--version", action="version", version=f"hr2jax {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(
        name: str, run: Any, needs: Sequence[str], brief: str, description: str, epilog: str = ""
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(
            name, help=brief, description=description, epilog=epilog, formatter_class=raw, allow_abbrev=False
        )
        added.set_defaults(run=run, needs=needs)
        return added

    p = command("solve", solve_command, ("..api", "..reading", ".numbers"),
                "a certified upper bound of a Lipschitz constant", SOLVE, SOLVE_EXAMPLES)  # fmt: skip
    add_network(p)
    add_claim(p)
    p.add_argument("--relaxation", default=Options.relaxation, metavar="NAME",
                   help=f"{', '.join(RELAXATIONS)} (default %(default)s); tighter ones take longer; "
                        "best climbs")  # fmt: skip
    p.add_argument("--cuts", metavar="NAMES",
                   help=f"cutting planes of hr2+ and best, among {','.join(CUT_NAMES)} (default all)")  # fmt: skip
    p.add_argument("--method", default=Options.method, metavar="NAME",
                   help=f"the solver: {', '.join(METHODS)} (default %(default)s)")  # fmt: skip
    p.add_argument("--tol", type=float, default=Options.tol, metavar="T",
                   help="stop when bound - relaxation optimum <= T * bound, by estimate "
                        "(default %(default)g)")  # fmt: skip
    p.add_argument("--time-limit", type=float, metavar="S",
                   help="seconds; the best certified bound by then is the answer (what must "
                        "be compiled first may take some seconds more)")  # fmt: skip
    p.add_argument("--max-iterations", type=int, metavar="N", help="iterations of the solver; likewise")
    p.add_argument("--witness", type=effort, default=Options.witness, metavar="EFFORT",
                   help="of the search for a point that attains the lower bound: 0 none, 2 twice as many points as "
                        "auto, which is meant to take less time than the bound (default %(default)s)")  # fmt: skip
    p.add_argument("--device", choices=DEVICES, help="where the solver runs (default: JAX's choice)")
    p.add_argument("--devices", type=int, metavar="N", help="divide the rows of lowrank's factor among so many of them")
    p.add_argument("--seed", type=int, default=Options.seed, metavar="N",
                   help="of every random choice (default %(default)s)")  # fmt: skip
    p.add_argument("--pairs", action="store_true", help="F_K - F_J for all pairs of outputs, as a table")
    add_workers(p, "the --pairs")
    p.add_argument("--certificate", metavar="OUT.npz", help="write the proof, for hr2jax verify; of --pairs a folder")
    p.add_argument("--json", metavar="OUT.json", help="write the result and its history")
    p.add_argument("--plot", metavar="OUT.png", help='draw bounds against seconds (.png, .pdf, .svg; needs matplotlib)')
    p.add_argument("--checkpoint", metavar="FILE", help="keep the best certificate here while solving; resume from it")
    p.add_argument("--quiet", action="store_true", help="no progress on stderr")

    p = command("certify", _certify, ("..robustness.run", "..reading"),
                "robustness of a classifier on a set of inputs", robustness.DESCRIPTION,
                f"{robustness.EXAMPLES}{EXIT_CODES}")  # fmt: skip
    robustness.add_arguments(p)
    p = command("prove", properties.prove_command, ("..proving.prove", "..reading"),
                "a property of a network: verified, violated or unknown", properties.PROVE,
                properties.PROVE_EXAMPLES)  # fmt: skip
    properties.add_arguments(p)

    p = command("verify", verify_command, ("..certificate.certificate", "..reading", ".numbers"),
                "prove a certificate's bound again", VERIFY, VERIFY_EXAMPLES)  # fmt: skip
    p.add_argument("certificate", metavar="CERT.npz", help="a certificate, from solve --certificate, a proof, from "
                                                           "prove --proof, or a folder of certificates")  # fmt: skip
    add_network(p)
    add_claim(p)
    where = p.add_mutually_exclusive_group()
    where.add_argument("--global", action="store_true", dest="is_global", help="the claim must hold everywhere")
    where.add_argument("--local", action="store_true", dest="is_local", help="the claim must be about a domain")
    p.add_argument("--quantity", choices=("lipschitz", "maximum"),
                   help="the claim must be about a Lipschitz constant, or the largest value of f")  # fmt: skip
    p.add_argument("--property", metavar="FILE", help="of a proof: it must be of just this VNN-LIB file's property")
    p.add_argument("--arithmetic", choices=("float", "ball"), default="float",
                   help='float64 with proved error bounds, or arbitrary precision (slow)')  # fmt: skip
    p.add_argument("--workers", type=int, metavar="N",
                   help="processes that share a folder, by Dask (default: a core each if it has many)")  # fmt: skip

    p = command("report", report_command, ("..page.choose",), "a result as a page of HTML", REPORT, REPORT_EXAMPLES)
    p.add_argument("result", metavar="RESULT.json", help="from --json of solve, certify or prove")
    p.add_argument("-o", "--out", required=True, metavar="PAGE.html", help="the page to write")

    p = command("info", info_command, ("..engines.memory", "..reading"), "what a network file holds", INFO,
                "examples:\n  hr2jax info model.npz\n  hr2jax info model.onnx --input x.npy\n")  # fmt: skip
    add_network(p)
    p.add_argument("--input", metavar="FILE", help=".npy, .npz, .csv or .txt: p_0 numbers (or n x p_0), of which F is "
                                                   "printed")  # fmt: skip
    command("demo", _demo, (".demo",), "the embedded example: no file needed", _DEMO, "example:\n  hr2jax demo\n")
    command("selftest", selftest_command, ("..certificate.certificate", "..api"),
            "whether this machine's arithmetic is fit for proofs", SELFTEST,
            "example:\n  hr2jax selftest\n")  # fmt: skip
    p = command("completion", completion_command, (), "completion of commands and options in a shell", COMPLETION,
                COMPLETION_EXAMPLES)  # fmt: skip
    p.add_argument("shell", choices=("bash", "zsh", "tcsh"))
    p.set_defaults(parser=parser)
    return parser


PROGRAMS = """Programs that JAX has compiled are kept on disk, for the next command: in the user's folder of caches, or
where HR2JAX_CACHE says ("off": nowhere), or JAX_COMPILATION_CACHE_DIR.
"""
_DEMO = """Certify a classifier of handwritten digits that ships with the package: one output and one margin
everywhere, then all margins around one digit, and what that says about the digit. Under a minute.
"""
