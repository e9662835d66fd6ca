"""A file of lines: whole ones only, one writer at a time."""

import os

import pytest

from hr2jax.machine.lines import BusyError, Lines

HEAD = b'{"format"'


@pytest.mark.parametrize("half", [1, 9, 10, 11, 29, 30, 31])
def test_a_long_half_line_is_dropped_in_pieces(tmp_path, monkeypatch, half):
    monkeypatch.setattr("hr2jax.machine.lines.PIECE", 10)
    path = tmp_path / "run.jsonl"
    path.write_bytes(HEAD + b"\n" + b"x" * half)
    lines = Lines(path, HEAD)
    assert lines.first == HEAD and list(lines.read()) == [HEAD]
    lines.close()
    assert path.read_bytes() == HEAD + b"\n"


def test_whole_lines_are_kept_and_a_half_one_is_dropped(tmp_path):
    path = tmp_path / "run.jsonl"
    lines = Lines(path, HEAD)
    assert lines.first is None
    assert lines.append(HEAD + b":1}\n") and lines.append(b"2\n3\n")
    lines.close()
    assert not lines.append(b"4\n")
    with open(path, "ab") as file:
        file.write(b"4, of which nothing came aft")
    again = Lines(path, HEAD)
    assert again.first == HEAD + b":1}" and list(again.read()) == [HEAD + b":1}", b"2", b"3"]
    again.append(b"5\n")
    again.close()
    assert path.read_bytes() == HEAD + b":1}\n2\n3\n5\n"


def test_a_file_of_somebody_else_is_left_alone(tmp_path):
    path = tmp_path / "letter.txt"
    path.write_bytes(b"Dear Sir")
    with pytest.raises(ValueError, match="no such file"):
        Lines(path, HEAD)
    assert path.read_bytes() == b"Dear Sir"
    path.write_bytes(HEAD[:3])
    Lines(path, HEAD).close()
    assert path.read_bytes() == b""


def test_one_writer_at_a_time(tmp_path):
    first = Lines(tmp_path / "run.jsonl", HEAD)
    with pytest.raises(BusyError, match="another run"):
        Lines(tmp_path / "run.jsonl", HEAD)
    first.close()
    Lines(tmp_path / "run.jsonl", HEAD).close()


def test_what_cannot_be_written_is_said_and_written_later(tmp_path, monkeypatch):
    path = tmp_path / "run.jsonl"
    lines, write = Lines(path, HEAD), os.write

    def full(descriptor, data):
        write(descriptor, data[:3])
        raise OSError(28, "No space left on device")

    assert lines.append(b"first\n")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        assert not lines.append(b"second\n")
    assert lines.unwritten == "no space left on device"
    assert path.read_bytes() == b"first\n"
    assert lines.append(b"third\n") and lines.unwritten is None
    lines.close()
    assert path.read_bytes() == b"first\nsecond\nthird\n"


@pytest.mark.parametrize("name", ["", "none/run.jsonl", "folder"])
def test_what_is_no_file_to_write_is_refused(tmp_path, name):
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match="cannot be written"):
        Lines(tmp_path / name, HEAD)
