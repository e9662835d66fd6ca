import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hr2jax

TEXT = """// Neural network file of the format by Kyle Julian, Stanford 2016
// a second line, with numbers 1,2,3
2,3,2,4,
3,4,2,
0,
-3.40282e+38,-3.40282e+38,-3.40282e+38,
3.40282e+38,3.40282e+38,inf,
0.0,0.0,0.0,0.0,
1.0,1.0,1.0,1.0,
1.0,2.0,3.0,
-4.0,0.1,6e-3,
7.0,8.0,9.0,
10.0,11.0,12.0,
0.5,
-0.5,
0.25,
0.0,
1.0,-2.0,3.0,-4.0,
5.0,6.0,-7.0,8.0,
-1.5,
2.5,
"""


def write(folder, text, name="net.nnet"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_the_layers_as_they_stand(tmp_path):
    net = hr2jax.load(write(tmp_path, TEXT))
    assert net.weights[0].tolist() == [[1, 2, 3], [-4, 0.1, 0.006], [7, 8, 9], [10, 11, 12]]
    assert net.biases[0].tolist() == [0.5, -0.5, 0.25, 0]
    assert net.weights[1].tolist() == [[1, -2, 3, -4], [5, 6, -7, 8]]
    assert net.biases[1].tolist() == [-1.5, 2.5]
    loose = TEXT.replace(",\n", "\n").replace(",", " , ").replace("\n", "\r\n")
    assert hr2jax.load(write(tmp_path, loose)).hash == net.hash


def test_relu_is_what_the_format_means(tmp_path):
    path = write(tmp_path, TEXT)
    assert hr2jax.load(path, activation="relu").depth == 1
    with pytest.raises(ValueError, match=r"activation says tanh, but an \.nnet file has relu"):
        hr2jax.load(path, activation="tanh")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TEXT[:-5], "need 26 weights and biases, but the file has 25"),
        (TEXT + "1.0,\n", "but the file has 27"),
        (TEXT.replace("6e-3", "six"), r"line 11 \(a layer\) must hold numbers"),
        (TEXT.replace("6e-3", ""), r"line 11 \(a layer\) must hold numbers"),
        (TEXT.replace("6e-3", "1e999"), "A_1 must be finite"),
        (TEXT.replace("3,4,2,", "3,4,4,2,"), "the widths are"),
        (TEXT.replace("3,4,2,", "3,4.5,2,"), "the widths must be positive integers"),
        (TEXT.replace("3,4,2,", "3,0,2,"), "the widths must be positive integers"),
        (TEXT.replace("3,4,2,", "3,nan,2,"), "the widths must be positive integers"),
        (TEXT.replace("3,4,2,", "3,2000000000,2,"), "need 12000000002 weights"),
        ("// only this\n", "heading has 7 lines"),
        (TEXT.replace("1.0,1.0,1.0,1.0,", "1.0,1.0,1.0,"), "the ranges must be 4 numbers, but 3 are there"),
        (TEXT.replace("1.0,1.0,1.0,1.0,", "1.0,1.0,0.0,1.0,"), "ranges other than 0"),
        (TEXT.replace("0.0,0.0,0.0,0.0,", "0.0,inf,0.0,0.0,"), "means and the ranges must be finite"),
        (TEXT.replace(",inf,", ",nan,"), "minima must be at most its maximum"),
        (TEXT.replace("-3.40282e+38,-3.40282e+38,-3", "0.0,5.0,-3").replace("8,3.40282e+38,inf", "8,4.0,inf"),
         "minima must be at most its maximum"),
        (b"\x93NUMPY\xff", "plain text"),
        (np.random.default_rng(0).bytes(500), "plain text"),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(ValueError, match=message) as caught:
        hr2jax.load(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


NORMALISED = {
    "means": TEXT.replace("0.0,0.0,0.0,0.0,", "0.0,0.5,-0.1,7.5,"),
    "ranges": TEXT.replace("1.0,1.0,1.0,1.0,", "2.0,3.0,0.7,-0.3,"),
    "limits": TEXT.replace("-3.40282e+38,-3.40282e+38,-3", "-0.5,-0.25,-3").replace("8,3.40282e+38,inf", "8,0.1,1.0"),
}
NORMALISED["all"] = NORMALISED["limits"].replace("0.0,0.0,0.0,0.0,", "0.1,0.5,-0.1,7.5,").replace(
    "1.0,1.0,1.0,1.0,", "2.0,3.0,0.7,-0.3,"
)


@pytest.mark.parametrize("name", NORMALISED)
def test_normalisation_is_part_of_the_function(tmp_path, name):
    """x -> range N((clip(x) - means) / ranges) + mean, outside of the limits too."""
    net = hr2jax.load(write(tmp_path, NORMALISED[name]))
    rows = [line.split(",")[:-1] for line in NORMALISED[name].splitlines()[5:9]]
    low, high, means, ranges = (np.array([float(v) for v in row]) for row in rows)
    plain = hr2jax.load(write(tmp_path, TEXT, "plain.nnet"))
    assert net.hash != plain.hash
    x = np.random.default_rng(0).standard_normal((50, 3)) * 2
    expected = plain((np.clip(x, low, high) - means[:-1]) / ranges[:-1]) * ranges[-1] + means[-1]
    np.testing.assert_allclose(net(x), expected, rtol=1e-12, atol=1e-12)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(TEXT)), st.binary(max_size=2)), min_size=1, max_size=3))
def test_damaged_files_only_raise_value_error(tmp_path_factory, changes):
    data = bytearray(TEXT.encode())
    for at, new in changes:
        data[at : at + 1] = new
    path = write(tmp_path_factory.getbasetemp(), bytes(data), "fuzz.nnet")
    try:
        hr2jax.load(path)
    except ValueError as error:
        assert str(error).startswith(str(path))
