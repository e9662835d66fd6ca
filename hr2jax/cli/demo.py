"""`hr2jax demo`: what a certified Lipschitz constant says, on the classifier that ships with the package."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from fractions import Fraction
from math import inf, nextafter
from typing import Any, TextIO

import numpy as np

from .. import data
from ..api import solve
from ..arithmetic.float64 import Array
from ..network import Network
from ..result import Result
from ..robustness.margins import largest_radius, margins
from ..text import lower_text, radius_text, upper_text, widths_text

# A digit that the global bound of its closest rival does not certify at this radius, but local bounds do.
DIGIT, RADIUS, OUTPUT = 12, 0.05, 3

SHADES, ASCII_SHADES = " ░▒▓█", " .:*#"


@dataclass(frozen=True)
class Rival:
    """What is proved about F_k - F_j around one input.

    Attributes:
        label: j.
        lead: a lower bound of F_k - F_j at the input.
        bound: certified upper bound of the Lipschitz constant of F_k - F_j on the box.
        radius: the box's half-width.
    """

    label: int
    lead: float
    bound: float
    radius: float

    @property
    def left(self) -> Fraction:
        """A lower bound of F_k - F_j on the whole box, exactly lead - bound * radius."""
        return Fraction(self.lead) - Fraction(self.bound) * Fraction(self.radius)


def run_demo(out: TextIO) -> None:
    """Certify one output, one margin, and one digit of `hr2jax.data.digits()`; progress goes to stderr."""
    net, inputs, _ = data.digits()
    demonstrate(net, inputs[DIGIT], OUTPUT, RADIUS, out)


def demonstrate(net: Network, x: Array, output: int, radius: float, out: TextIO) -> None:
    """The demo, of any classifier of square pictures."""
    began = time.perf_counter()
    scores = net(x)
    k = int(np.argmax(scores))
    rivals = [j for j in np.argsort(-scores).tolist() if j != k]
    solves, done = len(rivals) + 2, 0

    def solved(what: str, **arguments: Any) -> Result:
        nonlocal done
        done += 1
        print(f"solve {done} of {solves}: {what} ({time.perf_counter() - began:.1f} s)", file=sys.stderr, flush=True)
        return solve(net, relaxation="hr2", **arguments)

    def say(text: str = "") -> None:
        print(text, file=out, flush=True)

    say(f"A classifier {widths_text(net.widths)}: pictures in, pixels from 0 to 1; the largest output names the digit.")
    say("If no pixel changes by more than r, an output changes by at most L r, L its Lipschitz constant (inf norm).")
    say("Each upper bound below is certified: proved in rounding-safe arithmetic, whatever the solver did. A lower")
    say("bound is the slope at an actual input.")
    say()
    say(f"1. The output F_{output}, everywhere")
    say(f"   {_between(solved(f'F_{output}, global', output=output))}")
    say()
    j, lead = rivals[0], margin(net, x, k, rivals[0])
    say(f"2. The margin F_{k} - F_{j}, everywhere")
    everywhere = solved(f"F_{k} - F_{j}, global", output=(k, j))
    say(f"   {_between(everywhere)}")
    say()
    say(f"3. This picture: the network says {k}, and {j} comes next")
    say(picture(x, out.encoding))
    say(f"   F_{k} - F_{j} >= {lower_text(lead)} here, so by 2. the network still prefers {k} to {j}")
    say(f"   while no pixel changes by more than {lower_text(float(largest_radius(lead, everywhere.bound)))}.")
    say()
    r = radius_text(radius)
    say(f"4. Around this picture: bounds on the box of all x whose pixels are within {r} of its own")
    say("   rival   margin here   L <=      margin in the box")
    proved = []
    for j in rivals:
        bound = solved(f"F_{k} - F_{j}, radius {r}", output=(k, j), center=x, radius=radius).bound
        rival = Rival(j, margin(net, x, k, j), bound, radius)
        proved.append(rival)
        say(f"   {j:<5}   >= {lower_text(rival.lead):<8}   {upper_text(bound):<7}   >= {lower_text(_down(rival.left))}")
    say()
    say(conclusion(k, proved))
    say(f"({time.perf_counter() - began:.0f} s, compilation included. These are statements about the network in real")
    say("arithmetic; a certificate, which anyone can verify again, comes with each bound: see hr2jax solve --help.)")


def conclusion(k: int, rivals: list[Rival]) -> str:
    """One sentence that says what was proved, and nothing more."""
    r = radius_text(rivals[0].radius)
    lost = [rival.label for rival in rivals if rival.left <= 0]
    if not lost:
        return f"Certified: no change of every pixel by at most {r} can make the network prefer another digit to {k}."
    if len(lost) == len(rivals):
        return f"Nothing is certified at radius {r}: the bounds leave room for another digit than {k}."
    won = " or ".join(str(rival.label) for rival in rivals if rival.left > 0)
    return (
        f"Certified: no change of every pixel by at most {r} can make the network prefer {won} to {k}. "
        f"Not certified: {', '.join(map(str, lost))}."
    )


def margin(net: Network, x: Array, k: int, j: int) -> float:
    """A float64 lower bound of F_k(x) - F_j(x), the weights and x taken as exact reals."""
    return float(margins(net, x[None], np.array([k]))[0][0, j])


def picture(x: Array, encoding: str | None = None) -> str:
    """A square grey picture in block characters, or in ASCII where `encoding` has no blocks."""
    try:
        SHADES.encode(encoding or "ascii")
        shades = SHADES
    except (UnicodeEncodeError, LookupError):
        shades = ASCII_SHADES
    side = int(np.sqrt(x.size))
    levels = np.clip(np.rint(x[: side * side] * (len(shades) - 1)), 0, len(shades) - 1).astype(int)
    return "\n".join("      " + "".join(2 * shades[level] for level in row) for row in levels.reshape(side, side))


def _between(result: Result) -> str:
    attained = f"{lower_text(result.lower)} <= " if result.lower > 0 else ""
    return f"{attained}L <= {upper_text(result.bound)}"


def _down(value: Fraction) -> float:
    nearest = float(value)
    return nearest if Fraction(nearest) <= value else nextafter(nearest, -inf)
