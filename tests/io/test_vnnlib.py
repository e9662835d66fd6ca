import gzip
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hr2jax.io import read_vnnlib
from hr2jax.io.vnnlib import parsed
from hr2jax.io.vnnlib.formula import truth
from tests.reference.data import shared

HEAD = "; a comment (\n(declare-const X_0 Real)\n(declare-const X_1 Real)\n" + "".join(
    f"(declare-const Y_{i} Real)\n" for i in range(3)
)
BOX = "(assert (<= X_0 0.3))(assert (>= X_0 -0.1))(assert (and (>= X_1 1) (<= X_1 1.0)))\n"
SECOND = """(vnnlib-version <2.0>)
(declare-network N (declare-input in float32 [1, 2]) (declare-output out real [3] "name"))
"""
BOX_2 = BOX.replace("X_0", "in[0,0]").replace("X_1", "in [0, 1]")


def write(folder, text):
    path = folder / "p.vnnlib"
    path.write_text(text)
    return path


def shown(prop):
    """By region the cases: (coefficients of v = (x, y), right-hand side, strict)."""
    return [
        [
            [({i: str(a) for i, a in part.terms.items()}, str(part.rhs), part.strict) for part in case]
            for case in area.cases
        ]
        for area in prop.regions
    ]


@pytest.mark.parametrize("epsilon", ["0.03", "0.05"])
def test_the_properties_of_the_competition(epsilon):
    path = shared("data", "onnx", f"prop_0_{epsilon}.vnnlib")
    prop = read_vnnlib(path)
    assert (prop.inputs, prop.outputs, len(prop.regions)) == (784, 10, 1)
    lines = [line.strip("()\n").split() for line in path.read_text().splitlines() if "X_" in line and "assert" in line]
    for _, sign, name, value in lines:  # independent of the reader: one line, one bound
        side = prop.regions[0].high if sign == "(<=" else prop.regions[0].low
        assert side[int(name[2:])] == Fraction(value)
    assert len(lines) == 2 * 784
    # Y_j >= Y_8 for every other j
    assert shown(prop)[0] == [[({784 + 8: "1", 784 + j: "-1"}, "0", False)] for j in (*range(8), 9)]


NUMBERS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**6), max_value=10**6)


@settings(deadline=None)
@given(NUMBERS, st.decimals(allow_nan=False, allow_infinity=False, min_value=0, max_value=10))
def test_decimals_are_exact(low, width):
    high = max(low, low + width)
    text = HEAD + BOX.replace("-0.1", "LOW").replace("0.3", str(high)).replace("LOW", str(low))
    (area,) = parsed(text).regions
    assert (area.low, area.high) == ((Fraction(low), 1), (Fraction(high), 1))


def test_tiny_numbers_are_exact_and_absurd_ones_refused():
    assert parsed(HEAD + BOX.replace("-0.1", "1e-500")).regions[0].low[0] == Fraction(1, 10**500)
    with pytest.raises(ValueError, match="too small"):
        parsed(HEAD + BOX.replace("-0.1", "1e-5000"))


@pytest.mark.parametrize(
    ("condition", "cases"),
    [
        ("(<= Y_0 0.5)", [[({2: "1"}, "1/2", False)]]),
        ("(> Y_0 (- 2))", [[({2: "-1"}, "2", True)]]),
        ("(< (+ Y_0 (* 0.1 Y_1) 3) (- Y_2 Y_0 1))", [[({2: "2", 3: "1/10", 4: "-1"}, "-4", True)]]),
        ("(>= (/ Y_0 3) (* 2 3 (- Y_1)))", [[({2: "-1/3", 3: "-6"}, "0", False)]]),
        ("(== Y_0 1)", [[({2: "1"}, "1", False), ({2: "-1"}, "-1", False)]]),
        ("(!= Y_0 1)", [[({2: "1"}, "1", True)], [({2: "-1"}, "-1", True)]]),
        ("(>= X_0 Y_0)", [[({2: "1", 0: "-1"}, "0", False)]]),
        ("(<= (+ X_0 X_1) 1.2)", [[({0: "1", 1: "1"}, "6/5", False)]]),
        ("(or (and (<= Y_0 Y_1) (< Y_0 Y_2)) (>= Y_1 3))",
         [[({2: "1", 3: "-1"}, "0", False), ({2: "1", 4: "-1"}, "0", True)], [({3: "-1"}, "-3", False)]]),
        ("(<= (- Y_0 Y_0) 0)", [[]]),  # always
        ("(or (<= Y_0 0) (< 1 1))", [[({2: "1"}, "0", False)]]),  # the second never
    ],
)  # fmt: skip
def test_conditions(condition, cases):
    (found,) = shown(parsed(HEAD + BOX + f"(assert {condition})"))
    assert found == cases
    second = condition.replace("X_0", "in[0,0]").replace("X_1", "in[0, 1]")
    for k in range(3):
        second = second.replace(f"Y_{k}", f"out[{k}]")
    assert shown(parsed(SECOND + BOX_2 + f"(assert {second})")) == [cases]


def test_no_condition_and_none_that_can_be_met():
    assert shown(parsed(HEAD + BOX)) == [[[]]]
    assert shown(parsed(HEAD + BOX + "(assert (> 0 1))")) == []


def test_boxes_within_or():
    """Several boxes, one of them empty, one within the bounds of all; scaled bounds are bounds."""
    text = """(assert (or (and (>= X_0 0) (<= X_0 0.1) (>= Y_0 1)) (and (>= X_0 0.2) (<= X_0 0.1) (>= Y_0 2))
                          (and (<= (* -2 X_0) 4) (>= Y_0 3)) (and (<= X_0 0.1) (>= X_0 0.0) (>= Y_0 4))
                          (and (< X_0 -0.1) (>= Y_0 5))))"""
    areas = parsed(HEAD + BOX + text).regions
    tenth = Fraction(1, 10)
    assert [(a.low[0], a.high[0], len(a.cases)) for a in areas] == [(0, tenth, 2), (-tenth, 3 * tenth, 1)]
    box = "(and (>= X_0 {}) (<= X_0 {}) (>= X_1 {}) (<= X_1 {}))".format
    each = f"(assert (or {box(0, 1, 2, 3)} {box(5, 6, 7, 8)}))"
    assert [(a.low, a.high) for a in parsed(HEAD + each).regions] == [((0, 2), (1, 3)), ((5, 7), (6, 8))]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD, "X_0 has no lower bound"),
        (HEAD + BOX.replace("(assert (<= X_0 0.3))", ""), "X_0 has no upper bound"),
        (HEAD + BOX.replace("0.3", "-0.3"), "the lower bound of X_0 is above"),
        (HEAD + BOX.replace("(<= X_0 0.3)", "(< X_0 -0.1)"), "the lower bound of X_0 is above"),
        (HEAD + BOX[:-3], "not closed"),
        (HEAD + BOX + ")", "not opened"),
        (HEAD + BOX + "(" * 100, "too deeply"),
        (HEAD + BOX.replace("0.3", "nan"), "not a finite"),
        (HEAD + BOX.replace("0.3", "1e401"), "not a finite"),
        (HEAD + BOX.replace("0.3", "three"), "'three' is not a number"),
        (HEAD + BOX.replace("X_1", "X_2"), "X_2 is not declared"),
        (HEAD.replace("X_0", "X_5") + BOX, "one after another"),
        (HEAD + BOX + "(assert (>= Y_3 0))", "Y_3 is not declared"),
        (HEAD + BOX + "(assert (>= (* Y_0 Y_1) 1))", "a product of variables"),
        (HEAD + BOX + "(assert (>= (/ 1 Y_1) 1))", "no linear expression"),
        (HEAD + BOX + "(assert (>= (/ Y_1 0) 1))", "no linear expression"),
        (HEAD + BOX + "(assert (>= (sin Y_1) 1))", "sums of variables times numbers"),
        (HEAD + BOX + "(assert (not (>= Y_0 1)))", "is not expected"),
        (HEAD + BOX + "(assert (or))", "is not expected"),
        (HEAD + BOX + "(assert (or (<= Y_0 0) (<= Y_1 0)))" * 20, "more than 10000 cases"),
        (HEAD + BOX + "(assert (<= [0] Y_0))", "follows no variable"),
        (HEAD + BOX + f"(assert (<= (* {' '.join(['7' * 400] * 100)}) Y_0))", "more than 40000 bits"),
        ("", "not declared"),
        ("\ud800", "it is not text"),
        (SECOND.replace("2.0", "3.0") + BOX_2, "3.0"),
        (SECOND + SECOND, "two networks"),
        (SECOND.replace("(declare-o", "(declare-input more real [1])(declare-o"), "in and more are two inputs"),
        (SECOND.replace("(declare-output", '(declare-hidden H real [1] "h")(declare-output'), "a hidden layer"),
        (SECOND.replace("N ", "N (equal-to M) "), "about two networks"),
        (SECOND.replace("float32", "int64"), "of type int64"),
        (SECOND.replace("[1, 2]", "[1, 0]"), "1 to 1000000000 entries"),
        (SECOND.replace("[1, 2]", "[100000,100000]"), "1 to 1000000000 entries"),
        (SECOND + BOX_2.replace("0,0", "0,2"), "no entry of in"),
        (SECOND + BOX_2.replace("0,0", "0"), "no entry of in"),
        (SECOND + BOX_2.replace("in[0,0]", "of[0]"), "of.0. is not declared"),
        (SECOND.replace("[1, 2]", "[30000,30000]") + BOX_2, r"in\[0,2\] has no lower bound"),
        (SECOND + HEAD + BOX_2, "declared beside a network"),
        ("(declare-network N (declare-input X real [2]))", "has no output"),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path, text, message):
    path = tmp_path / "p.vnnlib"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ValueError, match=message) as caught:
        read_vnnlib(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_gzip(tmp_path):
    path, text = tmp_path / "p.vnnlib.gz", (HEAD + BOX).encode()
    path.write_bytes(gzip.compress(text[:50]) + gzip.compress(text[50:]))
    assert read_vnnlib(path).text.encode() == text
    for data, message in ((gzip.compress(text)[:-9], "end too early"), (gzip.compress(text) + b"more", "damaged")):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=message):
            read_vnnlib(path)


@st.composite
def conditions(draw, depth=2):
    kind = draw(st.sampled_from(["<=", "<", ">=", ">", "==", "!="] + ["and", "or"] * 2 * (depth > 0)))
    if kind in ("and", "or"):
        parts = draw(st.lists(conditions(depth - 1), min_size=1, max_size=3))
        return f"({kind} {' '.join(parts)})"
    number = st.integers(-2, 2).map(str)
    term = st.sampled_from(["X_0", "X_1", "Y_0", "Y_1", "Y_2"])
    side = st.one_of(number, term, st.builds("(+ {} (* {} {}))".format, term, number, term))
    return f"({kind} {draw(side)} {draw(side)})"


@settings(deadline=None)
@given(st.lists(conditions(), max_size=3), st.lists(st.integers(-4, 4), min_size=5, max_size=5))
def test_cases_say_what_the_formula_says(asserts, point):
    """At points: the formula by itself, and some case of a region that the point is in."""
    bounds = "".join(f"(assert (and (>= X_{i} -2) (<= X_{i} 2)))" for i in (0, 1))
    try:
        prop = parsed(HEAD + bounds + "".join(f"(assert {text})" for text in asserts))
    except ValueError as error:
        assert "is above" in str(error)
        return
    v = [Fraction(k, 2) for k in point]
    holds = truth(prop.formula, v, v)
    in_closed = [
        all(low <= x <= high for low, x, high in zip(area.low, v, area.high, strict=False))
        and any(all(truth(part, v, v) for part in case) for case in area.cases)
        for area in prop.regions
    ]
    assert any(in_closed) or not holds
    strict = {"<", ">", "!="} & {word for text in asserts for word in text.replace("(", " ").split()}
    if not strict:  # regions are the very same
        assert any(in_closed) == holds


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 500), st.binary(max_size=2)), min_size=1, max_size=3), st.booleans())
def test_damaged_files_only_raise_value_error(tmp_path_factory, changes, second):
    first = HEAD + BOX + "(assert (or (>= Y_0 Y_1) (and (<= Y_2 0.5))))"
    data = bytearray(
        (SECOND + BOX_2 + "(assert (or (>= out[0] (+ out[1] 2)) (< in[0,1] 0.5)))" if second else first).encode()
    )
    for at, new in changes:
        data[at : at + 1] = new
    path = tmp_path_factory.getbasetemp() / "fuzz.vnnlib"
    path.write_bytes(data)
    try:
        read_vnnlib(path)
    except ValueError as error:
        assert str(error).startswith(str(path))


def test_truth_of_intervals():
    prop = parsed(HEAD + BOX + "(assert (or (< Y_0 0) (and (>= Y_1 1) (<= Y_2 Y_1))))")
    formula = prop.formula.parts[-1]

    def said(*ends):
        low, high = np.array([(0, 0), (0, 0), *ends], dtype=int).T.tolist()
        return truth(formula, [*map(Fraction, low)], [*map(Fraction, high)])

    assert said((-2, -1), (0, 9), (0, 9)) is True
    assert said((-2, 0), (0, 0), (0, 9)) is None
    assert said((0, 1), (0, 0), (0, 9)) is False
    assert said((0, 1), (1, 2), (0, 1)) is True
    assert said((0, 1), (1, 2), (0, 3)) is None
