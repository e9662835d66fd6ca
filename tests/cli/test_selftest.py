"""`hr2jax selftest`: passes here, in seconds, and each of its checks notices a planted fault."""

import io
import time

import numpy as np
import pytest

from hr2jax.arithmetic import enclosure
from hr2jax.certificate.certificate import Certificate
from hr2jax.cli import selftest
from hr2jax.cli.main import main


def said(name):
    """The line of one check."""
    out = io.StringIO()
    passed = selftest.run_checks(out)
    line = next(line for line in out.getvalue().splitlines() if line.split("  ")[0].strip() in ("ok", "FAILED")
                and f" {name} " in line)  # fmt: skip
    return passed, line


def test_it_passes_on_this_machine(capsys):
    began = time.process_time()
    assert main(["selftest"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.startswith("ok ") for line in lines].count(True) == len(selftest.CHECKS)
    assert lines[-1].startswith(f"All {len(selftest.CHECKS)} checks passed")
    assert time.process_time() - began < 30  # 5 s on an idle machine


def test_its_truth_is_the_enumeration_and_its_bound_is_not_far():
    assert selftest.truth() <= selftest.solved().bound <= 1.2 * selftest.truth()


@pytest.mark.parametrize("fault", [name for name, _ in enclosure.arithmetic_faults().items()])
def test_an_unfit_arithmetic_fails(fault, monkeypatch):
    monkeypatch.setattr(enclosure, "arithmetic_faults", lambda: {fault: True})
    passed, line = said("rounding mode" if "nearest" in fault else "subnormals")
    assert not passed
    assert line.startswith("FAILED") and fault in line


def strassen(a, b):
    """One step of Strassen's algorithm for even sides."""
    n = len(a) // 2
    (a11, a12, a21, a22), (b11, b12, b21, b22) = (
        (m[:n, :n], m[:n, n:], m[n:, :n], m[n:, n:]) for m in (np.asarray(a), np.asarray(b))
    )
    m1, m2, m3 = (a11 + a22) @ (b11 + b22), (a21 + a22) @ b11, a11 @ (b12 - b22)
    m4, m5, m6, m7 = a22 @ (b21 - b11), (a11 + a12) @ b22, (a21 - a11) @ (b11 + b12), (a12 - a22) @ (b21 + b22)
    return np.block([[m1 + m4 - m5 + m7, m3 + m5], [m2 + m4, m1 - m2 + m3 + m6]])


def test_strassens_algorithm_is_noticed(monkeypatch):
    class Fast(np.ndarray):
        def __matmul__(self, other):
            if self.dtype.kind == "f" and len(self) % 2 == 0:
                return strassen(self, other)
            return np.asarray(self) @ np.asarray(other)

    where = np.where
    monkeypatch.setattr(np, "where", lambda *args: where(*args).view(Fast))
    with pytest.raises(selftest.Fault, match="come out wrong"):
        selftest.blas()


def test_a_bound_below_the_truth_is_noticed(monkeypatch):
    monkeypatch.setattr(selftest, "truth", lambda: 10**6)
    for check in (selftest.bound, selftest.certificate, selftest.tampering):
        with pytest.raises(selftest.Fault):
            check()


def test_a_verify_that_believes_is_noticed(monkeypatch):
    monkeypatch.setattr(Certificate, "verify", lambda self, *_, **__: self.bound)
    passed, line = said("tampering")
    assert not passed
    assert "was not refused" in line
