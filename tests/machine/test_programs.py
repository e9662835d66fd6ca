"""Compiled programs kept on disk: found again by another process, whole or not at all, no more than so many bytes."""

import os
import subprocess
import sys
import time
import zlib
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from jax.experimental.compilation_cache import compilation_cache

from hr2jax.machine import programs
from hr2jax.machine.run import run

CHILD = """
import sys
from hr2jax.machine import programs
programs.keep()
assert "jax" not in sys.modules and not list(programs.folder().parent.glob("cache/*")) or {again}
import jax, jax.numpy as jnp
counts = []
jax.monitoring.register_event_listener(lambda event, **_: counts.append(event))
from hr2jax.machine.run import run
run(jax.jit(lambda x: jnp.sin(x) @ x), jnp.ones((3, 3)))
print([sum(e.endswith(name) for e in counts) for name in ("cache_hits", "cache_misses")], flush=True)
{end}
"""


def child(cache, end="", again=False):
    env = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    env |= {"HR2JAX_CACHE": str(cache)}
    code = CHILD.format(again=again, end=end)
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert not done.stderr
    return [int(n) for n in done.stdout.strip("[]\n").split(", ")]


def kept(cache):
    return sorted(Path(cache).glob("jaxlib-*/*"))


def test_a_second_process_compiles_nothing_and_no_private_folder_is_left(tmp_path):
    cache = tmp_path / "cache"
    hits, misses = child(cache)
    assert hits == 0 < misses
    files = kept(cache)
    assert len(files) == misses
    assert all(path.is_file() for path in files)
    # the second is killed, without its end: the third removes what it leaves
    assert child(cache, "import os; os._exit(0)", again=True) == [misses, 0]
    left = set(kept(cache)) - set(files)
    assert len(left) == 1
    assert child(cache, again=True) == [misses, 0]
    assert kept(cache) == files


@pytest.mark.parametrize("told", ["off", "OFF", "0", ""])
def test_it_is_switched_off(monkeypatch, told):
    monkeypatch.setenv("HR2JAX_CACHE", told)
    assert programs.folder() is None


def test_where_programs_are(monkeypatch, tmp_path):
    monkeypatch.setenv("HR2JAX_CACHE", str(tmp_path))
    assert programs.folder() == tmp_path
    monkeypatch.delenv("HR2JAX_CACHE")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert programs.folder() == tmp_path / "xdg" / "hr2jax"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, says the XDG specification
    monkeypatch.setenv("HOME", str(tmp_path))
    assert programs.folder() == tmp_path / ".cache" / "hr2jax"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert programs.folder() == tmp_path / "Library" / "Caches" / "hr2jax"

    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert programs.folder() is None


@pytest.fixture
def without(monkeypatch, tmp_path):
    """JAX without a cache of the user's, which in tests is pytest's; ours in a folder of the test's."""
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.setattr(programs, "folder", lambda: tmp_path / "cache")
    yield tmp_path / "cache"
    jax.config.update("jax_compilation_cache_dir", before)
    compilation_cache.reset_cache()


def compiled(number):
    return run(jax.jit(lambda x: x * x + number), jnp.ones(3))


def test_within_only_and_settings_are_restored(without):
    settings = {name: getattr(jax.config, name) for name in programs.SETTINGS}
    with programs.keeping():
        assert not without.exists()  # nothing has been compiled
        with programs.keeping():
            compiled(11)
        assert Path(jax.config.jax_compilation_cache_dir).parent.parent == without
        assert not [path for path in kept(without) if path.is_file()]  # the outer one's end is the end
        compiled(12)
    files = kept(without)
    assert len(files) >= 2
    assert jax.config.jax_compilation_cache_dir is None
    assert settings == {name: getattr(jax.config, name) for name in programs.SETTINGS}
    compiled(13)
    assert kept(without) == files


def test_a_process_that_has_compiled_before_keeps_programs_too(without, tmp_path):
    """JAX looks once whether there is a cache, and kept to the one that there was."""
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "other"))
    compilation_cache.reset_cache()
    compiled(21)
    jax.config.update("jax_compilation_cache_dir", None)
    with programs.keeping():
        compiled(22)
    assert kept(without)


def test_the_users_own_cache_stays(without, tmp_path):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "own"))
    with programs.keeping():
        compiled(16)
        assert jax.config.jax_compilation_cache_dir == str(tmp_path / "own")
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "own")
    assert not without.exists()


def test_a_folder_that_cannot_be_made_is_no_error(without, caplog):
    without.write_text("a file")
    with caplog.at_level("DEBUG", logger="hr2jax"), programs.keeping():
        compiled(14)
        assert jax.config.jax_compilation_cache_dir is None
    assert "not kept" in caplog.text


def test_one_that_vanishes_is_no_error(without):
    with programs.keeping():
        compiled(17)
        without.rename(without.with_name("elsewhere"))
    assert not without.exists()


def test_half_a_file_is_not_kept(without):
    with programs.keeping():
        compiled(15)
        private = Path(jax.config.jax_compilation_cache_dir)
        files = [path for path in private.iterdir() if path.name.endswith(programs.SUFFIX)]
        half = files[0].read_bytes()[:-1]
        (private / f"half{programs.SUFFIX}").write_bytes(half)
        (private / f"none{programs.SUFFIX}").write_bytes(b"")
    assert {path.name for path in kept(without)} == {path.name for path in files}


def test_what_is_whole(tmp_path):
    data, path = zlib.compress(bytes(range(256)) * 40), tmp_path / "a"
    for cut in {*range(0, len(data), 37), len(data) - 1, len(data)}:
        path.write_bytes(data[:cut])
        assert programs._is_whole(path) == (cut == len(data))
    zstandard = pytest.importorskip("zstandard")
    data = zstandard.ZstdCompressor().compress(bytes(range(256)) * 40)
    for cut in {*range(0, len(data), 37), len(data) - 1, len(data)}:
        path.write_bytes(data[:cut])
        assert programs._is_whole(path) == (cut == len(data))


def test_the_least_recently_used_go_first(tmp_path):
    names = []
    for age, (kind, size) in enumerate([("1-a", 40), ("2-b", 30), ("1-a", 20), ("2-b", 10)]):
        path = tmp_path / f"jaxlib-{kind}" / f"{age}{programs.SUFFIX}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(size * b"x")
        os.utime(path, (time.time() - 100 * age, 0))  # used, and not written, that long ago
        names.append(path)
    (tmp_path / "jaxlib-1-a" / "process-here-1-2").mkdir()
    programs._shrink(tmp_path, 100)
    assert all(path.exists() for path in names)
    programs._shrink(tmp_path, 75)  # the 10 and the 20 go
    assert [path.exists() for path in names] == [True, True, False, False]
    programs._shrink(tmp_path, 0)
    assert not any(path.exists() for path in names)


def test_private_folders_of_running_processes_stay(tmp_path):
    ours, other = f"process-here-{os.getpid()}-a", "process-there-1-a"
    gone, old, odd = "process-here-4194305-a", "process-there-2-a", "process-odd"  # no pid is above 2**22
    for name in (ours, other, gone, old, odd):
        (tmp_path / name).mkdir()
    os.utime(tmp_path / old, (0, 0))
    programs._remove_stale(tmp_path, "here")
    assert {path.name for path in tmp_path.iterdir()} == {ours, other, odd}
