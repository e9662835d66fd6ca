"""Inputs of an iterator and of packed archives: the same answer, a part of them in memory at a time."""

import io
import zipfile

import numpy as np
import pytest

import hr2jax
from hr2jax import Network
from hr2jax.cli.certify import read_data
from hr2jax.robustness import spool

RNG = np.random.default_rng(0)
NET = Network([RNG.standard_normal((6, 4)), RNG.standard_normal((3, 6))], [np.zeros(6), np.zeros(3)])
INPUTS = RNG.uniform(0, 1, (10, 4))


def test_an_iterator_gives_the_same_report():
    asked = dict(radii=[0.02, 0.1], clip=(0, 1), relaxation="shor", attack_starts=1)
    whole = hr2jax.certify(NET, INPUTS, **asked)
    batches = iter([INPUTS[:3].reshape(3, 2, 2), INPUTS[3].astype(np.float64), INPUTS[4:9].tolist(), INPUTS[9:]])
    report = hr2jax.certify(NET, batches, **asked)
    assert report.radius.tolist() == whole.radius.tolist()
    assert report.labels.tolist() == whole.labels.tolist()
    assert next(batches, None) is None


def test_batches_are_taken_one_after_the_other():
    taken = []
    given = (taken.append(k) or INPUTS[k : k + 2] for k in range(0, 10, 2))
    found = spool.spooled(given, 4)
    assert isinstance(found, np.memmap) and np.array_equal(found, INPUTS)
    assert taken == [0, 2, 4, 6, 8]


@pytest.mark.parametrize(("batches", "said"), [
    ([], "n at least 1"), ([INPUTS, INPUTS[:, :3]], r"batch 1 has shape \(10, 3\)"),
    ([[[0.0, 0.0, 0.0, np.nan]]], "batch 0"), ([1.0], "batch 0"), (["ab"], "batch 0"),
])  # fmt: skip
def test_what_is_no_batch_is_refused(batches, said):
    with pytest.raises(ValueError, match=said):
        hr2jax.certify(NET, iter(batches), radii=[0.1])


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_large_array_of_an_archive_is_mapped(save, order, tmp_path, monkeypatch):
    path, labels = tmp_path / "data.npz", np.arange(10) % 3
    save(path, inputs=np.asarray(INPUTS, order=order), labels=labels)
    plain, _ = read_data(path)
    assert not isinstance(plain, np.memmap)
    monkeypatch.setattr(spool, "SMALL", 64)
    inputs, found = read_data(path)
    assert isinstance(inputs, np.memmap) and np.array_equal(inputs, INPUTS)
    assert np.array_equal(found, labels)


def archive(tmp_path, contents):
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("inputs.npy", contents)
    return path


def test_what_is_damaged_or_holds_objects_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "SMALL", 16)
    whole = io.BytesIO()
    np.save(whole, INPUTS)
    objects = io.BytesIO()
    np.save(objects, np.array([{}, {}], dtype=object), allow_pickle=True)
    for contents in (b"\0" * 100, whole.getvalue()[:-100], objects.getvalue()):
        with pytest.raises(ValueError, match=r"not a whole .npz"):
            read_data(archive(tmp_path, contents))
    monkeypatch.setattr(spool.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10}))
    with pytest.raises(ValueError, match="temporary files has 10 left"):
        read_data(archive(tmp_path, whole.getvalue()))
