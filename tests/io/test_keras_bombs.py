"""Small files of Keras that ask for much memory or time, and damaged ones: refused before either is taken."""

import io
import json
import os
import zipfile

import numpy as np
import pytest

from tests.io.bombs import outcomes
from tests.reference.frameworks import framework

os.environ.setdefault("KERAS_BACKEND", "jax")
keras = framework("keras")
h5py = framework("h5py")
pytestmark = [
    pytest.mark.framework("keras"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
]
GIGABYTE, MODEL = 1e9, "model_config"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """(members of a .keras, bytes of a .h5) of one model."""
    folder = tmp_path_factory.mktemp("keras")
    L = keras.layers
    layers = L.Dense(5, activation="relu", name="dense"), L.Dropout(0.5), L.Dense(2, name="dense_1")
    model = keras.Sequential([keras.Input((4,)), *layers], name="sequential")
    model.save(folder / "net.keras")
    model.save(folder / "net.h5")
    with zipfile.ZipFile(folder / "net.keras") as archive:
        return {name: archive.read(name) for name in archive.namelist()}, (folder / "net.h5").read_bytes()


def archive(members, compress=True):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED) as made:
        for name, data in members.items():
            made.writestr(name, data)
    return file.getvalue()


def changed(data, change):
    """The HDF5 file after `change` of it."""
    buffer = io.BytesIO(data)
    with h5py.File(buffer, "r+") as file:
        change(file)
    return buffer.getvalue()


def wider(config, **options):
    """The configuration whose last Dense has other options."""
    config = json.loads(config)
    layer = config["config"]["layers"][-1]
    layer["config"] |= options
    return json.dumps(config)


KERNELS = {"layers/dense/vars/0", "model_weights/dense/sequential/dense/kernel"}


def kernel(file):
    return next(name for name in KERNELS if name in file)


def replaced(file, **options):
    name = kernel(file)
    del file[name]
    file.create_dataset(name, **options)


def linked(target):
    def change(file):
        name = kernel(file)
        del file[name]
        file[name] = target

    return change


BOMBS = {
    "huge": lambda f: replaced(f, shape=(10**6, 10**6), dtype="f4"),
    "huge and compressed": lambda f: replaced(f, shape=(10**5, 10**5), dtype="f4", chunks=(1000, 1000), compression=9),
    "inflates": lambda f: replaced(f, data=np.zeros((4 * 10**4, 10**3), "f4"), chunks=(10**3, 10**3), compression=1),
    "scaled": lambda f: replaced(f, data=np.zeros((10**3, 10**3), "i4"), chunks=(10**3, 10**3), scaleoffset=0),
    "soft link": linked(h5py.SoftLink("/")),
    "external link": linked(h5py.ExternalLink("/etc/passwd", "/")),
    "itself": lambda f: f.__setitem__("again", f["/"]),
    "attributes": lambda f: [f.create_group(f"g{i}") for i in range(21_000)],
}


def test_bombs(tmp_path, whole):
    members, legacy = whole
    config, weights = members["config.json"], members["model.weights.h5"]
    contents = {
        "honest.keras": archive(members),
        "stored.keras": archive(members, False),
        "honest.h5": legacy,
        "units.keras": archive(members | {"config.json": wider(config, units=10**8)}),
        "units.h5": changed(legacy, lambda f: f.attrs.modify(MODEL, wider(f.attrs[MODEL], units=10**8))),
        "zeros.keras": archive(members | {"model.weights.h5": bytes(4 * 10**8)}),
        "beside.keras": archive(members | {"assets/zeros": bytes(6 * 10**8)}),
        "deep.keras": archive(members | {"config.json": b"[" * 10**6}),
        "many.keras": archive(members | {"config.json": b"[" + b'{"class_name": "Dense"}, ' * 10**5 + b"0]"}),
        "long.keras": archive(members | {"config.json": b" " * 10**8 + config}),
    }
    for name, bomb in BOMBS.items():
        contents[f"{name}.keras"] = archive(members | {"model.weights.h5": changed(weights, bomb)})
        contents[f"{name}.h5"] = changed(legacy, bomb)
    paths = []
    for name, data in ({"start.keras": contents["honest.keras"]} | contents).items():
        (tmp_path / name).write_bytes(data)
        paths.append(tmp_path / name)
    said = dict(zip(contents, outcomes(paths, limit=GIGABYTE), strict=True))
    for name, text in said.items():
        assert text == "read" if "honest" in name or "stored" in name else text.startswith("refused"), (name, text)
    assert "numbers, but" in said["units.keras"] and "numbers, but" in said["units.h5"]
    assert "of memory, but of" in said["inflates.keras"] and "a link to elsewhere" in said["external link.h5"]


@pytest.mark.parametrize(
    ("seed", "count"), [(0, 30), *(pytest.param(seed, 300, marks=pytest.mark.slow) for seed in range(1, 11))]
)
def test_damaged_files_in_little_memory(tmp_path, whole, seed, count):
    """Bytes changed, cut and repeated, members swapped: read or refused, within the limit and in time."""
    members, legacy = whole
    rng = np.random.default_rng(seed)
    paths = [tmp_path / "start.keras"]
    paths[0].write_bytes(archive(members))
    for i in range(count):
        kept = dict(members)
        kind = i % 6
        if kind == 5:
            a, b = rng.choice([*kept], 2)
            kept[a], kept[b] = kept[b], kept[a]
        elif kind in (2, 3, 4):
            name = ("config.json", "model.weights.h5", "metadata.json")[kind - 2]
            kept[name] = damaged(rng, kept[name])
        data = damaged(rng, legacy) if kind == 0 else archive(kept)
        data = damaged(rng, data) if kind == 1 else data
        paths.append(tmp_path / f"{i}{'.h5' if kind == 0 else '.keras'}")
        paths[-1].write_bytes(data)
    for path, said in zip(paths[1:], outcomes(paths, limit=GIGABYTE), strict=True):
        assert said == "read" or (said.startswith("refused") and "\n" not in said), (path, said)


def damaged(rng, data):
    data = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        at, size = rng.integers(len(data)), int(rng.integers(0, 9))
        new = [rng.bytes(size), b"\xff" * size, bytes(data[at : at + size]) * 50, b"\x7f\xff\xff\xff" * 2]
        data[at : at + size] = new[rng.integers(4)]
        if rng.random() < 0.1:
            del data[rng.integers(len(data)) :]
            data += b"\0"
    return bytes(data)
