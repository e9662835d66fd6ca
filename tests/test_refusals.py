"""A refusal is one sentence: what was given, what was expected, the nearest thing that can be done."""

import ast
import itertools
import re
from pathlib import Path

import numpy as np
import pytest

import hr2jax
from hr2jax import Ball, Box, Network, Result
from hr2jax.text import LONGEST

ROOT = Path(hr2jax.__file__).parent
# What a user reaches with an argument or a file of another program; the rest is of one part to another.
ASKED = ("api", "domain", "layer", "options", "penalty", "plot", "problem", "reading", "result", "results",
         "robustness/inputs", "robustness/run", "solving/many", "solving/run", "machine/files", "machine/device",
         "cli/answer", "cli/arguments", "cli/certify", "cli/numbers", "cli/solve", "cli/verify")  # fmt: skip
REFUSALS = ("ValueError", "NotImplementedError", "ImportError")


def deep():
    rng = np.random.default_rng(0)
    widths = (3, 4, 4, 2)
    return Network([rng.standard_normal((b, a)) for a, b in itertools.pairwise(widths)],
                   [rng.standard_normal(b) for b in widths[1:]])  # fmt: skip


def flat():
    net = deep()
    return Network([net.weights[0], net.weights[2]], [net.biases[0], net.biases[2]])


CASES = {
    "a relaxation's depth": (lambda: hr2jax.solve(deep(), output=0, relaxation="hr2z"), "'hr2z'", "'hr2'"),
    "a relaxation's norm": (lambda: hr2jax.solve(flat(), output=0, relaxation="lipopt3", norm=2), "norm=2", "'hr2'"),
    "a method's depth": (lambda: hr2jax.solve(deep(), output=0, method="admm"), "2 hidden layers", "'lowrank'"),
    "a method's relaxation": (
        lambda: hr2jax.solve(flat(), output=0, relaxation="hr2+", method="admm"), "'hr2+'", "'lowrank'"),
    "a largest value's domain": (lambda: hr2jax.maximum(flat(), output=0), "none", "center and radius"),
    "a largest value's relaxation": (
        lambda: hr2jax.maximum(flat(), output=0, relaxation="lipsdp", center=np.zeros(3), radius=1.0),
        "'lipsdp'", "'hr2'"),
    "cuts": (lambda: hr2jax.solve(flat(), output=0, cuts=["T.U"]), "'hr2'", "'hr2+'"),
    "an output among several": (
        lambda: hr2jax.maximum(flat(), center=np.zeros(3), radius=1.0), "2 outputs", "output=k"),
    "a center's shape": (lambda: hr2jax.solve(flat(), output=0, center=np.zeros(4), radius=1.0), "(4,)", "(3,)"),
    "a ball's half-widths": (lambda: Ball(np.zeros(3), [1.0, 2.0, 1.0]), "(3,)", "number"),
    "a box's sides": (lambda: Box([1.0, 0.0], [0.0, 1.0]), "1.0", "must not exceed"),
    "a masked center": (
        lambda: hr2jax.solve(flat(), output=0, center=np.ma.array([1.0, 2.0, 3.0], mask=[0, 1, 0]), radius=1.0),
        "masked", ".filled"),
    "integers beyond float64": (
        lambda: Network([[[2**53 + 1]], [[1]]], [[0], [0]]), "int64", "round it first"),
    "pairs": (lambda: hr2jax.solve_all(flat(), 10**400), "integer of", "list of outputs"),
    "one problem's options": (lambda: hr2jax.solve_all(flat(), output=0), "output", "solve"),
    "a way of certifying": (lambda: hr2jax.certify(flat(), np.zeros((1, 3)), radii=1, via="exactly"), "'exactly'",
                            "'sdp'"),
    "an accuracy": (lambda: hr2jax.certify(flat(), np.zeros((1, 3)), radii=1, radius_accuracy=10**400),
                    "an integer of", "positive finite"),
    "countless steps": (lambda: hr2jax.certify(flat(), np.zeros((1, 3)), radii=1, attack_steps=10**400),
                        "an integer of", "at most"),
    "a single input": (lambda: hr2jax.certify(flat(), np.zeros(3), radii=1), "(3,)", "x[None]"),
    "a penalty's layers": (lambda: hr2jax.lipschitz_penalty({"A_1": np.eye(2), "A_2": np.eye(2), "C": np.eye(2)}),
                           "A_2", "hr2jax.solve"),
    "a device": (lambda: hr2jax.solve(flat(), output=0, device="gpu"), "'gpu'", "cpu"),
    "no file's name": (lambda: hr2jax.load(3), "int", "a text or a path"),
    "no certificate's name": (lambda: hr2jax.Certificate.load(None), "NoneType", "a text or a path"),
    "no name to save as": (lambda: flat().save(0), "int", "a text or a path"),
    "pairs of no dimension": (lambda: hr2jax.solve_all(flat(), np.array(3)), "shape ()", "list of outputs"),
    "a point beyond float64": (lambda: flat()(10**400), "an integer of", "(3,)"),
    "a path of nothing": (lambda: Result.from_json(7), "7", "path"),
}  # fmt: skip


@pytest.mark.parametrize("call, given, nearest", CASES.values(), ids=list(CASES))
def test_a_refusal_says_what_was_given_and_what_can_be_done(call, given, nearest):
    with pytest.raises((ValueError, NotImplementedError)) as refusal:
        call()
    said = str(refusal.value)
    assert given in said and nearest in said
    assert "\n" not in said and len(said) < 4 * LONGEST
    assert not said.endswith(".")


def refusals():
    """(where, message) of every refusal of the modules above; what is put in is shown as {}."""
    for name in ASKED:
        for node in ast.walk(ast.parse((ROOT / f"{name}.py").read_text())):
            call = node.exc if isinstance(node, ast.Raise) else None
            if not isinstance(call, ast.Call) or getattr(call.func, "id", "") not in REFUSALS or not call.args:
                continue
            message = call.args[0]
            if isinstance(message, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else "{}" for part in message.values)
                yield f"{name}.py:{node.lineno}", "".join(parts)
            elif isinstance(message, ast.Constant):
                yield f"{name}.py:{node.lineno}", message.value


def test_no_refusal_is_silent_about_what_was_given():
    found = dict(refusals())
    assert len(found) > 80
    given = re.compile(r"{}|given|but |not |pip install")
    assert [where for where, text in found.items() if not given.search(text)] == []
    assert [where for where, text in found.items() if "\n" in text or text.endswith(".")] == []
