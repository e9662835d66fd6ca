"""The published schemas of results' JSON: every kind of result agrees with them, and what is none does not."""

import copy
import json

import numpy as np
import pytest

import hr2jax
from hr2jax.data import schema

from .reference.classifier import network

jsonschema = pytest.importorskip("jsonschema")


def validator(name):
    made = schema(name)
    jsonschema.Draft202012Validator.check_schema(made)
    return jsonschema.Draft202012Validator(made)


def results():
    net, x = network(), np.zeros(2)
    yield hr2jax.solve(net, output=0, relaxation="hr2+")
    yield hr2jax.solve(net, output=(0, 1), center=x, radius=[0.5, 0.0], relaxation="hr2z", witness=0)
    yield hr2jax.solve(net, norm=2, output_norm="inf", relaxation="shor", time_limit=0)
    yield hr2jax.solve(net, output=np.eye(3)[:2], output_norm=1, relaxation="interval", domain=hr2jax.Box(x, x + 1))
    yield hr2jax.maximum(net, output=0, domain=hr2jax.Ball(x, 1.0, 2), relaxation="hr2")
    yield hr2jax.solve(hr2jax.Network([np.eye(2), np.ones((1, 2))], [x, [0.0]], activation="tanh"), relaxation="shor")


def test_results_agree_with_their_schema():
    check = validator("result")
    for result in results():
        plain = json.loads(result.to_json())
        check.validate(plain)
        assert plain["format"] == check.schema["properties"]["format"]["const"]
        # nothing is written that the schema does not name
        assert plain.keys() <= check.schema["properties"].keys()
        assert plain["problem"].keys() <= check.schema["properties"]["problem"]["properties"].keys()
    for one in json.loads(hr2jax.solve_all(network(), relaxation="product").to_json()):
        check.validate(one)


def test_reports_agree_with_their_schema():
    check, inputs = validator("robustness"), np.random.default_rng(0).uniform(0, 1, (4, 2))
    for options in ({}, {"attack_starts": 0, "clip": (0, 1), "norm": 2}, {"time_limit": 0}):
        report = hr2jax.certify(network(), inputs, radii=[0.05, 0.01], relaxation="shor", **options)
        plain = json.loads(report.to_json())
        check.validate(plain)
        assert plain.keys() <= check.schema["properties"].keys()


def test_what_is_missing_or_of_another_kind_does_not_agree():
    check, plain = validator("result"), json.loads(next(results()).to_json())
    for key in check.schema["required"]:
        changed = copy.deepcopy(plain)
        del changed[key]
        assert not check.is_valid(changed), key
        assert not check.is_valid(plain | {key: True}), key
    for key in check.schema["properties"]["problem"]["required"]:
        changed = copy.deepcopy(plain)
        del changed["problem"][key]
        assert not check.is_valid(changed), key
    assert check.is_valid(plain | {"new": 1})


def test_another_name_is_refused():
    with pytest.raises(ValueError, match="'result' or 'robustness'"):
        schema("../digits")
