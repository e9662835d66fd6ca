"""The page of a Result: what was proved, how far that is from what is attained, and how to prove it again."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ..text import (
    lower_text,
    norms_text,
    output_text,
    statement_text,
    upper_text,
    way_text,
    where_text,
    widths_text,
)
from .html import Markup, code, document, grid, join, rows, section, tag
from .svg import Curve, chart, gap_picture, share_bar

# Above this ratio of the first bound to the last one, the curve is drawn by its logarithm.
LOGARITHMIC = 5.0
# Of a center's numbers; of layers; of results of one page.
SHOWN_NUMBERS, SHOWN_LAYERS, SHOWN_RESULTS = 8, 100, 200
SPANS = ("setup", "compile", "solve", "certify", "lower")  # what the seconds are of
NOT_PROVED = (
    "The bound is about the network in real arithmetic, its weights taken as the exact numbers that are stored. "
    "A runtime in float32 rounds each operation, so that the outputs it computes may differ by that much more. "
    "It says nothing about inputs outside of the domain, nor whether the network is right."
)


def result_page(plain: Mapping[str, Any], files: Sequence[tuple[str, str]] = ()) -> str:
    """The whole page of what `Result.to_json` wrote.

    Args:
        plain: the JSON's values; numbers that are null were not finite.
        files: (what, SHA-256) of files that belong to it.

    Raises:
        KeyError, TypeError, ValueError: it is not a Result's.
    """
    return document(_title(plain), tag("h1", _title(plain)), *body(plain, files))


def results_page(results: Sequence[Mapping[str, Any]], files: Sequence[tuple[str, str]] = ()) -> str:
    """The page of what `Results.to_json` wrote: a table, and every result in full below."""
    head = ("function", "certified bound", "attained", "gap", "status")
    table = grid(head, (
        (output_text(r["problem"]["output"]), upper_text(_number(r["bound"])), lower_text(_number(r["lower"])),
         _percent(_number(r["gap"])), r["status"]) for r in results
    ), numbers=(1, 2, 3))  # fmt: skip
    parts: list[object] = [tag("h1", title := f"{len(results)} certified bounds"), table]
    for plain in results[:SHOWN_RESULTS]:
        parts.append(tag("details", tag("summary", output_text(plain["problem"]["output"])), *body(plain)))
    if len(results) > SHOWN_RESULTS:
        parts.append(tag("p", f"{len(results) - SHOWN_RESULTS} more results are in the table only.", class_="quiet"))
    return document(title, *parts, _hashes(files))


def body(plain: Mapping[str, Any], files: Sequence[tuple[str, str]] = ()) -> list[Markup]:
    """All parts of a result's page but its heading."""
    problem, timings = plain["problem"], plain["timings"]
    bound, lower, gap = (_number(plain[name]) for name in ("bound", "lower", "gap"))
    seconds = sum(_number(timings[name]) for name in SPANS)
    figures = [
        ("certified bound, rounded up", upper_text(bound)),
        ("attained, rounded down", lower_text(lower) if plain["witness"] is not None else "not searched"),
        ("gap", _percent(gap)),
        ("seconds", f"{seconds:.1f}"),
    ]
    parts = [
        tag("p", _in_words(problem, bound), class_="claim"),
        tag("div", *(tag("div", tag("b", value), tag("span", name)) for name, value in figures), class_="figures"),
        section("Between what is attained and what is excluded", gap_picture(lower, bound), tag("p", _of_gap(plain))),
        section("How the bound was found", _history(plain), rows([
            ("status", f"{plain['status']}: {plain['message']}"),
            ("by", way_text(problem)),
            ("iterations", plain["iterations"]),
            ("seconds", ", ".join(f"{name} {_number(timings[name]):.2f}" for name in SPANS)),
            ("peak memory", f"{_number(timings['peak_bytes']) / 2**20:.0f} MiB"),
        ])),
    ]  # fmt: skip
    if problem.get("layers"):
        parts.append(section("Layer by layer", _layers(problem["layers"])))
    parts += [
        section("What was proved", rows(_claim(problem, bound)), tag("p", NOT_PROVED)),
        section("Prove it again", *_again(plain)),
        section("Hashes", rows(_hash_rows(plain)), _hashes(files)),
    ]
    return parts


def _title(plain: Mapping[str, Any]) -> str:
    problem = plain["problem"]
    what = "Largest value" if problem["quantity"] == "maximum" else "Lipschitz constant"
    return f"{what} of {output_text(problem['output'])}: at most {upper_text(_number(plain['bound']))}"


def _in_words(problem: Mapping[str, Any], bound: float) -> Markup:
    """The claim as a sentence and as an inequality."""
    f, text, net = output_text(problem["output"]), upper_text(bound), widths_text(problem["widths"])
    of_net = f"{f} of the network {net}"
    where = "For all inputs"
    if problem["domain"] != "global":
        where += f" of the domain ({where_text(problem)})"
    if problem["quantity"] == "maximum":
        sentence = f"{where}, {of_net} is at most {text}."
    else:
        change = {"inf": "the largest change of an entry", "2": "the Euclidean length of the change",
                  "1": "the sum of the changes' magnitudes"}  # fmt: skip
        several = problem.get("output_norm")
        changes = "changes by"
        if several is not None:
            of_net, changes = f"the network {net}", f"changes its output ({f}; {change[str(several)]}) by"
        sentence = f"{where}, {of_net} {changes} at most {text} times {change[str(problem['norm'])]} of the input."
    return join((sentence, Markup("<br>"), tag("code", statement_text(problem, text).replace("<=", "≤"))))


def _of_gap(plain: Mapping[str, Any]) -> str:
    lower, bound = _number(plain["lower"]), _number(plain["bound"])
    if plain["witness"] is None:
        return "No point was searched that attains a lower bound, so the gap says nothing."
    if lower == bound:
        return "Both bounds are the same number: this is the true value."
    what = "value" if plain["problem"]["quantity"] == "maximum" else "constant"
    return (
        f"The true {what} lies between {lower_text(lower)}, which an actual input of the domain attains, and "
        f"{upper_text(bound)}, above which it is proved not to be. The gap of {_percent(_number(plain['gap']))} is "
        "what the relaxation leaves open, or what the search for that input has missed; neither makes the bound less "
        "certain."
    )


def _history(plain: Mapping[str, Any]) -> Markup:
    """Bound, estimate and attained value over seconds."""
    history = {name: [_number(v) for v in plain["history"][name]] for name in ("seconds", "bound", "relaxation_value")}
    bound, lower = _number(plain["bound"]), _number(plain["lower"])
    seconds = history["seconds"]
    if not seconds:
        return tag("p", "The bound needed no solver, so that there is no history.", class_="quiet")
    end = max(seconds[-1], sum(_number(plain["timings"][name]) for name in SPANS))
    most = max([bound, *(value for value in history["bound"] if math.isfinite(value))])
    estimates = zip(seconds, history["relaxation_value"], strict=True)
    curves = [
        Curve("certified bound", [*zip(seconds, history["bound"], strict=True), (end, bound)], "bound", steps=True,
              dots=len(seconds) <= 40),
        Curve("relaxation's optimum, estimated (not certified)",
              [(x, y) for x, y in estimates if lower <= y <= most], "estimate dashed"),
        Curve("attained", [(seconds[0], lower), (end, lower)], "lower dotted"),
    ]  # fmt: skip
    if plain["witness"] is None:
        curves.pop()
    curves = [curve for curve in curves if any(math.isfinite(y) for _, y in curve.points)]
    values = [y for curve in curves for _, y in curve.points if math.isfinite(y)]
    steep = min(values) > 0 and most > LOGARITHMIC * bound
    what = "largest value" if plain["problem"]["quantity"] == "maximum" else "Lipschitz constant"
    return chart(curves, "seconds since the call, compilation included", what, logarithmic=steep)


def _layers(layers: Sequence[Mapping[str, Any]]) -> Markup:
    """What the presolve found of each hidden layer."""
    body = []
    for l, layer in enumerate(layers[:SHOWN_LAYERS], start=1):
        size, free, on = (int(layer[name]) for name in ("neurons", "unstable", "active"))
        ends = (layer.get("low"), layer.get("high"))
        span = "" if None in ends else f"{_number(ends[0]):.4g} to {_number(ends[1]):.4g}"
        bar = share_bar([(free, "in-bound", "may switch"), (on, "in-lower", "always on"),
                         (max(size - free - on, 0), "in-rest", "off or without effect")])  # fmt: skip
        body.append((layer.get("name") or l, layer["activation"], size, free, on, span, tag("div", bar, class_="bar")))
    head = ("layer", "activation", "neurons", "may switch", "always on", "pre-activations", "")
    note = "Neurons that may switch have a variable in the relaxation; bounds of the pre-activations are theirs."
    more = f" {len(layers) - SHOWN_LAYERS} more layers are not shown." if len(layers) > SHOWN_LAYERS else ""
    return join((grid(head, body, numbers=(2, 3, 4)), tag("p", note + more, class_="quiet")))


def _claim(problem: Mapping[str, Any], bound: float) -> list[tuple[object, object]]:
    described = [
        ("claim", statement_text(problem, upper_text(bound)).replace("<=", "≤")),
        ("f", f"{output_text(problem['output'])} of the network {widths_text(problem['widths'])}"),
        *([("network's file", problem["file"]["name"])] if problem.get("file") else []),
        ("where", where_text(problem)),
        ("norms", norms_text(problem)),
        ("bound, as stored", repr(bound)),
    ]
    given = (name for name in ("center", "low", "high", "radius") if problem.get(name) is not None)
    return [*described, *((name, _few(problem[name])) for name in given)]


def _few(values: Any) -> str:
    numbers = [_number(value) for value in (values if isinstance(values, list) else [values])]
    if len(set(numbers)) == 1 and len(numbers) > 1:
        return f"{len(numbers)} times {numbers[0]!r}"
    shown = ", ".join(repr(value) for value in numbers[:SHOWN_NUMBERS])
    return f"{shown}, ... ({len(numbers)} numbers)" if len(numbers) > SHOWN_NUMBERS else shown


def _again(plain: Mapping[str, Any]) -> list[Markup]:
    """Commands that prove just this claim from the certificate."""
    problem = plain["problem"]
    is_local = problem["domain"] == "local"
    net, loaded, words = _file(problem.get("file"))
    words += [f"--quantity {problem['quantity']}", f"--norm {problem['norm']}"]
    python = [f'quantity="{problem["quantity"]}"', f"norm={problem['norm']!r}"]
    name = _output(problem["output"])
    if name is not None:
        words.append(f"--output {name}")
        python.append(f"output={f'({name})' if ',' in name else name}")
    if problem.get("output_norm") is not None:
        words.append(f"--output-norm {problem['output_norm']}")
    words.append("--local" if is_local else "--global")
    is_ball = is_local and problem.get("domain_kind", f"ball {problem['norm']}") == f"ball {problem['norm']}"
    where = 'center=claimed["center"], radius=claimed["radius"]' if is_ball else "domain=domain"
    python.append(where if is_local else "center=None, radius=None")
    asked = ['claimed = json.load(open("RESULT.json"))["problem"]'] if is_ball else []
    return [
        tag("p", "The certificate (hr2jax solve --certificate bound.cert.npz, or result.certificate.save) holds the "
            "multipliers. Anyone who has it and the network's file proves the bound again, without the solver:"),
        code(f"hr2jax verify bound.cert.npz {net} {' '.join(words)}"),
        code(*(["import json"] if asked else []), "import hr2jax", "", f"net = {loaded}", *asked,
             'certificate = hr2jax.Certificate.load("bound.cert.npz")',
             f"print(certificate.verify(net, {', '.join(python)}))"),
        tag("p", "Every argument beside the network must equal the claim; what verify returns is the bound proved "
            "there. --arithmetic ball repeats it in arbitrary precision.", class_="quiet"),
    ]  # fmt: skip


def _file(file: Mapping[str, Any] | None) -> tuple[str, str, list[str]]:
    """The network's file on the command line, its loading in Python, the options that reading it took."""
    if file is None:
        return "NET", 'hr2jax.load("NET")', []
    name, activation, layers = str(file["name"]), file["activation"], file["layers"]
    given = [repr(name)]
    words = []
    for option, value in (("activation", activation), ("layers", layers)):
        if value is not None:
            words.append(f"--{option} {shlex.quote(value if isinstance(value, str) else ','.join(map(str, value)))}")
            given.append(f"{option}={value!r}")
    if file["logits"]:
        words.append("--logits")
        given.append("logits=True")
    return shlex.quote(name), f"hr2jax.load({', '.join(given)})", words


def _output(coefficients: Sequence[Any]) -> str | None:
    """K or K,J as the command line takes it; None where there is none."""
    text = output_text(coefficients)
    words = [word.removeprefix("F_") for word in text.split(" - ")]
    return ",".join(words) if all(word.isdigit() for word in words) else None


def _hash_rows(plain: Mapping[str, Any]) -> list[tuple[object, object]]:
    problem, certificate = plain["problem"], plain.get("certificate")
    found: list[tuple[object, object]] = [("network (hr2jax info NET)", tag("code", problem["network_hash"]))]
    if certificate is not None:
        found.append(("certificate's digest", tag("code", certificate["digest"])))
    found.append(("made with", ", ".join(f"{name} {value}" for name, value in problem["versions"].items())))
    return found


def _hashes(files: Sequence[tuple[str, str]]) -> Markup:
    return rows((name, join(("SHA-256 ", tag("code", value)))) for name, value in files) if files else Markup("")


def _percent(gap: float) -> str:
    return f"{100 * gap:.2f} %"


def _number(value: Any) -> float:
    """A number of strict JSON: null is one that was not finite."""
    return math.nan if value is None else float(value)
