import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hr2jax
from tests.reference.effort import examples

RNG = np.random.default_rng(0)
KEYS = {
    "0.weight": RNG.standard_normal((3, 2)).astype("<f4"),
    "0.bias": RNG.standard_normal(3).astype("<f4"),
    "2.weight": RNG.standard_normal((4, 3)).astype("<f4"),
    "2.bias": RNG.standard_normal(4).astype("<f4"),
    "10.weight": RNG.standard_normal((2, 4)).astype("<f4"),
    "10.bias": RNG.standard_normal(2).astype("<f4"),
}
NAMES = {"<f2": "F16", "<f4": "F32", "<f8": "F64", "<i8": "I64"}


def packed(arrays, changed=None, metadata=True):
    """The format as its specification says; `changed` edits the heading."""
    heading, body = {"__metadata__": {"format": "pt"}} if metadata else {}, b""
    for key in sorted(arrays):
        data = arrays[key].tobytes()
        heading[key] = {
            "dtype": NAMES[arrays[key].dtype.str],
            "shape": list(arrays[key].shape),
            "data_offsets": [len(body), len(body) + len(data)],
        }
        body += data
    for key, change in (changed or {}).items():
        heading[key] = {**heading[key], **change}
    text = json.dumps(heading).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + body


def write(folder, data, name="net.safetensors"):
    (folder / name).write_bytes(data)
    return folder / name


def without(*names, **added):
    return {k: v for k, v in KEYS.items() if k not in names} | added


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8"])
@pytest.mark.parametrize("prefix", ["", "net.", "fc", "model.layers.fc"])
def test_layers_in_the_order_of_their_numbers(tmp_path, dtype, prefix):
    arrays = {prefix + key: array.astype(dtype) for key, array in KEYS.items()}
    net = hr2jax.load(write(tmp_path, packed(arrays)), activation="relu")
    assert net.widths == (2, 3, 4, 2)  # 10 comes after 2
    for i, number in enumerate((0, 2, 10)):
        assert net.weights[i].tolist() == arrays[f"{prefix}{number}.weight"].astype(float).tolist()
        assert net.biases[i].tolist() == arrays[f"{prefix}{number}.bias"].astype(float).tolist()


def test_the_keys_of_npz(tmp_path):
    arrays = {"A_1": KEYS["0.weight"], "b_1": KEYS["0.bias"], "C": KEYS["0.weight"].T.copy()}
    net = hr2jax.load(write(tmp_path, packed(arrays, metadata=False)), activation="relu")
    assert net.weights[1].tolist() == KEYS["0.weight"].T.tolist() and net.biases[1].tolist() == [0, 0]


def test_our_keys_with_an_activation_in_the_metadata_are_refused(tmp_path):
    arrays = {"A_1": KEYS["0.weight"], "b_1": KEYS["0.bias"], "C": KEYS["0.weight"].T.copy()}
    data = packed(arrays)
    text = data.replace(b'{"format": "pt"}', b'{"activation":0}')
    assert len(text) == len(data) and text != data
    assert hr2jax.load(write(tmp_path, data)).depth == 1
    with pytest.raises(ValueError, match="the metadata of the file, activation, may change"):
        hr2jax.load(write(tmp_path, text))
    with pytest.raises(ValueError, match=r"the metadata of the .* not a JSON object"):
        hr2jax.load(write(tmp_path, data.replace(b'{"format": "pt"}', b"7".ljust(16))))


def test_bfloat16_and_a_missing_bias(tmp_path):
    bits = np.array([0x3F80, 0xC049, 0x0001, 0x7F7F, 0, 0x8000], dtype="<u2")
    truth = [Fraction(1), Fraction(-201, 64), Fraction(2) ** -133, Fraction(255) * Fraction(2) ** 120, 0, 0]
    arrays = without("0.bias") | {"0.weight": bits.view("<f2").reshape(3, 2)}
    net = hr2jax.load(write(tmp_path, packed(arrays, {"0.weight": {"dtype": "BF16"}})), activation="relu")
    assert [Fraction(v) for v in net.weights[0].ravel().tolist()] == truth
    assert net.biases[0].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (packed(KEYS)[:5], "longer than the file"),
        (packed(KEYS)[:-1], "damaged or incomplete"),
        (b"\xff" * 40, "longer than the file"),
        ((9).to_bytes(8, "little") + b"not json!", "heading of the .safetensors file is damaged"),
        ((2).to_bytes(8, "little") + b"[]", "not a JSON object"),
        ((2).to_bytes(8, "little") + b"{}", "the key A_1 is missing"),
        ((200_000).to_bytes(8, "little") + b"[" * 200_000, "damaged"),
        ((15).to_bytes(8, "little") + b'{"a": 1,"a": 2}', "more than once"),
        (packed(KEYS, {"0.bias": {"dtype": "I64"}}), "0.bias must be of dtype F16"),
        (packed(KEYS, {"0.bias": {"dtype": None}}), "0.bias must be of dtype"),
        (packed(KEYS, {"0.bias": {"dtype": []}}), "0.bias must be of dtype"),
        (packed(KEYS, {"0.bias": {"shape": [2**62, 2**62]}}), "not where the heading says"),
        (packed(KEYS, {"0.bias": {"shape": [True]}}), "0.bias is damaged"),
        (packed(KEYS, {"0.bias": {"shape": [-3]}}), "0.bias is damaged"),
        (packed(KEYS, {"0.bias": {"data_offsets": [0, 10**9]}}), "damaged or incomplete"),
        (packed(without("0.weight")), "0.bias is there without 0.weight"),
        (packed(KEYS | {"1.running_mean": KEYS["0.bias"]}), "1.running_mean is not expected"),
        (packed(KEYS | {"1.weight": KEYS["0.bias"]}), "only fully connected"),
        (packed(KEYS | {"head.weight": KEYS["0.weight"]}), "do not say the order"),
        (packed({"a.weight": KEYS["0.weight"], "b.weight": KEYS["2.weight"]}), "do not say the order"),
        (packed({"q1.0.weight": KEYS["0.weight"], "q2.0.weight": KEYS["2.weight"]}), "do not say the order"),
        (packed({"a.1.weight": KEYS["0.weight"], "b.2.weight": KEYS["2.weight"]}), "do not say the order"),
        (packed(KEYS | {"a\nb.weight": KEYS["0.weight"]}), "not printable"),
        (packed(KEYS | {"02.weight": KEYS["0.weight"]}), "the same number"),
        (packed(without("2.weight", "2.bias")), "C has shape"),
        (packed(KEYS | {"0.bias": np.full(3, np.inf)}), "must be finite"),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path, data, message):
    path = write(tmp_path, data)
    with pytest.raises(ValueError, match=message) as caught:
        hr2jax.load(path, activation="relu")
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


@settings(deadline=None, max_examples=examples(200))
@given(st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), min_size=1, max_size=3), st.integers(0, 40))
def test_damaged_files_only_raise_value_error(tmp_path_factory, changes, cut):
    data = bytearray(packed(KEYS))
    for at, new in changes:
        data[at % len(data)] = new
    path = write(tmp_path_factory.getbasetemp(), bytes(data[: len(data) - cut]), "fuzz.safetensors")
    try:
        hr2jax.load(path, activation="relu")
    except ValueError as error:
        assert str(error).startswith(str(path))


def test_a_signalling_nan_is_refused_without_a_warning(tmp_path):
    bad = np.full(3, 0x7F800001, "<u4").view("<f4")
    with pytest.raises(ValueError, match="must be finite"):
        hr2jax.load(write(tmp_path, packed(KEYS | {"0.bias": bad})), activation="relu")
