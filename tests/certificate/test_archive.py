"""A certificate's archive is read by the same checks as a network's file: nothing is waited for, no memory is taken."""

import io
import os
import zipfile

import numpy as np
import pytest

import hr2jax
from hr2jax import Certificate, CertificateError, Network
from hr2jax.io import budget
from tests.io.bombs import outcomes


def network():
    return Network([np.eye(2), np.ones((1, 2))], [np.ones(2), np.zeros(1)])


@pytest.fixture(scope="module")
def contents(tmp_path_factory):
    """The members of a whole certificate's archive."""
    path = tmp_path_factory.mktemp("whole") / "c.npz"
    hr2jax.solve(network(), relaxation="product").certificate.save(path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def written(path, members, **changed):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, data in (members | changed).items():
            archive.writestr(name, data)
    return path


def array(descr, shape, size):
    """A .npy with a heading and so many zeros."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue() + bytes(size)


def test_what_inflates_to_more_than_is_free_is_refused_before_it_is_read(tmp_path, contents):
    """A certificate of 1 MB could take 4 GB: its sizes were compared with a constant, not with the memory there is."""
    bombs = {
        "numbers": {"coefficients.npy": array("<f8", (2**23,), 2**26)},
        "text": {"claim.npy": array(f"<U{2**24}", (), 2**26)},
        "texts": {"claim.npy": array("<U16", (2**20,), 2**26)},
        "no array": {"claim.npy": bytes(2**26)},
    }
    paths = [written(tmp_path / f"{name}.npz", contents, **some) for name, some in bombs.items()]
    assert max(map(os.path.getsize, paths)) < 3e6
    paths.append(written(tmp_path / "whole.npz", contents))
    *refused, read = outcomes(paths, limit=7.5e7, read="certificate")
    assert all(text.startswith("refused: ") and len(text) < 400 for text in refused), refused
    assert "of memory, but of" in refused[0] and "at most 262144 are read" in refused[1]
    assert read == "read"


def test_the_memory_that_is_free_is_what_counts(tmp_path, contents, monkeypatch):
    path = written(tmp_path / "c.npz", contents)
    monkeypatch.setattr(budget, "free_bytes", lambda: 2000.0)
    with pytest.raises(CertificateError, match=r"would take .* of memory, but of 2 kB that were free"):
        Certificate.load(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_is_not_waited_for(tmp_path):
    """Loading one hung; a device with no end took all memory."""
    os.mkfifo(tmp_path / "pipe.npz")
    for path in (tmp_path / "pipe.npz", "/dev/zero", tmp_path):
        with pytest.raises(CertificateError, match=r"is a pipe or a device|is a directory"):
            Certificate.load(path)


def test_a_damaged_byte_is_found_wherever_it_is(tmp_path, contents):
    path = tmp_path / "c.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    whole = path.read_bytes()
    Certificate.load(path).verify(network())
    for k in np.random.default_rng(0).choice(len(whole), 60, replace=False).tolist():
        path.write_bytes(whole[:k] + bytes([whole[k] ^ 0x55]) + whole[k + 1 :])
        try:
            bound = Certificate.load(path).verify(network())
        except CertificateError:
            continue
        assert bound == Certificate.load(written(tmp_path / "w.npz", contents)).verify(network())  # a date, for example
    for k in range(0, len(whole), 97):
        path.write_bytes(whole[:k])
        with pytest.raises(CertificateError):
            Certificate.load(path)


def test_a_claim_of_deep_json_is_refused(tmp_path, contents):
    deep = np.array("[" * 50_000)
    file = io.BytesIO()
    np.save(file, deep)
    members = contents | {"claim.npy": file.getvalue()}
    arrays = {name.removesuffix(".npy"): np.load(io.BytesIO(data)) for name, data in members.items()}
    arrays.pop("digest")
    file = io.BytesIO()
    np.save(file, np.array(hr2jax.certificate.file.digest(arrays)))
    with pytest.raises(CertificateError):
        Certificate.load(written(tmp_path / "c.npz", members, **{"digest.npy": file.getvalue()}))
