"""Certificates that an earlier hr2jax made prove what they proved then (make.py says how they are made)."""

import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hr2jax
from hr2jax import Certificate, Network

from . import compare
from .cases import cases
from .make import HERE
from .networks import load

INDEX = json.loads((HERE / "index.json").read_text(encoding="ascii"))
CASES, ASKED = INDEX["cases"], cases()
EXACT = os.environ.get("HR2JAX_GOLDEN") == "exact"  # in the process environment that the set was made in
TOLERANCE = 0.0 if EXACT else 1e-12
# The diagonal of this one lies where a Cholesky factor just exists, or just does not and it is shifted: that depends on
# BLAS's kernel (beside HASWELL, OPENBLAS_CORETYPE=SKYLAKEX proves 9.3e-11 less, NEHALEM 1.2e-9 more; in balls
# it is 2.7e-9 more, and of SANDYBRIDGE 4.7e-9 less).
EDGE = {} if EXACT else {"thin-hr2": 5e-9}
# which have no place in a certificate: "auto" chooses, mosek needs a licence
NOT_METHODS = {"auto", "mosek"}


@cache
def networks() -> dict[str, Network]:
    return load(HERE / "networks.npz")


@cache
def certificate(name: str) -> Certificate:
    return Certificate.load(HERE / f"{name}.cert.npz")


def close(proved: float, recorded: str, tolerance: float = TOLERANCE) -> bool:
    value = float.fromhex(recorded)
    return abs(proved - value) <= tolerance * abs(value)


def known(argument: str, value: object = "?") -> set[str]:
    """All that the package lets an argument be, in the words of its refusal: wherever it keeps its tables."""
    net = Network([[[1.0]]] * 3, [[0.0]] * 3)
    with pytest.raises(ValueError, match=f"{argument} (must be one of|has)") as refused:
        hr2jax.solve(net, **{"relaxation": "hr2+", argument: value})
    text = str(refused.value)
    if found := re.search(r" which is none of ([^;]*)", text):  # there are many cuts
        return set(found.group(1).split(", "))
    return set(re.findall(r"'([^']+)'", text.split(", but ", maxsplit=1)[0]))


def asked(argument: str) -> list[Any]:
    return [options[argument] for _, _, options in ASKED.values() if argument in options]


@pytest.mark.parametrize("name", CASES)
def test_a_stored_certificate_proves_what_was_asked_and_what_it_proved(name):
    case, (call, network, options) = CASES[name], ASKED[name]
    cert, net = certificate(name), networks()[network]
    assert cert.bound.hex() == case["bound"]
    assert cert.problem["quantity"] == case["quantity"] == ("maximum" if call == "maximum" else "lipschitz")
    assert cert.problem["network_hash"] == net.hash == INDEX["networks"][network]
    assert cert.lifting == case["lifting"]
    assert (cert.problem["center"] is None) == ("center" not in options)
    claim = {key: options[key] for key in ("output", "norm", "center", "radius") if key in options}
    assert close(cert.verify(net, **claim), case["proved"], EDGE.get(name, TOLERANCE))
    if "proved_in_balls" in case:
        assert close(cert.verify(net, arithmetic="ball"), case["proved_in_balls"], EDGE.get(name, TOLERANCE))


def test_each_file_has_its_line_and_each_line_its_file():
    assert {path.name.removesuffix(".cert.npz") for path in HERE.glob("*.cert.npz")} == CASES.keys()
    assert json.loads(json.dumps(ASKED)) == {n: [c["call"], c["network"], c["options"]] for n, c in CASES.items()}


def test_no_kind_is_missing():
    assert set(asked("relaxation")) == known("relaxation")
    assert {*asked("lifting"), "auto"} == known("lifting")
    assert {*asked("bounds"), "auto"} == known("bounds")
    assert set(asked("method")) == known("method") - NOT_METHODS
    assert {cut for cuts in asked("cuts") for cut in cuts} == known("cuts", value=["?"])
    assert {case["norm"] for case in CASES.values()} == {"inf", "2", "1"}
    assert {case["quantity"] for case in CASES.values()} == {"lipschitz", "maximum"}
    assert {case["lifting"] for case in CASES.values()} == {
        "forward", "adjoint", "both", "values", "lipsdp", "separate", "parts", "reach", "reach separate",
        "tensored", "tensored xL", "xL", "tied", "tensored tied", "none",
    }  # fmt: skip
    for quantity in ("lipschitz", "maximum"):
        of_it = [case for case in CASES.values() if case["quantity"] == quantity]
        for norm in ("inf", "2"):
            assert {networks()[case["network"]].depth for case in of_it if case["norm"] == norm} >= {1, 2, 3}


def test_comparing_tells_one_bit(tmp_path, capsys):
    text = (HERE / "index.json").read_text(encoding="ascii")
    name = next(iter(CASES))
    bound = CASES[name]["bound"]
    changed = float(np.nextafter(float.fromhex(bound), np.inf)).hex()
    for folder, content in (("same", text), ("other", text.replace(f'"bound": "{bound}"', f'"bound": "{changed}"', 1))):
        Path(tmp_path, folder).mkdir()
        Path(tmp_path, folder, "index.json").write_text(content, encoding="ascii")
    assert compare.main(str(HERE), str(tmp_path / "same")) == 0
    assert "0 differences" in capsys.readouterr().out
    assert compare.main(str(HERE), str(tmp_path / "other")) == 1
    assert f"{name}: bound: " in capsys.readouterr().out
