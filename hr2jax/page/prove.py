"""The page of a Proof: the verdict about a property in words, the counterexample or what excluded each case."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ..text import cases_text, counted, widths_text
from .html import Markup, code, document, grid, join, rows, section, tag

SHOWN_CASES, SHOWN_NUMBERS = 100, 200
WORDS = {
    "verified": "It is proved that no input meets the property's conditions: there is no counterexample.",
    "violated": "An input meets the property's conditions: the counterexample below.",
    "unknown": "Neither a counterexample nor a proof that there is none was found.",
}
NOT_PROVED = (
    "The verdict is about the network in real arithmetic, its weights taken as the exact numbers that are stored, and "
    "the property's decimals as exact rational numbers. A runtime in float32 rounds each operation. Nothing is said of "
    "inputs that the property does not ask about."
)


def proof_page(plain: Mapping[str, Any], files: Sequence[tuple[str, str]] = ()) -> str:
    """The whole page of what `Proof.to_json` wrote.

    Raises:
        KeyError, TypeError, ValueError: it is not one's.
    """
    problem, verdict = plain["problem"], str(plain["verdict"])
    title = f"{problem['property']}: {verdict}"
    return document(
        title,
        tag("h1", title),
        tag("p", WORDS[verdict], class_="claim"),
        section("How it was found out", rows([
            ("verdict", f"{verdict}: {plain['message']}"),
            ("network", widths_text(problem["widths"])),
            ("property", f"{problem['property']}: {cases_text(problem)}"),
            ("seconds", f"{float(plain['seconds']):.1f}"),
        ])),
        _cases(plain["cases"]) if plain["cases"] else Markup(""),
        _witness(plain) if plain["witness"] is not None else Markup(""),
        section("What was proved", tag("p", NOT_PROVED)),
        section("Prove it again", *_again(problem, verdict)),
        section("Hashes", rows([
            ("network (hr2jax info NET)", tag("code", problem["network_hash"])),
            ("property's text", join(("SHA-256 ", tag("code", problem["property_sha256"])))),
            ("made with", ", ".join(f"{name} {value}" for name, value in problem["versions"].items())),
            *((name, join(("SHA-256 ", tag("code", value)))) for name, value in files),
        ])),
    )  # fmt: skip


def _cases(cases: Sequence[Mapping[str, Any]]) -> Markup:
    by = [str(case["proved_by"]) for case in cases]
    said = ", ".join(f"{by.count(name)} by {name}" for name in sorted(set(by)))
    body = [
        (i, name, len(case["multipliers"])) for i, (name, case) in enumerate(zip(by, cases, strict=True), start=1)
    ][:SHOWN_CASES]
    more = f" {len(by) - SHOWN_CASES} more cases are not shown." if len(by) > SHOWN_CASES else ""
    return section(
        "Case by case", tag("p", f"Excluded: {said}.{more}"), grid(("case", "by", "inequalities"), body, numbers=(0, 2))
    )


def _witness(plain: Mapping[str, Any]) -> Markup:
    exact, outputs = plain["exact"], plain["outputs"]
    inputs = [(f"X_{i}", repr(float(v)), exact[i]) for i, v in enumerate(plain["witness"])][:SHOWN_NUMBERS]
    values = [(f"Y_{i}", repr(float(v))) for i, v in enumerate(outputs)][:SHOWN_NUMBERS]
    return section(
        "The counterexample",
        tag("p", "It is the exact numbers that are proved to meet the conditions."),
        tag("details", tag("summary", counted(len(plain['witness']), "input")),
            grid(("input", "nearest float64", "exactly"), inputs)),
        grid(("output", "about"), values),
    )  # fmt: skip


def _again(problem: Mapping[str, Any], verdict: str) -> list[Markup]:
    if verdict == "unknown":
        return [tag("p", "There is nothing to prove: more time (--time-limit), or a smaller property, may decide it.")]
    name = str(problem["property"])
    return [
        tag("p", "The proof (hr2jax prove --proof proof.npz, or proof.save in Python) holds what is needed. Anyone who "
            "has it, the network and the property proves the verdict again, without the solver:"),
        code(f"hr2jax verify proof.npz NET --property {shlex.quote(name)}"),
        code("import hr2jax", "", 'net = hr2jax.load("NET")', 'proof = hr2jax.Proof.load("proof.npz")',
             f"print(proof.verify(net, {name!r}))"),
    ]  # fmt: skip
