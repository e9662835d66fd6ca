"""`hr2jax prove`, and `hr2jax verify` of a proof."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..options import DEVICES, Options
from .answer import NO, UNKNOWN, YES, checked_outputs, deliver, found
from .arguments import add_network, network

if TYPE_CHECKING:
    from ..network import Network
    from ..proof.proof import Proof

CODES = {"verified": YES, "violated": NO, "unknown": UNKNOWN}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything after `hr2jax prove`."""
    add = parser.add_argument
    add_network(parser)
    add("property", metavar="PROPERTY.vnnlib", help="the property: VNN-LIB 1.0 or 2.0, also compressed (.gz)")
    add("--time-limit", type=float, metavar="S",
        help="seconds; what is not decided by then is unknown (compilations may take some more)")  # fmt: skip
    add("--tol", type=float, default=Options.tol, metavar="T",
        help="of the bounds, as for hr2jax solve (default %(default)g)")  # fmt: skip
    add("--exact", action="store_true", help="branch and bound: not built yet")
    add("--proof", metavar="OUT.npz", help="write the proof, for hr2jax verify")
    add("--counterexample", metavar="OUT.txt", help="write the answer as VNN-COMP asks for it: sat and the "
        "counterexample, unsat, or unknown")  # fmt: skip
    add("--json", metavar="OUT.json", help="write the verdict, the witness and what proved each case")
    add("--device", choices=DEVICES, help="where the solver runs (default: JAX's choice)")
    add("--seed", type=int, default=Options.seed, metavar="N", help="of every random choice (default %(default)s)")
    add("--quiet", action="store_true", help="no progress on stderr")


def prove_command(arguments: argparse.Namespace) -> int:
    """Prove, write the files asked for, print the verdict."""
    from ..proving.prove import prove

    names = ("proof", "counterexample", "json")
    outputs = {name: Path(path) for name in names if (path := getattr(arguments, name)) is not None}
    outputs = checked_outputs(outputs, (arguments.network, arguments.property))
    net = network(arguments)
    proof = found(
        arguments.signals,
        lambda: prove(
            net,
            arguments.property,
            time_limit=arguments.time_limit,
            tol=arguments.tol,
            exact=arguments.exact,
            progress=not arguments.quiet,
            device=arguments.device,
            seed=arguments.seed,
        ),
    )
    deliver(proof, outputs, _write)
    return CODES[str(proof.verdict)]


def _write(proof: Proof, name: str, path: Path) -> None:
    if name == "proof":
        proof.save(path)
    elif name == "json":
        proof.to_json(path)
    else:
        from ..machine.files import written

        written(proof.counterexample, path, end="")


def verify_proof(arguments: argparse.Namespace, net: Network) -> int:
    """Prove a proof's verdict again and print it."""
    from ..certificate.errors import CertificateError
    from ..proof.proof import Proof, Verdict
    from ..text import table

    asked = ("output", "norm", "output_norm", "center", "radius", "quantity")
    given = [name for name in asked if getattr(arguments, name) is not None]
    if given or arguments.is_global or arguments.is_local or arguments.arithmetic != "float":
        raise ValueError("the file is a proof of a property, of which only --property can be asked")
    proof = Proof.load(arguments.certificate)
    verdict = proof.verify(net, arguments.property)
    if verdict is Verdict.UNKNOWN:
        raise CertificateError("the proof's verdict is unknown, so that there is nothing to verify")
    whose = arguments.property or "the property in the proof (--property FILE demands that it is FILE's)"
    sentence = "no input meets its conditions" if verdict is Verdict.VERIFIED else "the witness meets its conditions"
    rows = [("verified", f"{verdict}: {sentence}"), ("property", whose), ("network hash", net.hash)]
    name = proof.problem.get("property")
    if isinstance(name, str) and arguments.property is None:
        rows[2:2] = [("called", " ".join(name.split())[:200])]
    print(table(rows))
    return YES


PROVE = """Decide a property of the network in a VNN-LIB file, which asks for a counterexample: an input x within bounds
whose output F(x) meets conditions. The answer is
    verified   it is proved that there is none
    violated   here is one: the witness, checked in exact arithmetic (by enclosures where the network is smooth)
    unknown    neither was found
Linear bounds come first, then the relaxation of `hr2jax.maximum`, hr2 and hr2+, beside a search for a counterexample.

Conditions are <=, <, >=, >, ==, != between linear expressions in inputs and outputs, joined by and, or; every input
needs bounds, in the units of the network's input, which may differ from one part of an or to the next. Decimals are
taken exactly. Statements are about the network in real arithmetic. More: docs/prove.md.
"""
PROVE_EXAMPLES = """examples:
  hr2jax prove model.onnx property.vnnlib
  hr2jax prove model.onnx property.vnnlib.gz --time-limit 60 --proof p.npz
  hr2jax verify p.npz model.onnx --property property.vnnlib.gz
  hr2jax prove model.onnx property.vnnlib --counterexample answer.txt

exit codes:
  0    verified
  1    violated, the witness is printed
  2    bad usage or bad input, in one line on stderr
  3    unknown
  130  Ctrl-C; 143 SIGTERM; 141 nobody reads the output any more (a closed pipe)
"""
