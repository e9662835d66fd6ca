import numpy as np
import pytest

from hr2jax.domain import Everywhere
from hr2jax.network import Network
from hr2jax.problem import checked_problem

INPUTS, OUTPUTS = 3, 4
NET = Network([np.ones((5, INPUTS)), np.ones((OUTPUTS, 5))], [np.zeros(5), np.zeros(OUTPUTS)])
SCALAR = Network([np.ones((5, INPUTS)), np.ones((1, 5))], [np.zeros(5), np.zeros(1)])
CENTER = [0.0, 1.0, 2.0]


@pytest.mark.parametrize(
    ("output", "coefficients"),
    [
        (0, [1, 0, 0, 0]),
        (np.int64(3), [0, 0, 0, 1]),
        ((1, 3), [0, 1, 0, -1]),
        ((np.int32(3), 1), [0, -1, 0, 1]),
        ((2, 2), [0, 0, 0, 0]),
        ([0.5, 0, -2, 1], [0.5, 0, -2, 1]),
        ((1, 2, 3, 4), [1, 2, 3, 4]),
        (np.float32([0.1, 0, 0, 0]), [float(np.float32(0.1)), 0, 0, 0]),
    ],
)
def test_the_outputs_that_are_understood(output, coefficients):
    result = checked_problem(NET, output).coefficients
    assert result.dtype == np.float64
    assert result.tolist() == coefficients


def test_no_output_means_the_only_one():
    assert checked_problem(SCALAR).coefficients.tolist() == [1.0]


def test_no_output_of_several_means_all_of_them():
    problem = checked_problem(NET)
    assert problem.is_vector
    assert problem.coefficients.tolist() == np.eye(4).tolist()
    assert problem.output_norm == "inf" and problem.is_of_rows
    assert checked_problem(NET, norm=2).output_norm == 2
    assert checked_problem(NET, norm=2, output_norm="l1").output_norm == 1


def test_a_matrix_of_one_row_is_the_vector_it_is():
    assert checked_problem(NET, [[1.0, 0, 0, 2]], output_norm=1) == checked_problem(NET, [1.0, 0, 0, 2])


def test_the_largest_value_of_several_outputs_is_refused():
    with pytest.raises(ValueError, match="the network has 4 outputs; give output=k"):
        checked_problem(NET, center=np.zeros(NET.widths[0]), radius=1.0, quantity="maximum")
    with pytest.raises(ValueError, match="one function's"):
        checked_problem(NET, np.eye(4), center=np.zeros(NET.widths[0]), radius=1.0, quantity="maximum")


@pytest.mark.parametrize(
    "output",
    [
        4, -1, 10**30, True, np.True_, 0.0, "0", b"0", np.array(2), {}, {0, 1},
        (0, 4), (-1, 0), (0, True), (0.5, 1.5), (0, 1, 2), (),
        [1.0], [1.0] * 3, [1.0] * 5, [[1.0] * 3], [[[1.0] * 4]], np.zeros((0, 4)),
        [1, 0, 0, 1j], [1, 0, 0, np.nan], [np.inf, 0, 0, 0],
        ["a"] * 4, [True] * 4, [None] * 4, [2**53 + 1, 0, 0, 0], [[1.0], [1.0, 2.0]], [0, 1],
    ],
)  # fmt: skip
def test_other_outputs_are_refused(output):
    with pytest.raises(ValueError, match=r"^output (must|has|.*was asked for, but the network has 4 outputs)"):
        checked_problem(NET, output)


def test_a_list_of_outputs_is_told_the_way():
    with pytest.raises(ValueError, match=r"are output=np\.eye\(4\)\[\[1, 2\]\]"):
        checked_problem(NET, [1, 2])


@pytest.mark.parametrize("norm", ["inf", "INF", "linf", "Linf", np.inf, float("inf"), np.float32("inf")])
def test_spellings_of_the_infinity_norm(norm):
    assert checked_problem(SCALAR, norm=norm).norm == "inf"


@pytest.mark.parametrize("norm", [2, 2.0, "2", "l2", "L2", np.int64(2), np.float64(2)])
def test_spellings_of_the_euclidean_norm(norm):
    assert checked_problem(SCALAR, norm=norm).norm == 2


@pytest.mark.parametrize(
    "norm", [3, "3", "l3", "", "two", None, True, -np.inf, np.nan, 2.5, 2j, [2], b"2", np.array(2)]
)
def test_other_norms_are_refused(norm):
    with pytest.raises(ValueError, match=r'^norm must be "inf", 2 or 1'):
        checked_problem(SCALAR, norm=norm)


def test_a_global_problem():
    problem = checked_problem(SCALAR)
    assert not problem.is_local
    assert problem.domain == Everywhere()
    assert not hasattr(problem.domain, "center")


@pytest.mark.parametrize("norm", ["inf", 2])
def test_one_radius_is_that_of_every_input(norm):
    problem = checked_problem(SCALAR, norm=norm, center=CENTER, radius=0.1)
    assert problem.is_local
    assert problem.domain.center.tolist() == CENTER
    assert problem.domain.radius.tolist() == [0.1] * 3
    assert problem.domain.free(3).tolist() == [0, 1, 2]


def test_a_radius_of_some_zeros_fixes_those_inputs():
    problem = checked_problem(SCALAR, center=CENTER, radius=[0.0, 0.5, -0.0])
    assert problem.domain.radius.tolist() == [0.0, 0.5, 0.0]
    assert problem.domain.free(3).tolist() == [1]


def test_the_problem_does_not_follow_its_arguments():
    center, radius, output = np.zeros(3), np.ones(3), np.ones(4)
    problem = checked_problem(NET, output, center=center, radius=radius)
    for array in (center, radius, output):
        array[:] = 7
    assert problem == checked_problem(NET, np.ones(4), center=np.zeros(3), radius=np.ones(3))


@pytest.mark.parametrize(
    ("domain", "message"),
    [
        ({"radius": 1.0}, "a radius was given without a center"),
        ({"center": CENTER}, "a center was given without a radius"),
        ({"center": CENTER[:2], "radius": 1.0}, r"center must have shape \(3,\).* \(2,\)"),
        ({"center": [CENTER, CENTER], "radius": 1.0}, r"center must have shape \(3,\).* \(2, 3\)"),
        ({"center": 0.0, "radius": 1.0}, r"center must have shape \(3,\).* \(\)"),
        ({"center": [0, np.nan, 0], "radius": 1.0}, "center must be finite"),
        ({"center": [0, 0, np.inf], "radius": 1.0}, "center must be finite"),
        ({"center": [0, 0, 1j], "radius": 1.0}, "center must hold real numbers"),
        ({"center": "abc", "radius": 1.0}, "center must hold real numbers"),
        ({"center": [0, 0, 2**53 + 1], "radius": 1.0}, "center has dtype int64 and a value that float64"),
    ],
)
def test_half_a_domain_or_a_bad_center_is_refused(domain, message):
    with pytest.raises(ValueError, match=message):
        checked_problem(SCALAR, **domain)


@pytest.mark.parametrize(
    ("radius", "message"),
    [
        (-1.0, r"radius must not be negative, but -1\.0"),
        ([1.0, -0.5, 1.0], r"radius must not be negative, but -0\.5"),
        (np.nan, "radius must be finite"),
        (np.inf, "radius must be finite"),
        ([1.0, np.nan, 1.0], "radius must be finite"),
        ([1.0, 1.0, np.inf], "radius must be finite"),
        (0, "radius must be positive in at least one entry"),
        (-0.0, "radius must be positive in at least one entry"),
        ([0.0] * 3, "radius must be positive in at least one entry"),
        ([1.0], r"radius must be a number or have shape \(3,\)"),
        ([1.0] * 4, r"radius must be a number or have shape \(3,\)"),
        ([], r"radius must be a number or have shape \(3,\)"),
        ([[1.0] * 3] * 2, r"radius must be a number or have shape \(3,\)"),
        ([[1.0], [1.0, 2.0]], "radius must"),
        (True, "radius must hold real numbers"),
        ("1", "radius must hold real numbers"),
        (1j, "radius must hold real numbers"),
        (2**53 + 1, "radius has dtype int64 and a value that float64"),
    ],
)
def test_bad_radii_are_refused(radius, message):
    with pytest.raises(ValueError, match=message):
        checked_problem(SCALAR, center=CENTER, radius=radius)


@pytest.mark.parametrize("radius", [[1.0] * 3, [1.0, 0.0, 1.0]])
def test_one_radius_per_input_is_for_the_infinity_norm(radius):
    with pytest.raises(ValueError, match="radius must be a single number for norm 2"):
        checked_problem(SCALAR, norm=2, center=CENTER, radius=radius)


def test_equality_is_of_values():
    def local(**changed):
        return checked_problem(
            NET, **({"output": 1, "norm": "inf", "center": CENTER, "radius": 0.5} | changed)
        )

    assert local() == local(output=[0.0, 1.0, 0.0, 0.0], norm=np.inf, radius=[0.5] * 3)
    for changed in ({"output": 2}, {"norm": 2}, {"center": [0.0] * 3}, {"radius": 0.25}):
        assert local() != local(**changed)
    assert local() != checked_problem(NET, 1)
    assert local() != "a problem"


def test_a_center_is_an_image():
    """It was refused: "center must have 1 dimension"."""
    net = Network([np.ones((2, 6)), np.ones((1, 2))], [np.zeros(2), np.zeros(1)])
    image = np.asfortranarray(np.arange(6.0).reshape(2, 3))  # C order is meant, whatever the memory's
    problem = checked_problem(net, center=image, radius=image)
    assert problem == checked_problem(net, center=np.arange(6.0), radius=np.arange(6.0))
    assert problem.domain.center.shape == problem.domain.radius.shape == (6,)
