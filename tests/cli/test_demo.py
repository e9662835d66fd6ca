"""The demo says what was proved, and no more."""

import io
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hr2jax.cli import demo
from hr2jax.cli.demo import Rival, conclusion, demonstrate, margin, picture, run_demo
from hr2jax.network import Network


def _network(seed: int = 0) -> Network:
    rng = np.random.default_rng(seed)
    return Network(
        [rng.standard_normal((5, 4)), rng.standard_normal((3, 5))], [rng.standard_normal(5), rng.standard_normal(3)]
    )


def _exact_margin(net: Network, x: np.ndarray, k: int, j: int) -> Fraction:
    def layer(A: np.ndarray, b: np.ndarray, v: list[Fraction]) -> list[Fraction]:
        return [
            Fraction(beta) + sum(Fraction(a) * y for a, y in zip(row, v, strict=True))
            for row, beta in zip(A.tolist(), b.tolist(), strict=True)
        ]

    hidden = layer(net.weights[0], net.biases[0], [Fraction(v) for v in x.tolist()])
    out = layer(net.weights[1], net.biases[1], [max(h, Fraction(0)) for h in hidden])
    return out[k] - out[j]


def test_margin_is_a_sharp_lower_bound() -> None:
    for seed in range(20):
        net, x = _network(seed), np.random.default_rng(100 + seed).standard_normal(4)
        for k, j in ((0, 1), (2, 0)):
            exact = _exact_margin(net, x, k, j)
            proved = Fraction(margin(net, x, k, j))
            assert exact - Fraction(1, 10**12) <= proved <= exact


def test_conclusion_says_what_was_proved() -> None:
    won, tie, lost = Rival(3, 1.0, 1.0, 0.5), Rival(4, 0.5, 1.0, 0.5), Rival(5, 0.1, 1.0, 0.5)
    assert conclusion(7, [won, won]) == (
        "Certified: no change of every pixel by at most 0.5 can make the network prefer another digit to 7."
    )
    some = conclusion(7, [won, tie, lost])
    assert "prefer 3 to 7" in some
    assert "Not certified: 4, 5." in some
    assert conclusion(7, [tie, lost]).startswith("Nothing is certified at radius 0.5")


def test_picture_in_any_encoding() -> None:
    x = np.array([0.0, 0.25, 0.5, 1.0])
    assert picture(x, "utf-8").split("\n") == ["        ░░", "      ▒▒██"]
    assert picture(x, "ascii").split("\n") == ["        ..", "      ::##"]
    assert picture(x, None).isascii()


@pytest.mark.parametrize("sharpness", [1e-3, 1e3])
def test_demonstrate(sharpness: float, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[dict[str, Any]] = []

    def bounded(net: Network, **arguments: Any) -> SimpleNamespace:
        asked.append(arguments)
        return SimpleNamespace(bound=sharpness, lower=0.0)

    monkeypatch.setattr(demo, "solve", bounded)
    net, x, out = _network(), np.array([0.0, 1.0, 0.5, 0.25]), io.StringIO()
    demonstrate(net, x, 1, 0.5, out)
    k = int(np.argmax(net(x)))
    assert [a["output"] for a in asked[:1]] == [1]
    assert {a["output"] for a in asked[2:]} == {(k, j) for j in range(3) if j != k}
    assert all(a["radius"] == 0.5 and a["center"] is x for a in asked[2:])
    assert ("no change of every pixel" in out.getvalue()) == (sharpness < 1)
    assert ("Nothing is certified" in out.getvalue()) == (sharpness > 1)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("solve ") == len(asked) == 4


@pytest.mark.slow
def test_the_shipped_digit_is_certified(capsys: pytest.CaptureFixture[str]) -> None:
    out = io.StringIO()
    run_demo(out)
    assert "no change of every pixel by at most 0.05 can make the network prefer another digit to 2." in out.getvalue()
    assert capsys.readouterr().out == ""
