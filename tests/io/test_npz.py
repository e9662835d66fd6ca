import io
import os
import pickle
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import hr2jax
from hr2jax.network import Network
from tests.reference.data import shared
from tests.reference.effort import examples

KEYS = {
    "A_1": np.arange(6.0).reshape(3, 2),
    "b_1": np.array([1.0, -1.0, 0.5]),
    "A_2": np.arange(12.0).reshape(4, 3) / 7,
    "b_2": np.ones(4),
    "C": np.arange(8.0).reshape(2, 4),
    "d": np.array([0.25, -3.0]),
}
NET = Network([KEYS[k] for k in ("A_1", "A_2", "C")], [KEYS[k] for k in ("b_1", "b_2", "d")])


def without(*names, **added):
    return {k: v for k, v in KEYS.items() if k not in names} | added


def write(folder, keys, name="net.npz"):
    np.savez(folder / name, **keys)
    return folder / name


@pytest.fixture
def refused(tmp_path):
    def check(contents, message, name="net.npz"):
        path = tmp_path / name
        if isinstance(contents, bytes):
            path.write_bytes(contents)
        else:
            write(tmp_path, contents)
        with pytest.raises(ValueError, match=message) as caught:
            hr2jax.load(path)
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)

    return check


def packed(compress=False, **keys):
    file = io.BytesIO()
    (np.savez_compressed if compress else np.savez)(file, **keys)
    return file.getvalue()


# Round trip


@st.composite
def networks(draw):
    widths = draw(st.lists(st.integers(1, 4), min_size=3, max_size=5))
    entries = st.floats(allow_nan=False, allow_infinity=False)
    shapes = list(zip(widths[1:], widths[:-1], strict=True))
    return Network(
        [draw(hnp.arrays("f8", s, elements=entries)) for s in shapes],
        [draw(hnp.arrays("f8", s[0], elements=entries)) for s in shapes],
    )


@settings(deadline=None, max_examples=examples(40))
@given(networks())
def test_loading_what_was_saved_gives_the_same_network(tmp_path_factory, net):
    path = tmp_path_factory.getbasetemp() / "round.npz"
    net.save(path)
    loaded = hr2jax.load(path)
    assert (loaded.widths, loaded.hash) == (net.widths, net.hash)


def test_save_writes_the_documented_keys_to_exactly_the_path(tmp_path):
    path = tmp_path / "Net.NPZ"
    NET.save(str(path))
    assert os.listdir(tmp_path) == ["Net.NPZ"]
    with np.load(path) as saved:
        assert {k: saved[k].tolist() for k in saved} == {k: v.tolist() for k, v in KEYS.items()}
        assert {saved[k].dtype for k in saved} == {np.dtype("f8")}


def test_the_file_has_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "other").touch()
    NET.save(tmp_path / "net.npz")
    assert (tmp_path / "net.npz").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = write(tmp_path, KEYS)

    def fail(file, **keys):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OSError, match="disk full"):
        NET.save(path)
    assert os.listdir(tmp_path) == ["net.npz"]
    assert hr2jax.load(path).hash == NET.hash


def test_save_writes_through_a_link(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "net.npz").symlink_to(tmp_path / "folder" / "real.npz")
    NET.save(tmp_path / "net.npz")
    assert (tmp_path / "net.npz").is_symlink()
    assert hr2jax.load(tmp_path / "folder" / "real.npz").hash == NET.hash


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("net.mat", NotImplementedError, r"\.mat files cannot be written yet; today \.npz can"),
        ("net.onnx", NotImplementedError, r"\.onnx files cannot be written yet; today \.npz can"),
        ("net.txt", ValueError, r"has the suffix \.txt, but the name of a network file ends in \.npz"),
        ("net", ValueError, r"has no suffix, but"),
        ("folder.npz", ValueError, "is a directory"),
        ("missing/net.npz", FileNotFoundError, "there is no folder"),
    ],
)
def test_where_save_cannot_write(tmp_path, name, error, message):
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(error, match=message):
        NET.save(tmp_path / name)
    assert os.listdir(tmp_path) == ["folder.npz"]


# What load understands


@pytest.mark.parametrize("name", ["net.npz", "NET.NPZ", "a.b.Npz"])
@pytest.mark.parametrize("compress", [False, True])
def test_the_suffix_is_read_in_any_case(tmp_path, name, compress):
    (tmp_path / name).write_bytes(packed(compress, **KEYS))
    for path in (tmp_path / name, str(tmp_path / name)):
        assert hr2jax.load(path).hash == NET.hash


@pytest.mark.parametrize("c", [KEYS["C"][0], KEYS["C"][:1]])
def test_c_is_a_single_row(tmp_path, c):
    loaded = hr2jax.load(write(tmp_path, without("C", "d", c=c, d=[2.0])))
    assert loaded.hash == Network([*NET.weights[:-1], KEYS["C"][:1]], [*NET.biases[:-1], [2.0]]).hash


def test_a_missing_d_is_zero(tmp_path):
    loaded = hr2jax.load(write(tmp_path, without("d")))
    assert loaded.hash == Network(NET.weights, [*NET.biases[:-1], [0.0, 0.0]]).hash


def test_data_is_not_even_read(tmp_path):
    path = write(tmp_path, without(x00=np.array([NET], object), center=np.ones(9), inputs=1j, labels=["a"]))
    assert hr2jax.load(path).hash == NET.hash


@pytest.mark.parametrize(
    "name", ["activation", "mean", "std", "C2", "A_x", "B_1", "input_scale", "bias", "F", "0.weight", "A_1.weight"]
)
def test_any_other_key_is_refused_by_name(refused, name):
    refused(without(**{name: np.ones(2)}), f"{name} is not expected")


def test_a_file_in_the_archive_that_is_no_array_is_refused_by_name(tmp_path, refused):
    path = write(tmp_path, KEYS)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("readme.txt", "trained on Monday")
    refused(path.read_bytes(), "readme.txt is not expected")


def test_relu_is_what_our_files_mean_and_nothing_else(tmp_path):
    path = write(tmp_path, KEYS)
    assert hr2jax.load(path, activation="relu", layers=["A_1", "A_2", "C"], logits=True).hash == NET.hash
    assert hr2jax.load(path, activation=["relu", "relu"]).hash == NET.hash
    for options, message in (
        ({"activation": "tanh"}, "activation says tanh and tanh, but a file with the keys .* has relu and relu"),
        ({"activation": ["relu"]}, "activation says relu, but"),
        ({"layers": ["A_2", "A_1", "C"]}, "layers says A_2, A_1 and C, but the order"),
        ({"activation": "rely"}, "activation must be among identity, relu, .*, but 'rely' was given"),
        ({"activation": 3}, "activation must be a name"),
        ({"layers": "A_1"}, "layers must be a list"),
        ({"logits": 1}, "logits must be True or False"),
    ):
        with pytest.raises(ValueError, match=message):
            hr2jax.load(path, **options)


STATE = {f"{2 * i}.{kind}": v for i in range(3) for kind, v in (("weight", NET.weights[i]), ("bias", NET.biases[i]))}


def test_the_names_of_a_state_dict(tmp_path):
    path = write(tmp_path, STATE)
    assert hr2jax.load(path, activation="relu").hash == NET.hash
    assert hr2jax.load(path, activation=["relu", "relu"], layers=["0", "2", "4"]).hash == NET.hash
    smooth = hr2jax.load(path, activation=["gelu", "tanh"])
    assert smooth.hash == hr2jax.Network(NET.weights, NET.biases, activation=["gelu", "tanh"]).hash
    for options, message in (
        ({}, 'layers 0, 2 and 4, but does not say which activation is between them; say activation="relu"'),
        ({"activation": ["relu"]}, "activation has 1 names, but the layers 0, 2 and 4 leave room for 2"),
        ({"activation": "prelu"}, "'prelu' has slopes, which this file's layers do not say"),
        ({"activation": "relu", "layers": ["0", "5"]}, "layers names '5', but the layers of the file are 0, 2 and 4"),
    ):
        with pytest.raises(ValueError, match=message):
            hr2jax.load(path, **options)


def test_one_layer_straight_after_another_is_refused_or_made_one_where_that_is_said(tmp_path):
    keys = {"0.weight": np.array([[1.0, 2.0], [3.0, 0.5]]), "1.weight": np.eye(2), "1.bias": np.ones(2),
            "3.weight": np.array([[1.0, -1.0]])}  # fmt: skip
    path = write(tmp_path, keys)
    with pytest.raises(ValueError, match="0 and 1 leave no room for an activation between them"):
        hr2jax.load(path, activation="relu")
    assert hr2jax.load(path, activation="relu", layers=["0", "1", "3"]).depth == 2
    net = hr2jax.load(path, activation=["identity", "relu"])
    assert net.weights[0].tolist() == keys["0.weight"].tolist() and net.biases[0].tolist() == [1, 1]
    path = write(tmp_path, keys | {"1.weight": np.eye(2) / 3})
    net = hr2jax.load(path, activation=["identity", "relu"])  # the product would be rounded
    assert [layer.activation for layer in net.layers] == ["identity", "relu", "identity"]
    assert (net.layers[1].inputs[1] == np.eye(2) / 3).all() and not any(layer.has_radii for layer in net.layers)


def test_a_state_dict_of_two_slopes(tmp_path):
    path = write(tmp_path, STATE)
    net = hr2jax.load(path, activation=["leaky_relu", "abs"])
    x = np.random.default_rng(0).standard_normal((20, NET.widths[0]))
    z = x @ NET.weights[0].T + NET.biases[0]
    z = np.abs(np.where(z > 0, z, 0.01 * z) @ NET.weights[1].T + NET.biases[1])
    np.testing.assert_allclose(net(x), z @ NET.weights[2].T + NET.biases[2], rtol=1e-12)
    with pytest.raises(ValueError, match="'prelu' has slopes, which this file's layers do not say"):
        hr2jax.load(path, activation="prelu")


def test_layers_made_in_another_order_than_their_numbers_are_refused(tmp_path):
    path = write(tmp_path, {f"fc{i}.weight": np.eye(2) * i for i in (2, 1, 3)})
    with pytest.raises(ValueError, match="fc1, fc2 and fc3 were made in another order, fc2, fc1 and fc3; say layers"):
        hr2jax.load(path, activation="relu")
    net = hr2jax.load(path, activation="relu", layers=["fc2", "fc1", "fc3"])
    assert [A[0, 0] for A in net.weights] == [2, 1, 3]
    assert hr2jax.load(path, activation="relu", layers=["fc1", "fc1", "fc3"]).weights[1][0, 0] == 1  # tied


DTYPES = ["<f2", ">f4", ">f8", "<i8", ">i2", "|i1"]


def test_other_dtypes_and_orders(tmp_path):
    keys = {
        k: np.asfortranarray(np.round(v).astype(t)) for (k, v), t in zip(KEYS.items(), DTYPES, strict=True)
    }
    loaded = hr2jax.load(write(tmp_path, keys))
    for k, (A, b) in enumerate(zip(loaded.weights, loaded.biases, strict=True)):
        np.testing.assert_array_equal(A, np.round(NET.weights[k]))
        np.testing.assert_array_equal(b, np.round(NET.biases[k]))


def test_the_published_network_loads():
    net = hr2jax.load(shared("data", "sdp_nn.npz"))
    assert net.widths == (784, 500, 1)
    assert net.biases[-1].tolist() == [0.0]


# What load refuses


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"x": [1.0]}, "the key A_1 is missing"),
        (without("A_1"), "the key A_1 is missing"),
        (without("A_1", "b_1"), "the key A_1 is missing"),
        (without("A_2"), "the key A_2 is missing"),
        (without("b_2"), "the key b_2 is missing"),
        (without(A_4=np.ones((4, 4)), b_4=np.ones(4)), "the key A_3 is missing"),
        (without("A_2", A_02=KEYS["A_2"]), "the key A_2 is missing"),
        (without(b_3=np.ones(4)), "the key A_3 is missing"),
        (without(A_0=np.ones((2, 2)), b_0=np.ones(2)), "A_0 and b_0 are not expected"),
        (without("C"), "the key C .* is missing"),
        (without(c=np.ones(4)), "both C and c are there"),
        (without("C", c=KEYS["C"]), r"c must be 1-D, a single row, but its shape is \(2, 4\)"),
        (without("C", c=1.0), r"c must be 1-D, a single row, but its shape is \(\)"),
        (without("C", C=np.ones(4)), "C must have 2 dimension"),
        (without("C", "d", C=1.0), "C must have 2 dimension"),
        (without("A_1", A_1=np.ones((3, 2)) * 1j), "A_1 must hold real numbers .* complex128"),
        (without("A_1", A_1=np.array([["a"]])), "A_1 must hold real numbers"),
        (without("b_1", b_1=[1.0, np.nan, 1.0]), "b_1 must be finite"),
        (without("b_2", b_2=np.ones(5)), "b_2 has shape"),
        (without("d", d=np.array([{}, {}], object)), "d holds Python objects.*nothing in a file is executed"),
        (without("A_1", A_1=np.zeros(2, [("x", object)])), "A_1 holds Python objects"),
    ],
)  # fmt: skip
def test_keys_that_are_no_network_are_refused(refused, keys, message):
    refused(keys, message)


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


def test_a_pickle_is_refused_and_not_run(refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(without("d", d=np.array([Bomb()], object)), "d holds Python objects")
    refused(pickle.dumps(Bomb()), "not an .npz file")
    member = io.BytesIO(packed(**without("d")))
    with zipfile.ZipFile(member, "a") as archive:
        archive.writestr("d.npy", pickle.dumps(Bomb()))
    refused(member.getvalue(), "d is damaged or not an array")
    assert not (tmp_path / "exploded").exists()


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def zipped(*members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the names that occur twice
        for name, data in members:
            archive.writestr(name, data)
    return file.getvalue()


NPY = [(f"{k}.npy", npy(v)) for k, v in KEYS.items()]


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "is empty"),
        (b"P", "not an .npz file"),
        (b"hello, world" * 20, "not an .npz file"),
        (npy(np.ones(3)), "not an .npz file"),
        (b"PK", "damaged or incomplete"),
        (b"PK\x03\x04" + bytes(100), "damaged or incomplete"),
        (zipped(), "the key A_1 is missing"),
        (zipped(*NPY, NPY[0]), "holds A_1 more than once"),
        (zipped(*NPY, ("A_1", NPY[0][1])), "holds A_1 more than once"),
        (zipped(("A_1.npy", b""), *NPY[1:]), "A_1 is damaged or not an array"),
        (zipped(("A_1.npy", b"not an array"), *NPY[1:]), "A_1 is damaged or not an array"),
        (zipped(("A_1.npy", NPY[0][1][:-8]), *NPY[1:]), "A_1 is damaged or not an array"),
        (zipped(("A_1.npy", NPY[0][1] + b"x"), *NPY[1:]), "A_1 is damaged: there are bytes after"),
    ],
)  # fmt: skip
def test_files_that_are_no_archive_of_arrays_are_refused(refused, contents, message):
    refused(contents, message)


@pytest.mark.parametrize(
    "shape", [b"(3, -2)", b"(9, 9)", b"(10**9, 9)", b"(9**9)", b"(999999999, 999999999)", b"(3"]
)
def test_an_absurd_shape_is_refused(refused, shape):
    A = NPY[0][1].replace(b"(3, 2), }".ljust(len(shape) + 3), shape.ljust(6) + b", }")
    assert len(A) == len(NPY[0][1]) and shape in A
    refused(zipped(("A_1.npy", A), *NPY[1:]), "A_1 is damaged or not an array")


@pytest.mark.parametrize("compress", [False, True])
def test_a_truncated_archive_is_refused(refused, compress):
    whole = packed(compress, **KEYS)
    for kept in range(1, len(whole), 37):
        refused(whole[:kept], "damaged or incomplete|not an .npz file")


@pytest.mark.parametrize("compress", [False, True])
def test_a_damaged_byte_never_changes_a_weight(tmp_path, compress):
    whole, path = packed(compress, **KEYS), tmp_path / "net.npz"
    for at in range(0, len(whole), 11):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :])
        try:
            loaded = hr2jax.load(path)
        except ValueError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)
        else:  # a date, say; or the name of d, which may be missing
            assert [A.tolist() for A in loaded.weights] == [A.tolist() for A in NET.weights]


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("net.txt", ValueError, r"has the suffix \.txt, but .* ends in \.npz, .* \.pt, \.pth, \.ckpt, .* or \.hdf5"),
        ("net.txt.gz", ValueError, r"has the suffix \.txt\.gz, but"),
        ("net", ValueError, "has no suffix, but"),
        ("folder.npz", ValueError, "is a directory"),
        ("missing.npz", FileNotFoundError, "missing.npz"),
    ],
)  # fmt: skip
def test_where_load_cannot_read(tmp_path, name, error, message):
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(error, match=f"(?i){message}"):
        hr2jax.load(tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(ValueError, match="is a pipe or a device"):
        hr2jax.load(tmp_path / "pipe.npz")


def test_a_certificate_is_not_a_network(tmp_path):
    hr2jax.solve(NET, output=0, relaxation="product", witness=0).certificate.save(tmp_path / "bound.cert.npz")
    with pytest.raises(ValueError, match="a certificate, not a network; hr2jax verify"):
        hr2jax.load(tmp_path / "bound.cert.npz")
