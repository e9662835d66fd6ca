"""tests/io/test_pt.py."""

import pickle
import pickletools
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hr2jax
from tests.reference.effort import examples

from ..reference.pt_files import ARRAYS, PICKLE, dictionary, file_of, packed, tensor, text


def write(folder, data, name="net.pt"):
    (folder / name).write_bytes(data)
    return folder / name


def test_a_state_dict_that_pytorch_wrote(tmp_path):
    net = hr2jax.load(write(tmp_path, packed()), activation="relu")
    assert net.weights[0].tolist() == [[0, 0.25], [0.5, 0.75], [1, 1.25]]
    assert net.biases[0].tolist() == [-1, -0.75, -0.5]
    assert net.weights[1].tolist() == [[-2, -1.75, -1.5]] and net.biases[1].tolist() == [-3]


def test_halves_and_doubles(tmp_path):
    for name, dtype in (("HalfStorage", "<f2"), ("DoubleStorage", "<f8")):
        data = PICKLE.replace(b"FloatStorage", name.encode())
        net = hr2jax.load(write(tmp_path, packed(data, [a.astype(dtype) for a in ARRAYS])), activation="relu")
        assert net.weights[0].tolist() == [[0, 0.25], [0.5, 0.75], [1, 1.25]]
    bits = [(a.view("<u4") >> 16).astype("<u2") for a in ARRAYS]
    data = packed(PICKLE.replace(b"FloatStorage", b"BFloat16Storage"), bits)
    net = hr2jax.load(write(tmp_path, data), activation="relu")
    assert net.weights[1].tolist() == [[-2, -1.75, -1.5]]


@pytest.mark.framework("torch")
@pytest.mark.parametrize("form", ["state_dict", "parameters", "transposed"])
def test_files_of_the_pytorch_that_is_installed(tmp_path, form):
    import torch

    net = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3))
    saved = {
        "state_dict": net.state_dict,
        "parameters": lambda: dict(net.named_parameters()),
        "transposed": lambda: {k: v.t().contiguous().t() for k, v in net.state_dict().items()},
    }[form]()
    torch.save(saved, tmp_path / "net.pt")
    loaded = hr2jax.load(tmp_path / "net.pt", activation="relu")
    assert loaded.weights[0].tolist() == net[0].weight.tolist() and loaded.biases[1].tolist() == net[2].bias.tolist()


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_nothing_is_executed(tmp_path):
    for protocol in range(6):
        for value in (Evil(tmp_path / "made"), {"0.weight": Evil(tmp_path / "made")}):
            path = write(tmp_path, packed(pickle.dumps(value, protocol)))
            with pytest.raises(ValueError):
                hr2jax.load(path, activation="relu")
    assert not (tmp_path / "made").exists()
    pickle.loads(pickle.dumps(Evil(tmp_path / "made"))).close()
    assert (tmp_path / "made").exists()  # so the files above would have done it


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (packed()[:-40], "not a whole .pt file"),
        (b"\x80\x02not a zip archive", "not a whole .pt file"),
        (packed(arrays=ARRAYS[:3]), "small/data/3 in the .pt file is missing"),
        (packed(arrays=[a[:-1] for a in ARRAYS]), "0.weight is damaged or incomplete"),
        (packed(compression=zipfile.ZIP_DEFLATED), "it is compressed"),
        (packed(byteorder="big"), "big-endian"),
        (packed(PICKLE[:-1]), "damaged|incomplete"),
        (packed(PICKLE.replace(b"FloatStorage", b"LongStorage")), "LongStorage, not of floats"),
        (packed(PICKLE.replace(b"_rebuild_tensor_v2", b"_rebuild_tensor_v9")), "nothing in a file is executed"),
        (packed(PICKLE.replace(b"collections\nOrderedDict", b"builtins\neval")), "asks for 'builtins.eval'"),
        (packed(PICKLE.replace(b"0.bias", b"0.mean")), "0.mean is not expected"),
        (packed(pickle.dumps([1, 2])), "state_dict"),
        (packed(pickle.dumps({"0.weight": 3})), "is not a tensor"),
        (packed(pickle.dumps({3: 3})), "damaged"),
        (packed(pickle.dumps({})), "the key A_1 is missing"),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path, data, message):
    path = write(tmp_path, data)
    with pytest.raises(ValueError, match=message) as caught:
        hr2jax.load(path, activation="relu")
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_an_operation_that_asks_for_much_memory_does_not_get_it(tmp_path):
    bomb = pickle.PROTO + b"\x02" + pickle.NONE + pickle.LONG_BINPUT + b"\xff\xff\xff\x7f" + pickle.STOP
    assert next(c.name for c, a, _ in pickletools.genops(bomb) if a and a > 10**9) == "LONG_BINPUT"
    with pytest.raises(ValueError, match="state dict"):
        hr2jax.load(write(tmp_path, packed(bomb)), activation="relu")


@settings(deadline=None, max_examples=examples(300))
@given(st.lists(st.tuples(st.integers(0, len(PICKLE) - 1), st.binary(max_size=2)), min_size=1, max_size=3))
def test_damaged_files_only_raise_value_error(tmp_path_factory, changes):
    data = bytearray(PICKLE)
    for at, new in changes:
        data[at : at + 1] = new
    path = write(tmp_path_factory.getbasetemp(), packed(bytes(data)), "fuzz.pt")
    try:
        hr2jax.load(path, activation="relu")
    except ValueError as error:
        assert str(error).startswith(str(path)) and "\n" not in str(error)


@settings(deadline=None, max_examples=examples(100))
@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=3))
def test_damaged_archives_only_raise_value_error(tmp_path_factory, changes):
    data = bytearray(packed())
    for at, new in changes:
        data[at % len(data)] = new
    path = write(tmp_path_factory.getbasetemp(), bytes(data), "fuzz2.pt")
    try:
        hr2jax.load(path, activation="relu")
    except ValueError as error:
        assert str(error).startswith(str(path))


def test_a_signalling_nan_is_refused_without_a_warning(tmp_path):
    bad = np.full(3, 0x7F800001, "<u4").view("<f4")
    with pytest.raises(ValueError, match="must be finite"):
        hr2jax.load(write(tmp_path, packed(arrays=[ARRAYS[0], bad, *ARRAYS[2:]])), activation="relu")


STATE = {"0.weight": tensor(0, 3, 2), "0.bias": tensor(1, 3), "2.weight": tensor(2, 1, 3), "2.bias": tensor(3, 1)}


@pytest.mark.parametrize("name", ["net.pt", "net.pth", "net.CKPT"])
@pytest.mark.parametrize("key", [None, "state_dict", "model_state_dict"])
def test_a_state_dict_alone_or_among_what_training_needs(tmp_path, name, key):
    value = dictionary(STATE)
    if key is not None:
        callbacks = b"]cmodule\nCallback\n)\x81}" + text("best") + b"Nsba"  # an object with attributes, never made
        others = {"optimizer_states": b"](K\x01" + tensor(0, 6) + b"e", "callbacks": callbacks, "epoch": b"K\x07"}
        value = dictionary({"lr": b"G" + bytes(8), key: value} | others)
    net = hr2jax.load(write(tmp_path, file_of(value), name), activation="relu")
    assert net.weights[0].tolist() == [[0, 0.25], [0.5, 0.75], [1, 1.25]] and net.biases[1].tolist() == [-3]


def test_what_a_checkpoint_holds_beside_its_state_dict_is_refused_by_name(tmp_path):
    value = dictionary({"state_dict": dictionary(STATE), "normalizer": dictionary({"mean": tensor(1, 3)})})
    with pytest.raises(ValueError, match="beside state_dict the checkpoint holds normalizer, which may change"):
        hr2jax.load(write(tmp_path, file_of(value)), activation="relu")


@pytest.mark.parametrize(
    "name", ["1.running_mean", "1.running_var", "1.num_batches_tracked", "log_std", "0.weight_mask", "mean"]
)
def test_buffers_are_refused_by_name(tmp_path, name):
    data = file_of(dictionary(STATE | {name: tensor(1, 3, kind=b"LongStorage")}))
    with pytest.raises(ValueError, match=f"{name} is not expected"):
        hr2jax.load(write(tmp_path, data), activation="relu")


def test_layers_cuts_one_network_out_of_several(tmp_path):
    data = file_of(dictionary({f"actor.{k}": v for k, v in STATE.items()} | {"critic.weight": tensor(0, 3, 2),
                               "log_std": tensor(1, 3), "actor.0.scale": tensor(1, 3)}))  # fmt: skip
    path = write(tmp_path, data)
    with pytest.raises(ValueError, match=r"log_std and actor\.0\.scale are not expected"):
        hr2jax.load(path, activation="relu")
    with pytest.raises(ValueError, match=r"actor\.0\.scale is not expected: of actor\.0 only weight and bias"):
        hr2jax.load(path, activation="relu", layers=["actor.0", "actor.2"])
    assert hr2jax.load(path, activation="relu", layers=["critic", "actor.2"]).widths == (2, 3, 1)


@pytest.mark.parametrize(
    "left", ["1.running_mean", "1.weight", "bns.0.running_var", "bns.0.weight", "scale", "act.weight", "conv.weight"]
)
def test_layers_leaves_no_normalisation_out(tmp_path, left):
    """A BatchNorm between the named layers was left out without a word: 14.9 was proved of a network of 212."""
    shape = (1, 2, 1) if left == "conv.weight" else (3,)
    path = write(tmp_path, file_of(dictionary(STATE | {left: tensor(1, *shape)})))
    with pytest.raises(ValueError, match=f"{left} is none of the layers .* nor of another network"):
        hr2jax.load(path, activation="relu", layers=["0", "2"])


@pytest.mark.parametrize("left", ["critic.1.running_mean", "critic.1.weight", "log_std"])
def test_layers_leaves_another_network_out_with_a_warning(tmp_path, left, caplog):
    actor = {f"actor.{k}": v for k, v in STATE.items()}
    path = write(tmp_path, file_of(dictionary(actor | {left: tensor(1, 3), "critic.0.weight": tensor(0, 3, 2)})))
    assert hr2jax.load(path, activation="relu", layers=["actor.0", "actor.2"]).depth == 1
    assert "of the file these layers are not used: critic.0" in caplog.text


def test_a_tensor_that_means_its_negative_is_refused(tmp_path):
    """torch.save writes x.conj().imag, say, as the numbers themselves and {"neg": True}."""
    plain = b"ccollections\nOrderedDict\n)RtR"
    assert tensor(0, 3, 2).endswith(plain)
    negative = tensor(0, 3, 2).removesuffix(b"tR") + b"}" + text("neg") + b"\x88stR"
    with pytest.raises(ValueError, match="properties of its own"):
        hr2jax.load(write(tmp_path, file_of(dictionary(STATE | {"0.weight": negative}))), activation="relu")


def test_tied_weights_load(tmp_path):
    data = file_of(dictionary({"0.weight": tensor(0, 2, 2), "2.weight": tensor(0, 2, 2, stride=(1, 2))}))
    net = hr2jax.load(write(tmp_path, data), activation="relu")
    assert net.weights[0].tolist() == net.weights[1].T.tolist() == [[0, 0.25], [0.5, 0.75]]


def test_a_tensor_of_more_numbers_than_its_storage_holds_is_refused(tmp_path):
    for size, stride in (((10**5, 10**5), (0, 0)), ((3, 3), (1, 1)), ((2**39, 1), (0, 1))):
        data = file_of(dictionary(STATE | {"0.weight": tensor(0, *size, stride=stride)}))
        with pytest.raises(ValueError, match=r"0\.weight is damaged or incomplete"):
            hr2jax.load(write(tmp_path, data), activation="relu")


@pytest.mark.parametrize("form", ["of tuples", "of names"])
def test_names_that_double_with_every_operation_are_refused(tmp_path, form):
    """STACK_GLOBAL put into a sentence whatever was on the stack: 2^60 characters of 60 operations."""
    step = b"2\x86" if form == "of tuples" else b"2\x93"
    start = text("a") if form == "of tuples" else text("a") + text("b") + b"\x93"
    bomb = b"\x80\x04" + start + 60 * step + (text("name") + b"\x93" if form == "of tuples" else b"") + b"."
    with pytest.raises(ValueError, match=r"damaged|Python objects"):
        hr2jax.load(write(tmp_path, packed(bomb.replace(b"2", b"q\x01h\x01"))), activation="relu")
