"""What ships with the package: a classifier for a first try without any file of one's own, the JSON's schemas."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import numpy as np

from ..network import Network

__all__ = ["digits", "schema"]


def digits() -> tuple[Network, np.ndarray, np.ndarray]:
    """A trained classifier of 8x8 handwritten digits, and 20 digits it has not seen in training.

    Returns (network, inputs, labels): widths (64, 64, 10) with float32 weights; inputs (20, 64) float64,
    pixels k/16 in [0, 1]; labels (20,), two of each digit. They were chosen among the digits it classifies
    correctly, so they say nothing about its accuracy: examples/train_digits.py, which made all this, does.
    """
    with (resources.files(__name__) / "digits.npz").open("rb") as file, np.load(file) as data:
        net = Network([data["A_1"], data["C"]], [data["b_1"], data["d"]])
        return net, data["inputs"].astype(np.float64), data["labels"]


def schema(name: str = "result") -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of what `to_json` writes: "result" of a Result, "robustness" of a report.

    Raises:
        ValueError: another name.
    """
    if name not in ("result", "robustness"):
        raise ValueError(f"name must be 'result' or 'robustness', but {name!r} was given")
    found: dict[str, Any] = json.loads((resources.files(__name__) / f"{name}.schema.json").read_text())
    return found
