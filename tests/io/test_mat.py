import io
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.io.matlab import MatlabObject

import hr2jax
from hr2jax.io import mat, matfile
from hr2jax.io.budget import Budget
from hr2jax.io.told import Told
from hr2jax.network import Network
from tests.reference.effort import examples

KEYS = {
    "A_1": np.arange(6.0).reshape(3, 2) / 7,
    "b_1": np.array([1.0, -1.0, 0.5]),
    "A_2": np.arange(12.0).reshape(4, 3),
    "b_2": np.ones(4),
    "C": np.arange(8.0).reshape(2, 4),
    "d": np.array([0.25, -3.0]),
}
WEIGHTS, BIASES = [KEYS[k] for k in ("A_1", "A_2", "C")], [KEYS[k] for k in ("b_1", "b_2", "d")]
NET = Network(WEIGHTS, BIASES)


def without(*names, **added):
    return {k: v for k, v in KEYS.items() if k not in names} | added


def cells(*values, shape=None):
    array = np.empty(len(values), object)
    array[:] = values
    return array.reshape(shape or (1, -1))


def packed(variables, **options):
    file = io.BytesIO()
    scipy.io.savemat(file, variables, **options)
    return file.getvalue()


@pytest.fixture
def load(tmp_path):
    def write_and_load(contents, **options):
        path = tmp_path / "net.mat"
        path.write_bytes(contents if isinstance(contents, bytes) else packed(contents, **options))
        return hr2jax.load(path, activation="relu")

    return write_and_load


@pytest.fixture
def refused(load, tmp_path):
    def check(contents, message, **options):
        with pytest.raises(ValueError, match=message) as caught:
            load(contents, **options)
        assert str(caught.value).startswith(str(tmp_path / "net.mat"))
        assert "\n" not in str(caught.value)

    return check


# What is understood


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("vectors", ["row", "column"])
def test_the_keys_of_npz(load, compressed, vectors):
    assert load(KEYS, do_compression=compressed, oned_as=vectors).hash == NET.hash


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("vectors", ["row", "column"])
@pytest.mark.parametrize("shape", [(1, 3), (3, 1)])
def test_the_cells_of_lipsdp(load, compressed, vectors, shape):
    variables = {"weights": cells(*WEIGHTS, shape=shape), "biases": cells(*BIASES, shape=shape)}
    assert load(variables, do_compression=compressed, oned_as=vectors).hash == NET.hash


def test_without_biases_they_are_zero(load):
    expected = Network(WEIGHTS, [np.zeros(len(A)) for A in WEIGHTS])
    assert load({"weights": cells(*WEIGHTS)}).hash == expected.hash
    assert load(without("d", "b_1", "b_2", b_1=np.zeros(3), b_2=np.zeros(4))).hash == expected.hash


@pytest.mark.parametrize("vectors", ["row", "column"])
def test_c_is_a_single_row_and_d_a_number(load, vectors):
    loaded = load(without("C", "d", c=KEYS["C"][1], d=0.5), oned_as=vectors)
    assert loaded.hash == Network([*WEIGHTS[:-1], KEYS["C"][1:]], [*BIASES[:-1], [0.5]]).hash


def test_widths_of_one(load):
    one = {"A_1": [[2.0]], "b_1": 3.0, "c": 4.0, "d": 5.0}
    assert load(one).hash == Network([[[2.0]], [[4.0]]], [[3.0], [5.0]]).hash


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_every_real_class(load, dtype):
    whole = {k: np.abs(np.round(v)).astype(dtype) for k, v in KEYS.items()}
    loaded = load(whole)
    expected = Network([whole[k] for k in ("A_1", "A_2", "C")], [whole[k] for k in ("b_1", "b_2", "d")])
    assert loaded.hash == expected.hash


@pytest.mark.parametrize("compressed", [False, True])
def test_sparse_matrices(load, compressed):
    rng = np.random.default_rng(0)
    A = rng.normal(size=(5, 7)) * (rng.random((5, 7)) < 0.3)
    variables = {
        "A_1": scipy.sparse.csc_matrix(A),
        "b_1": scipy.sparse.csc_matrix(np.array([[0, 1.0, 0, 0, 2.0]])),
        "C": scipy.sparse.csc_matrix((2, 5)),
    }
    expected = Network([A, np.zeros((2, 5))], [[0, 1, 0, 0, 2], [0, 0]])
    assert load(variables, do_compression=compressed).hash == expected.hash
    both = {
        "weights": cells(variables["A_1"], variables["C"]),
        "biases": cells(np.array([0, 1, 0, 0, 2]), np.zeros(2)),
    }
    assert load(both, do_compression=compressed).hash == expected.hash


OTHERS = {
    "name": "a text",
    "info": {"epochs": 3, "optimiser": "adam"},
    "empty": np.zeros((0, 0)),
    "flag": True,
    "z": 1j,
    "cube": np.ones((2, 2, 2)),
    "list": cells("a", cells(1.0), {"b": 2}),
    "activation": "tanh",
}


def test_data_beside_the_network_is_no_part_of_it(load):
    assert load(KEYS | {"x00": np.ones(2), "labels": [1], "inputs": np.ones((3, 2)), "center": 1j}).hash == NET.hash


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("network", [KEYS, {"weights": cells(*WEIGHTS), "biases": cells(*BIASES)}])
def test_other_variables_are_refused_by_name(refused, name, network):
    refused(network | {name: OTHERS[name]}, f"{name} is not expected")


def test_the_activation_of_lipsdp_is_asked_for(tmp_path):
    path = tmp_path / "net.mat"
    path.write_bytes(packed({"weights": cells(*WEIGHTS), "biases": cells(*BIASES)}))
    with pytest.raises(ValueError, match=r'weights\{1\}.*does not say which activation .* say activation="relu"'):
        hr2jax.load(path)
    net = hr2jax.load(path, activation=["relu", "tanh"])
    assert [layer.activation for layer in net.layers] == ["relu", "tanh", "identity"]
    with pytest.raises(ValueError, match="cells of weights are in the order"):
        hr2jax.load(path, activation="relu", layers=["weights"])
    path.write_bytes(packed({"weights": cells(*WEIGHTS)}))
    with pytest.raises(ValueError, match="no biases, which would be taken as zeros"):
        hr2jax.load(path)


def nnv(*activations, **changed):
    return {"W": cells(*WEIGHTS), "b": cells(*BIASES), "act_fcns": cells(*activations)} | changed


def test_the_cells_of_nnv_say_their_activations(tmp_path, refused):
    path = tmp_path / "net.mat"
    for names in (("relu", "poslin", "linear"), ("relu", "relu", "purelin")):
        path.write_bytes(packed(nnv(*names)))
        assert hr2jax.load(path).hash == NET.hash
    with pytest.raises(ValueError, match="activation says tanh"):
        hr2jax.load(path, activation="tanh")
    path.write_bytes(packed(nnv("tansig", "relu", "linear")))
    assert [layer.activation for layer in hr2jax.load(path).layers] == ["tanh", "relu", "identity"]
    refused(nnv("relu", "relu", "relu"), "ends in relu, but the last layer must be linear")
    refused(nnv("relu", "softplush", "linear"), "'softplush', which is no activation")
    refused(nnv("relu", "linear"), "equally many cells")
    refused(nnv("relu", 1.0, "linear"), r"act_fcns\{2\} must be text")
    refused(nnv("relu", "relu", "linear", lb=[0.0]), "lb is not expected")


@settings(deadline=None, max_examples=examples(30))
@given(
    hnp.arrays("f8", hnp.array_shapes(min_dims=2, max_dims=2, max_side=4), elements=st.floats(width=64)),
    st.booleans(),
)
def test_an_array_is_what_scipy_wrote(A, compressed):
    file = io.BytesIO(packed({"A_1": A, "b_1": [0.0], "C": A}, do_compression=compressed))
    for weight in mat.read(file, Told(), Budget()).weights:
        np.testing.assert_array_equal(weight, A)


def element(code, data, order):
    return struct.pack(order + "II", code, len(data)) + data + bytes(-len(data) % 8)


def variable(name, value, order=">", *, kind=6, storage=9, shape=None):
    value = np.atleast_2d(value)
    parts = [
        element(6, struct.pack(order + "II", kind, 0), order),
        element(5, struct.pack(order + "ii", *(shape or value.shape)), order),
        element(1, name.encode(), order),
        element(storage, value.astype(order + matfile._STORAGE.get(storage, "f8")).tobytes(order="F"), order),
    ]
    return element(14, b"".join(parts), order)


def file_of(*variables, order=">"):
    header = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(order + "HH", 0x100, 0x4D49)
    return header + b"".join(variables)


@pytest.mark.parametrize("order", "<>")
def test_files_of_either_byte_order(load, order):
    contents = file_of(*[variable(k, v, order) for k, v in KEYS.items()], order=order)
    assert load(contents).hash == NET.hash


# What is refused


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"x": 1.0}, "the key A_1 is missing"),
        (without("A_2"), "the key A_2 is missing"),
        (without("b_2"), "the key b_2 is missing"),
        (without("C"), "the key C .* is missing"),
        (without(c=np.ones(4)), "both C and c are there"),
        (without("C", c=KEYS["C"]), "c must be 1-D"),
        (without("b_1", b_1=np.ones((2, 2))), "b_1 must have 1 dimension"),
        (without("b_1", b_1=np.zeros((0, 0))), "b_1 must have 1 dimension"),
        (without("A_1", A_1=np.ones((3, 2, 2))), "A_1 must have 2 dimension"),
        (without("A_1", A_1=np.full((3, 2), np.nan)), "A_1 must be finite"),
        (without("A_1", A_1=np.full((3, 2), 2**53 + 1)), "A_1 has dtype int64"),
        (without("A_1", A_1=KEYS["A_1"] * 1j), r"A_1 must be a real .* complex array of shape \(3, 2\)"),
        (without("A_1", A_1=KEYS["A_1"] > 0), "A_1 must be a real numeric array.* logical"),
        (without("A_1", A_1=scipy.sparse.csc_matrix(KEYS["A_1"] * 1j)), "A_1 must be a real .* complex"),
        (without("A_1", A_1="text"), "A_1 must be a real numeric array, but it is text"),
        (without("A_1", A_1={"a": 1}), "A_1 must be a real numeric array, but it is a struct"),
        (without("A_1", A_1=cells(KEYS["A_1"])), "A_1 must be a real numeric array, but it is a cell array"),
        (
            without("A_1", A_1=MatlabObject(np.array([[(1,)]], [("a", object)]), "net")),
            "A_1 must be a real numeric array, but it is an object",
        ),
        ({"weights": cells(*WEIGHTS), "C": WEIGHTS[-1]}, "both weights and C are there"),
        ({"weights": WEIGHTS[0]}, r"weights must be a cell array .* numeric array of shape \(3, 2\)"),
        ({"weights": {"a": 1}}, "weights must be a cell array .* a struct"),
        ({"weights": "text"}, "weights must be a cell array .* text"),
        ({"weights": cells(*WEIGHTS, *WEIGHTS, shape=(2, 3))}, r"weights must be a cell .* shape \(2, 3\)"),
        ({"weights": np.array([np.eye(2), np.eye(2)], object)}, r"weights must be a cell .* \(2, 2, 2\)"),
        ({"weights": cells(*WEIGHTS), "biases": np.ones(3)}, "biases must be a cell array"),
        ({"weights": cells(*WEIGHTS), "biases": cells(*BIASES[:2])}, "3 biases are expected, not 2"),
        ({"weights": cells(WEIGHTS[0])}, "at least one hidden layer"),
        ({"weights": cells(WEIGHTS[0], cells(WEIGHTS[1]))}, r"weights\{2\} must be .* a cell array"),
        ({"weights": cells(WEIGHTS[0], "x")}, r"weights\{2\} must be a real numeric array, but it is text"),
        ({"weights": cells(WEIGHTS[0], {"a": 1})}, r"weights\{2\} must be .* a struct"),
        ({"weights": cells(*WEIGHTS), "biases": cells(*BIASES[:2], np.eye(0))}, "d must have 1 dimension"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("compressed", [False, True])
def test_variables_that_are_no_network_are_refused(refused, variables, message, compressed):
    refused(variables, message, do_compression=compressed)


NUMBERS = [variable(k, v) for k, v in KEYS.items()]
PARTS = element(6, struct.pack(">II", 17, 0), ">") + b"".join(
    element(1, text, ">") for text in (b"A_1", b"MCOS", b"string")
)
OPAQUE = element(14, PARTS, ">")
HDF5 = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "is empty"),
        (b"x", "not a MATLAB file in the format of save -v6 or -v7"),
        (b"hello, world" * 20, "not a MATLAB file"),
        (bytes(2000), "not a MATLAB file"),
        (packed({"A_1": [1.0]}, format="4"), "not a MATLAB file"),
        (HDF5.ljust(512) + b"\x89HDF\r\n\x1a\n", r"-v7\.3; save it with -v7"),
        (b"\x89HDF\r\n\x1a\n" + bytes(1000), r"-v7\.3; save it with -v7"),
        (file_of(), "the key A_1 is missing"),
        (file_of(*NUMBERS, NUMBERS[0]), "holds A_1 more than once"),
        (file_of(*NUMBERS)[:-4], "incomplete"),
        (file_of(*NUMBERS, b"1234"), "incomplete"),
        (file_of(*NUMBERS, element(9, bytes(8), ">")), "something in it is not a variable"),
        (file_of(*NUMBERS, element(15, b"not zlib", ">")), r"a variable of .* is damaged \(Error"),
        (file_of(*NUMBERS, element(14, bytes(16), ">")), "no proper heading"),
        (file_of(variable("A_1", np.ones(6), shape=(3, -2))), "no proper heading"),
        (file_of(variable("A_1", np.ones(6), shape=(3, 3)), *NUMBERS[1:]), "A_1 is damaged: it says it is"),
        (
            file_of(variable("A_1", np.ones(6), kind=16), *NUMBERS[1:]),
            "function handle, and nothing .* executed",
        ),
        (
            file_of(variable("A_1", np.ones(6), kind=18), *NUMBERS[1:]),
            "a MATLAB object, and nothing .* executed",
        ),
        (file_of(OPAQUE, *NUMBERS[1:]), "A_1 .* a MATLAB object, and nothing in a file is executed"),
    ],
)
def test_files_that_are_damaged_or_something_else_are_refused(refused, contents, message):
    refused(contents, message)


@pytest.mark.parametrize("code", [0, 8, 14, 19, 20, 1000, 65535])
def test_an_unknown_storage_is_refused(refused, code):  # scipy.io.loadmat crashes on these
    contents = file_of(variable("A_1", KEYS["A_1"], storage=code), *NUMBERS[1:])
    refused(contents, "A_1 is damaged: it says it is a numeric array")


SAMPLES = Path(scipy.io.matlab.__file__).parent / "tests" / "data"
VERSION_5 = re.compile(r"test(double|matrix|minus|multi|sparse)_[67].*")


@pytest.mark.parametrize(
    "path", [p for p in sorted(SAMPLES.glob("*.mat")) if VERSION_5.match(p.name)], ids=lambda p: p.name
)
def test_files_written_by_matlab_are_what_scipy_reads(path):
    expected = scipy.io.loadmat(path)
    for name, matrix in matfile.variables(memoryview(path.read_bytes()), Budget()).items():
        value = expected[name]
        value = value.toarray() if scipy.sparse.issparse(value) else value
        if np.isrealobj(value):
            np.testing.assert_array_equal(matfile.array(matrix, name, Budget(), vector=False), value)


def sparse_file(rows, starts, values, shape=(3, 2)):
    heading = [
        element(6, struct.pack("<II", 5, len(rows)), "<"),
        element(5, struct.pack("<ii", *shape), "<"),
        element(1, b"A_1", "<"),
    ]
    parts = [
        element(5, np.array(rows, "<i4").tobytes(), "<"),
        element(5, np.array(starts, "<i4").tobytes(), "<"),
    ]
    A = element(14, b"".join([*heading, *parts, element(9, np.array(values, "<f8").tobytes(), "<")]), "<")
    return file_of(A, *[variable(k, v, "<") for k, v in KEYS.items() if k != "A_1"], order="<")


def test_a_sparse_matrix_by_hand(load):
    loaded = load(sparse_file([0, 2, 1, 0], [0, 2, 3], [5, 6, 7, 0]))  # room for more entries than there are
    assert loaded.weights[0].tolist() == [[5, 0], [0, 7], [6, 0]]


@pytest.mark.parametrize(
    ("rows", "starts", "values", "shape"),
    [
        ([0, 3], [0, 1, 2], [1, 1], (3, 2)),
        ([0, -1], [0, 1, 2], [1, 1], (3, 2)),
        ([1, 1], [0, 2, 2], [1, 1], (3, 2)),
        ([0, 1], [0, 1], [1, 1], (3, 2)),
        ([0, 1], [0, 2, 1], [1, 1], (3, 2)),
        ([0, 1], [1, 1, 2], [1, 1], (3, 2)),
        ([0, 1], [0, 1, 3], [1, 1], (3, 2)),
        ([0, 1], [0, 1, 2], [1], (3, 2)),
        ([0, 1], [0, 1, -2], [1, 1], (3, 2)),
        ([0, 1], [], [1, 1], (3, 2)),
        ([0, 1], [0, 1, 2], [1, 1], (3, 2**31 - 1)),
    ],
)
def test_a_sparse_matrix_with_wrong_indices_is_refused(refused, rows, starts, values, shape):
    refused(sparse_file(rows, starts, values, shape), "A_1 is damaged: it says it is a numeric array")


def test_a_variable_that_inflates_beyond_what_it_says_is_refused(refused):
    whole = packed({"A_1": np.zeros((300, 300))}, do_compression=True)
    inner = bytearray(zlib.decompress(whole[128 + 8 :]))
    for size, message in ((8, "longer than it says"), (2**31, "declares 2147483648 bytes, but")):
        inner[4:8] = struct.pack("<I", size)
        body = zlib.compress(bytes(inner))
        refused(whole[:128] + struct.pack("<II", 15, len(body)) + body, message)


@pytest.mark.parametrize("compressed", [False, True])
def test_damaged_bytes_are_refused_or_harmless(load, compressed):
    rng = np.random.default_rng(0)
    whole = packed(
        {"weights": cells(*WEIGHTS[:2], scipy.sparse.csc_matrix(KEYS["C"]))} | KEYS, do_compression=compressed
    )
    for at in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[at] = rng.integers(256)
        try:
            load(bytes(damaged))
        except ValueError as error:
            assert "\n" not in str(error)
    for kept in range(1, len(whole), 61):
        with pytest.raises(ValueError):
            load(whole[:kept])
