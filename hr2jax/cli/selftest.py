"""`hr2jax selftest`: what a new machine must do right for a proof to be one, tried in seconds."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from .answer import NO, YES

if TYPE_CHECKING:
    from ..certificate.certificate import Certificate
    from ..network import Network
    from ..result import Result


def selftest_command(arguments: argparse.Namespace) -> int:
    """Run the checks and print a line for each; 0 where all passed."""
    return YES if run_checks(sys.stdout) else NO


def run_checks(out: TextIO) -> bool:
    """Run every check in turn, print what it saw; whether all passed."""
    from ..text import table
    from ..version import versions

    began = time.perf_counter()
    print(table([(name, version) for name, version in versions().items()]), file=out)
    failed = 0
    for name, check in CHECKS:
        since = time.perf_counter()
        try:
            seen, word = check(), "ok"
        except Exception as error:  # whatever goes wrong here is the answer
            seen, word = " ".join(f"{type(error).__name__}: {error}".split()), "FAILED"
            failed += 1
        print(f"{word:<7} {name:<15} {time.perf_counter() - since:5.2f} s  {seen}", file=out, flush=True)
    seconds = f"({time.perf_counter() - began:.1f} s)"
    if failed:
        print(f"{failed} of {len(CHECKS)} checks failed: this machine's proofs may be none {seconds}.", file=out)
    else:
        print(f"All {len(CHECKS)} checks passed {seconds}.", file=out)
    return not failed


class Fault(Exception):
    """What a check found."""


# --- arithmetic -------------------------------------------------------------------------------------


def rounding() -> str:
    """NumPy and BLAS round to nearest."""
    return _no_fault("round to nearest", "NumPy and BLAS, in all of its threads, round to nearest")


def subnormals() -> str:
    """Neither flushes subnormal numbers to 0."""
    return _no_fault("subnormal", "gradual underflow in NumPy and in BLAS")


def _no_fault(word: str, seen: str) -> str:
    from ..arithmetic.enclosure import arithmetic_faults

    for text, is_there in arithmetic_faults().items():
        if is_there and word in text:
            raise Fault(text)
    return seen


# Sides of matrices: BLAS takes different paths for small, odd and large ones.
SIDES = (7, 64, 193, 512)


def blas() -> str:
    """Products that are exact in float64 are: sums in any order are allowed, Strassen's algorithm is not."""
    import numpy as np
    import threadpoolctl

    rng = np.random.default_rng(0)
    for n in SIDES:
        whole = rng.integers(-(2**20), 2**20, (2, n, n))
        # entries of one product lie 2^-80 apart from the others': differences of blocks would lose them
        scale = np.where(np.arange(n) < n // 2, 1.0, 2.0**-40)
        a, b = whole[0] * scale[:, None], whole[1] * scale
        exact = (whole[0] @ whole[1]).astype(np.float64) * scale[:, None] * scale
        if not (np.array_equal(a @ b, exact) and np.array_equal((b.T @ a.T).T, exact)):
            raise Fault(f"products of {n} x {n} matrices that float64 holds exactly come out wrong")
    found = {
        f"{pool['internal_api']} {pool.get('version') or ''} {pool.get('architecture') or ''}".strip()
        for pool in threadpoolctl.threadpool_info()
        if pool["user_api"] == "blas"
    }
    return f"exact products are exact ({', '.join(sorted(found)) or 'BLAS of unknown name'}, {os.cpu_count()} cores)"


def balls() -> str:
    """python-flint encloses: what the tangents of smooth activations and `--arithmetic ball` rest on."""
    import flint

    one = flint.arb(1)
    if not ((4 * one.atan()).contains(flint.arb.pi()) or (4 * one.atan()).overlaps(flint.arb.pi())):
        raise Fault("python-flint's 4 atan(1) and pi have no number in common")
    if not (one / 3 * 3).contains(one):
        raise Fault("python-flint's 3 (1/3) does not contain 1")
    return f"python-flint {flint.__version__} encloses"


# --- proofs -----------------------------------------------------------------------------------------


def network() -> Network:
    """4-6-2, small integers: what is true of it is counted in exact integers."""
    from ..network import Network

    A = [[3, -1, 2, 0], [1, 2, -2, 1], [-2, 1, 1, 3], [0, 3, -1, -2], [2, 2, 1, -1], [-1, 0, 3, 2]]
    C = [[2, -1, 1, 3, -2, 1], [-1, 2, 2, -1, 1, -3]]
    return Network([A, C], [[1, 0, -1, 2, 0, 1], [0, 1]])


def truth() -> int:
    """The largest 1-norm of A^T D(u) c over all patterns u of `network`'s F_0 - F_1: what its global bounds bound."""
    import numpy as np

    net = network()
    A, C = (np.asarray(weight).astype(np.int64) for weight in net.weights)
    patterns = np.arange(2 ** len(A))[:, None] >> np.arange(len(A)) & 1
    return int(np.abs((patterns * (C[0] - C[1])) @ A).sum(axis=1).max())


@cache
def solved() -> Result:
    """A bound of F_0 - F_1 over all patterns (`truth`), by a solver that is compiled by nobody; once for all checks."""
    from ..api import solve

    return solve(network(), output=(0, 1), relaxation="hr2+", lifting="forward")  # else cases know which patterns occur


def bound() -> str:
    """The certified bound holds, and what is said to be attained is not above it."""
    from ..text import lower_text, upper_text

    result, exact = solved(), truth()
    if not exact <= result.bound:
        raise Fault(f"{result.bound!r} was certified, but the slope of a pattern is {exact}")
    if not result.lower <= exact:
        raise Fault(f"{result.lower!r} was attained, but no slope is above {exact}")
    return f"{lower_text(result.lower)} <= L <= {upper_text(result.bound)}; by enumeration at most {exact}"


def certificate() -> str:
    """A file proves its bound again, in float64 and in balls."""
    from .verify import refuse_overstated

    with _certificate() as loaded:
        proved = [loaded.verify(network(), arithmetic=name) for name in ("float", "ball")]
    for value in proved:
        refuse_overstated(loaded, value)
        if value < truth():
            raise Fault(f"{value!r} was proved of what is {truth()}")
    return "saved, loaded, proved again in float64 and in arbitrary precision"


def tampering() -> str:
    """A certificate that was altered is refused, or proves no more than what is true."""
    from ..certificate.certificate import Certificate
    from .verify import refuse_overstated

    net = network()
    with _certificate() as loaded, tempfile.TemporaryDirectory() as folder:
        lower = loaded.with_bound(loaded.bound * 0.9)
        _refused("a bound that is stated 10 % too low", lambda: refuse_overstated(lower, lower.verify(net)))
        path = Path(folder, "bound.cert.npz")
        loaded.save(path)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        _refused("a file with one bit changed", lambda: Certificate.load(path))
        _refused("another network", lambda: loaded.verify(_moved(net)))
        _refused("another claim", lambda: loaded.verify(net, output=0))
        for factor in (0.0, 1000.0, -1.0):
            changed = {name: factor * values if values.dtype.kind == "f" else values
                       for name, values in loaded.multipliers.items()}  # fmt: skip
            if (value := replace(loaded, multipliers=changed).verify(net)) < truth():
                raise Fault(f"with its multipliers times {factor:g} it proves {value!r}, but the truth is {truth()}")
    return "a bound stated too low, a changed bit, another network, another claim: refused"


@contextmanager
def _certificate() -> Iterator[Certificate]:
    from ..certificate.certificate import Certificate

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "bound.cert.npz")
        solved().certificate.save(path)
        yield Certificate.load(path)


def _moved(net: Network) -> Network:
    from ..network import Network

    return Network(net.weights, [net.biases[0] + 1, net.biases[1]])


def _refused(what: str, attempt: Callable[[], object]) -> None:
    from ..certificate.certificate import CertificateError

    try:
        attempt()
    except CertificateError:
        return
    raise Fault(f"{what} was not refused")


def device() -> str:
    """JAX is there and compiles: it looks for multipliers of larger problems, and proves nothing."""
    import jax
    import numpy as np

    from ..machine.run import put, run

    x = np.arange(6.0, dtype=np.float32).reshape(2, 3)
    if not np.allclose(run(jax.jit(lambda a: a @ a.T), put(x)), x @ x.T):
        raise Fault("a compiled matrix product came out wrong")
    return f"JAX {jax.__version__} on {', '.join(sorted({d.device_kind for d in jax.devices()}))}"


CHECKS: tuple[tuple[str, Callable[[], str]], ...] = (
    ("rounding mode", rounding), ("subnormals", subnormals), ("BLAS", blas), ("balls", balls), ("bound", bound),
    ("certificate", certificate), ("tampering", tampering), ("JAX", device),
)  # fmt: skip

SELFTEST = """Try in a few seconds what proofs rest on: float64 rounds to nearest and underflows gradually, in NumPy
and in BLAS's threads; exact matrix products are exact; a small bound holds, against an enumeration in integers; its
certificate proves it again, and altered ones are refused. JAX is tried too, though no proof rests on it.
"""
