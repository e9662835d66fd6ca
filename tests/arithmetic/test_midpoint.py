"""The arithmetic of midpoints: an enclosure's, and of no use for a proof."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hr2jax
from hr2jax.arithmetic.enclosure import Enclosure
from hr2jax.arithmetic.midpoint import Middle
from hr2jax.certificate.bound import dual_bound
from hr2jax.certificate.lagrangian import lagrangian_matrix
from hr2jax.problem import checked_problem
from hr2jax.relaxation import lift, preset
from hr2jax.relaxation.presolve import presolve
from tests.reference.effort import examples

rng = np.random.default_rng(0)
A, B = rng.standard_normal((3, 3)), rng.standard_normal((3, 3))
OPERATIONS = {
    "add": lambda a, b: a + b,
    "mul": lambda a, b: a * b,
    "matmul": lambda a, b: a @ b,
    "T": lambda a, b: a.T @ b,
    "sum": lambda a, b: a.sum(axis=0) + b.sum(),
    "reshape": lambda a, b: a.reshape(-1)[2:] + b.reshape(9)[:-2],
}


METHODS = ("sum", "reshape")  # of the left operand, which is to be midpoints
KINDS = (Middle, Enclosure, np.asarray)
CASES = [
    (name, Middle, right) for name in OPERATIONS for right in (KINDS if name not in ("sum", "reshape") else KINDS[:2])
]
CASES += [(name, left, Middle) for name in OPERATIONS if name not in METHODS for left in KINDS[1:]]


@pytest.mark.parametrize(("name", "left", "right"), CASES)
def test_its_operations_are_those_of_midpoints(name, left, right):
    result = OPERATIONS[name](left(A), right(B))
    assert isinstance(result, Middle)
    np.testing.assert_array_equal(result.mid, OPERATIONS[name](Enclosure(A), Enclosure(B)).mid)


def test_in_place():
    a, b = Middle(A.copy()), Enclosure(A.copy())
    for value in (a, b):
        value.increase((slice(0, 2), slice(1, 3)), Enclosure(B[:2, :2]))
        value[2] = Enclosure(B[0])
        value.halve()
    np.testing.assert_array_equal(a.mid, b.mid)


def test_it_is_no_enclosure_and_has_neither_radii_nor_bounds():
    value = Middle(A)
    assert not isinstance(value, Enclosure)
    for name in ("rad", "upper", "lower", "magnitude"):
        assert hasattr(Enclosure(A), name) and not hasattr(value, name)
    with pytest.raises((TypeError, ValueError)):
        Enclosure(value)


STEERED = """
from hr2jax.arithmetic.enclosure import Enclosure
from hr2jax.arithmetic.midpoint import Middle
from hr2jax.certificate.bound import dual_bound
from hr2jax.certificate.lagrangian import kept_rows, lagrangian_matrix
from hr2jax.certificate.prover import Prover
from hr2jax.network import Network
from hr2jax.problem import Problem
from hr2jax.relaxation.basis import Lifting
from hr2jax.relaxation.layout import Layout


def steers(lifting: Lifting) -> int:
    return lagrangian_matrix(lifting, {}, Middle).middle().size + kept_rows(lifting, {}, Middle)


def proves(lifting: Lifting) -> float:
    return dual_bound(lifting, lagrangian_matrix(lifting, {}, Enclosure))


def proves_nothing(net: Network, problem: Problem, layout: Layout, lifting: Lifting) -> None:
    dual_bound(lifting, lagrangian_matrix(lifting, {}, Middle))
    dual_bound(lifting, lagrangian_matrix(lifting, {}), None, Middle)
    Prover(net, problem, layout, Middle)
    lagrangian_matrix(lifting, {}, Middle).rad
"""


@pytest.mark.slow
def test_mypy_refuses_a_steering_number_in_a_proof(tmp_path):
    (tmp_path / "steered.py").write_text(STEERED)
    root = str(Path(hr2jax.__file__).parents[1])
    command = [sys.executable, "-m", "mypy", "--ignore-missing-imports", "--cache-dir", str(tmp_path), "steered.py"]
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"MYPYPATH": root}, capture_output=True, text=True, check=False
    )
    lines = STEERED.splitlines()
    refused = [lines[int(row) - 1].strip() for row in re.findall(r"^steered\.py:(\d+): error", done.stdout, re.M)]
    assert refused == [line.strip() for line in lines[-4:]], done.stdout


@settings(max_examples=examples(30), deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), relaxation=st.sampled_from(["shor", "hr2", "hr2z"]), local=st.booleans(),
)  # fmt: skip
def test_its_lagrangian_matrix_is_the_enclosures_middle_and_proves_nothing(seed, relaxation, local):
    rng = np.random.default_rng(seed)
    net = hr2jax.Network(
        [rng.standard_normal((4, 3)), rng.standard_normal((1, 4))], [rng.standard_normal(4), np.zeros(1)]
    )
    problem = checked_problem(net, **({"center": np.zeros(3), "radius": 0.5} if local else {}))
    lifting = lift(net, problem, presolve(net, problem))
    multipliers = {f.name: np.abs(rng.standard_normal(f.shape)) for f in preset(relaxation, lifting)}
    M, middle = lagrangian_matrix(lifting, multipliers), lagrangian_matrix(lifting, multipliers, Middle)
    np.testing.assert_allclose(middle.mid, M.mid, rtol=1e-13, atol=1e-13 * np.abs(M.mid).max())
    with pytest.raises((TypeError, AttributeError)):
        dual_bound(lifting, middle, np.full(lifting.size, 1e3), Middle)
    with pytest.raises((TypeError, AttributeError)):
        dual_bound(lifting, middle, np.full(lifting.size, 1e3))
