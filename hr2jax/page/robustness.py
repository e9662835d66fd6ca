"""The page of a RobustnessReport: how many inputs provably keep their label, and how that was found out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..text import counted, percent_down, percent_up, radius_text, upper_text, widths_text
from .html import Markup, document, grid, join, rows, section, tag
from .svg import Curve, chart

SHOWN_PAIRS = 60
NOT_PROVED = (
    "What is certified holds for the network in real arithmetic, and for points whose distance from the input is "
    "measured in the norm above, within the clip box if there is one. It says nothing about other inputs or other "
    "changes (rotations, weather, noise that is larger). The share under attack is not proved: a stronger attack may "
    "lower it."
)
AGAIN = (
    "The constants of pairs have certificates: in Python report.certificates[k, j].verify(net) proves that of "
    "F_k - F_j again, and an input whose output k leads j by m keeps its label against j within m over that constant. "
    "What was found around single inputs is found again by the same call: equal calls without a time limit give equal "
    "results."
)


def robustness_page(plain: Mapping[str, Any], files: Sequence[tuple[str, str]] = ()) -> str:
    """The whole page of what `RobustnessReport.to_json` wrote.

    Raises:
        KeyError, TypeError, ValueError: it is not one's.
    """
    problem, radii = plain["problem"], [float(r) for r in plain["radii"]]
    ratio = [float(v) for v in plain["ratio"]]
    best = min(range(len(radii)), key=lambda i: radii[i])
    title = (
        f"{percent_down(ratio[best])} % of {counted(len(plain['radius']), 'input')} are certified at radius "
        f"{radius_text(radii[best])}"
    )
    return document(
        title,
        tag("h1", title),
        tag("p", _in_words(problem), class_="claim"),
        section("Certified accuracy", _curve(plain, radii, ratio), _table(plain, radii, ratio)),
        section("How it was found out", rows(_about(plain))),
        section("Constants of pairs of labels", _pairs(plain["bounds"])) if plain["bounds"] else Markup(""),
        section("What was proved", tag("p", NOT_PROVED)),
        section("Prove it again", tag("p", AGAIN)),
        section("Hashes", rows([
            ("network (hr2jax info NET)", tag("code", problem["network_hash"])),
            ("made with", ", ".join(f"{name} {value}" for name, value in problem["versions"].items())),
            *((name, join(("SHA-256 ", tag("code", value)))) for name, value in files),
        ])),
    )  # fmt: skip


def _in_words(problem: Mapping[str, Any]) -> str:
    size = {"inf": "every entry by at most r", "2": "by at most r in Euclidean length", "1": "by r in all"}
    clip = " and stays within the clip box" if problem["clip"] is not None else ""
    return (
        f"An input counts as certified at radius r where it is proved that the network "
        f"{widths_text(problem['widths'])} gives its label to every point that differs from it "
        f"({size[str(problem['norm'])]}){clip}. Inputs that are classified wrong never count."
    )


def _table(plain: Mapping[str, Any], radii: Sequence[float], ratio: Sequence[float]) -> Markup:
    attacked = plain["attack_accuracy"] or [None] * len(radii)
    body = (
        (radius_text(r), f"{percent_down(share)} %", "not attacked" if left is None else f"{percent_up(float(left))} %")
        for r, share, left in zip(radii, ratio, attacked, strict=True)
    )
    return grid(("radius", "certified (rounded down)", "unbroken by the attack (rounded up)"), body, numbers=(0, 1, 2))


def _curve(plain: Mapping[str, Any], radii: Sequence[float], ratio: Sequence[float]) -> Markup:
    """Certified at r are the inputs whose radius is at least r."""
    count, end = len(plain["radius"]), max(radii)
    reach = sorted(
        math.inf if r is None else float(r)
        for r, right in zip(plain["radius"], plain["right"], strict=True)
        if right and (r is None or float(r) > 0)
    )
    clean = 100.0 * float(plain["clean_accuracy"])
    inside = [r for r in reach if r < end]
    stairs = [(0.0, 100.0 * len(reach) / count)]
    stairs += [(r, 100.0 * (len(reach) - i - 1) / count) for i, r in enumerate(inside)]
    curves = [Curve("certified", [*stairs, (end, stairs[-1][1])], "bound", steps=True)]
    if plain["attack_accuracy"] is not None:
        order = sorted(range(len(radii)), key=lambda i: radii[i])
        known = [(radii[i], plain["attack_accuracy"][i]) for i in order]
        attacked = [(0.0, clean), *((r, 100.0 * float(v)) for r, v in known if v is not None)]
        attacked.append((end, attacked[-1][1]))
        curves.append(Curve("not broken by the attack", attacked, "estimate dashed", steps=True))
    curves.append(Curve("classified right", [(0.0, clean), (end, clean)], "lower dotted"))
    unit = f"radius, norm {plain['problem']['norm']} on the input"
    return chart(curves, unit, f"% of {count} inputs", y_range=(0.0, 100.0))


def _about(plain: Mapping[str, Any]) -> list[tuple[object, object]]:
    problem, right = plain["problem"], [bool(value) for value in plain["right"]]
    reach = sorted(math.inf if r is None else float(r) for r in plain["radius"])
    half = len(reach) // 2
    median = reach[half] if len(reach) % 2 else 0.5 * (reach[half - 1] + reach[half])
    clip = problem["clip"]
    return [
        ("via", f"{problem['via']}, relaxation {problem['relaxation']}, norm {problem['norm']} on the input"),
        ("clip box", "none" if clip is None else f"{min(map(float, clip[0])):g} to {max(map(float, clip[1])):g}"),
        ("inputs", f"{len(right)}, {sum(right)} of them classified right ({percent_down(sum(right) / len(right))} %)"),
        ("status", f"{plain['status']}: {plain['message']} ({plain['undecided']} undecided)"),
        ("median certified radius", radius_text(median)),
        ("attack", f"{problem['attack_starts']} starts of {problem['attack_steps']} steps"),
        ("options", ", ".join(f"{name} {value}" for name, value in problem["options"].items()) or "the defaults"),
        ("seconds", ", ".join(f"{name} {float(value):.1f}" for name, value in plain["timings"].items())),
    ]


def _pairs(bounds: Sequence[Mapping[str, Any]]) -> Markup:
    shown = [(f"F_{int(b['pair'][0])} - F_{int(b['pair'][1])}", upper_text(float(b["bound"]))) for b in bounds]
    more = f"{len(shown) - SHOWN_PAIRS} more pairs are not shown." if len(shown) > SHOWN_PAIRS else ""
    table = grid(("function", "certified global constant"), shown[:SHOWN_PAIRS], numbers=(1,))
    return join((table, tag("p", more, class_="quiet"))) if more else table
