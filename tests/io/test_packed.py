"""Network files that gzip has compressed."""

import gzip

import numpy as np
import pytest

import hr2jax

NET = hr2jax.Network([np.array([[1.0, -2.0], [0.5, 1.0]]), [[1.0, 3.0]]], [[0.5, 0.0], [1.0]])


def test_a_compressed_file_is_the_file(tmp_path):
    NET.save(tmp_path / "net.npz")
    data = (tmp_path / "net.npz").read_bytes()
    for name in ("a.npz.gz", "b.NPZ.GZ"):
        (tmp_path / name).write_bytes(gzip.compress(data))
        assert hr2jax.load(tmp_path / name).hash == NET.hash


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.npz.gz", b"PK", "this is not a .gz file"),
        ("a.npz.gz", gzip.compress(bytes(1000))[:-9], "compressed data end too early"),
        ("a.npz.gz", gzip.compress(bytes(100)) + b"more", "compressed data are damaged"),
        ("a.npz.gz", gzip.compress(b"nothing"), "this is not an .npz file"),
        ("a.gz", gzip.compress(b"nothing"), "has the suffix .gz, but the name of a network file ends in"),
        ("a.npz.gz.gz", gzip.compress(b"nothing"), "has the suffix .gz.gz"),
    ],
)
def test_what_is_refused(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=message) as caught:
        hr2jax.load(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name))


def test_a_network_is_not_written_compressed(tmp_path):
    with pytest.raises(ValueError, match=r"has the suffix \.npz\.gz"):
        NET.save(tmp_path / "net.npz.gz")
