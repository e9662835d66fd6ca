from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hr2jax.io import read_vnnlib
from tests.reference.data import shared

HEAD = "; a comment (\n(declare-const X_0 Real)\n(declare-const X_1 Real)\n" + "".join(
    f"(declare-const Y_{i} Real)\n" for i in range(3)
)
BOX = "(assert (<= X_0 0.3))(assert (>= X_0 -0.1))(assert (and (>= X_1 1) (<= X_1 1.0)))\n"


def write(folder, text):
    path = folder / "p.vnnlib"
    path.write_text(text)
    return path


def shown(prop):
    return [[(h.coefficients.tolist(), h.rhs) for h in case] for case in prop.unsafe]


@pytest.mark.parametrize("epsilon", ["0.03", "0.05"])
def test_the_properties_of_the_competition(epsilon):
    path = shared("data", "onnx", f"prop_0_{epsilon}.vnnlib")
    prop = read_vnnlib(path)
    assert (prop.center.shape, prop.radius.shape, prop.outputs) == ((784,), (784,), 10)
    lines = [line.strip("()\n").split() for line in path.read_text().splitlines() if "X_" in line and "assert" in line]
    for _, sign, name, value in lines:  # independent of the reader: one line, one bound
        i = int(name[2:])
        end = Fraction(prop.center[i]) + (1 if sign == "(<=" else -1) * Fraction(prop.radius[i])
        assert end >= Fraction(value) if sign == "(<=" else end <= Fraction(value)
    assert len(lines) == 2 * 784
    assert prop.radius.max() <= float(epsilon) * (1 + 1e-6)
    assert [[h.rhs for h in case] for case in prop.unsafe] == [[0.0]] * 9  # Y_j >= Y_8 for every other j
    assert [int(np.argmax(case[0].coefficients)) for case in prop.unsafe] == [0, 1, 2, 3, 4, 5, 6, 7, 9]
    assert all(case[0].coefficients[8] == -1 and case[0].coefficients.sum() == 0 for case in prop.unsafe)


@settings(deadline=None)
@given(
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**6), max_value=10**6),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=0, max_value=10),
)
def test_the_box_is_never_shrunk_and_hardly_grows(tmp_path_factory, low, width):
    high = max(low, low + width)
    text = HEAD + BOX.replace("-0.1", "LOW").replace("0.3", str(high)).replace("LOW", str(low))
    prop = read_vnnlib(write(tmp_path_factory.getbasetemp(), text))
    c, r = Fraction(prop.center[0]), Fraction(prop.radius[0])
    low, high = Fraction(low), Fraction(high)
    assert c - r <= low <= high <= c + r
    assert 2 * r - (high - low) <= Fraction(1, 10**15) * (abs(low) + abs(high)) + Fraction(1, 10**300)
    assert (prop.center[1], prop.radius[1]) == (1.0, 0.0)


def test_tiny_bounds_are_widened(tmp_path):
    text = HEAD + BOX.replace("-0.1", "1e-500").replace("0.3", "1e-3").replace("1.0", "1")
    prop = read_vnnlib(write(tmp_path, text))
    assert Fraction(prop.center[0]) - Fraction(prop.radius[0]) <= 0


def test_output_conditions(tmp_path):
    def read(text):
        return shown(read_vnnlib(write(tmp_path, HEAD + BOX + text)))

    assert read("") == [[]]
    assert read("(assert (<= Y_0 0.5))") == [[([-1, 0, 0], -0.5)]]
    assert read("(assert (>= Y_0 (- 2)))(assert (>= Y_1 Y_2))") == [[([1, 0, 0], -2.0), ([0, 1, -1], 0.0)]]
    assert read("(assert (or (and (<= Y_0 Y_1) (<= Y_0 Y_2)) (>= Y_1 3)))(assert (>= Y_2 1))") == [
        [([-1, 1, 0], 0.0), ([-1, 0, 1], 0.0), ([0, 0, 1], 1.0)],
        [([0, 1, 0], 3.0), ([0, 0, 1], 1.0)],
    ]
    ((_, rhs),) = read("(assert (>= Y_0 0.1))")[0]
    assert Fraction(rhs) <= Fraction(1, 10) and rhs > 0.0999999
    ((_, rhs),) = read("(assert (<= Y_0 0.1))")[0]
    assert Fraction(rhs) <= Fraction(-1, 10)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD, "X_0 has no lower bound"),
        (HEAD + BOX.replace("(assert (<= X_0 0.3))", ""), "X_0 has no upper bound"),
        (HEAD + BOX.replace("0.3", "-0.3"), "the lower bound of X_0 is above"),
        (HEAD + BOX[:-3], "not closed"),
        (HEAD + BOX + ")", "not opened"),
        (HEAD + BOX + "(" * 100, "too deeply"),
        (HEAD + BOX.replace("0.3", "nan"), "not a finite"),
        (HEAD + BOX.replace("0.3", "1e400"), "larger than float64"),
        (HEAD + BOX.replace("0.3", "three"), "'three' is not a number"),
        (HEAD + BOX.replace("X_1", "X_2"), "X_2 is not declared"),
        (HEAD.replace("X_0", "X_5") + BOX, "one after another"),
        (HEAD + BOX + "(assert (>= Y_3 0))", "Y_3 is not declared"),
        (HEAD + BOX + "(assert (>= X_0 Y_0))", "only one box"),
        (HEAD + BOX + "(assert (or (and (<= X_0 0) (>= Y_0 1)) (>= Y_0 2)))", "only one box"),
        (HEAD + BOX + "(assert (>= (+ Y_0 Y_1) 1))", "is not a number"),
        (HEAD + BOX + "(assert (= Y_0 1))", "is not expected"),
        (HEAD + BOX + "(assert (or (<= Y_0 0) (<= Y_1 0)))" * 20, "more than 10000 cases"),
        ("", "not declared"),
        ("\ud800", "it is not text"),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path, text, message):
    path = tmp_path / "p.vnnlib"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ValueError, match=message) as caught:
        read_vnnlib(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 500), st.binary(max_size=2)), min_size=1, max_size=3))
def test_damaged_files_only_raise_value_error(tmp_path_factory, changes):
    data = bytearray((HEAD + BOX + "(assert (or (>= Y_0 Y_1) (and (<= Y_2 0.5))))").encode())
    for at, new in changes:
        data[at : at + 1] = new
    path = tmp_path_factory.getbasetemp() / "fuzz.vnnlib"
    path.write_bytes(data)
    try:
        read_vnnlib(path)
    except ValueError as error:
        assert str(error).startswith(str(path))
