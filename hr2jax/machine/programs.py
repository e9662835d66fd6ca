"""JAX's compiled programs, kept on disk: of the command line, of `certify`, `prove` and worker processes.

JAX reads and writes the files of its compilation cache in place, and cannot limit their size without another package.
So each process has a private folder, into which the files that are kept are linked when it first runs a program, and
from which its new ones go to the others at its end, each as a whole. Two processes never see half a file of each
other's, and no process waits for another. A process that runs no program does nothing here.

    cache/KIND/KEY-cache                        kept; KIND says the versions and the processor
    cache/KIND/process-HOST-PID-RANDOM/         private

A folder that cannot be written is no error: programs are then compiled anew. This module itself needs no JAX.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import platform
import secrets
import shutil
import sys
import threading
import time
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BYTES = 500_000_000  # of all that is kept; the least recently used goes first
OFF = ("", "0", "off")
SUFFIX = "-cache"
MAGIC_ZSTD = b"\x28\xb5\x2f\xfd"
DAY = 86400.0
# How JAX is told; short programs too, by default it leaves out those below 1 s.
SETTINGS = {
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_enable_xla_caches": "none",
}

log = logging.getLogger(__name__)
_lock = threading.RLock()
_wanted = 0  # by how many callers
_kept: _Kept | None = None
_is_looked_at = False  # whether programs are to be kept: done, or found impossible


def folder() -> Path | None:
    """Where programs are kept: HR2JAX_CACHE, or hr2jax in the user's folder of caches; None where that says "off"."""
    told = os.environ.get("HR2JAX_CACHE")
    if told is not None:
        return None if told.strip().lower() in OFF else Path(told).expanduser().absolute()
    with contextlib.suppress(RuntimeError):  # no home
        if sys.platform == "darwin":
            return Path.home() / "Library" / "Caches" / "hr2jax"
        if sys.platform == "win32":
            return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "hr2jax" / "Cache"
        told = os.environ.get("XDG_CACHE_HOME", "")
        return (Path(told) if os.path.isabs(told) else Path.home() / ".cache") / "hr2jax"
    return None


def keep() -> None:
    """Keep this process's programs from now on: for a process of ours, which its user does not run JAX in."""
    # of a full disk, or of a file that went meanwhile; the program is compiled
    warnings.filterwarnings("ignore", message="Error (reading|writing) persistent compilation cache entry")
    _want(1)


@contextlib.contextmanager
def keeping() -> Iterator[None]:
    """Keep the programs that are compiled within; JAX's settings are then what they were."""
    _want(1)
    try:
        yield
    finally:
        with _lock:
            _want(-1)
            if not _wanted and "HR2JAX_CACHE" not in os.environ:
                end()


def begin() -> None:
    """Before a program is run: where programs are to be kept, JAX's cache begins.

    A cache of the user's (JAX_COMPILATION_CACHE_DIR, `jax.config`) stays the one in use.
    """
    global _kept, _is_looked_at  # noqa: PLW0603
    if _is_looked_at:
        return
    with _lock:
        if _is_looked_at:
            return
        jax = sys.modules["jax"]
        where = folder() if _wanted or "HR2JAX_CACHE" in os.environ else None
        if where is not None and jax.config.jax_compilation_cache_dir is None:
            try:
                _kept = _Kept(where, jax)
                atexit.register(end)
            except OSError as error:
                log.debug("compiled programs are not kept: %s", error)
        _is_looked_at = True


def end() -> None:
    """What is new is kept for other processes, and JAX's settings are what they were; at the process's end at last."""
    global _kept, _is_looked_at
    with _lock:
        kept, _kept, _is_looked_at = _kept, None, False
        if kept is not None:
            atexit.unregister(end)
            kept.end()


def _want(more: int) -> None:
    global _wanted, _is_looked_at  # noqa: PLW0603
    with _lock:
        _wanted += more
        _is_looked_at = _kept is not None


class _Kept:
    """A process's private folder, and JAX's settings for it.

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self, where: Path, jax: Any):
        self.root, self.jax = where, jax
        self.shared = where / _kind()
        self.shared.mkdir(parents=True, exist_ok=True, mode=0o700)  # what is in it is run
        host = "".join(c if c.isalnum() else "_" for c in platform.node())
        self.private = self.shared / f"process-{host}-{os.getpid()}-{secrets.token_hex(4)}"
        self.private.mkdir(mode=0o700)
        _remove_stale(self.shared, host)
        self.linked = {entry.name for entry in _files(self.shared) if _linked(entry, self.private / entry.name)}
        settings = SETTINGS | {"jax_compilation_cache_dir": str(self.private)}
        self.before = {name: getattr(jax.config, name) for name in settings}
        for name, value in settings.items():
            jax.config.update(name, value)
        _forget()  # what JAX has decided when it compiled for the first time

    def end(self) -> None:
        """See the module's `end`."""
        if str(self.private) == self.jax.config.jax_compilation_cache_dir:  # nobody has changed it
            for name, value in self.before.items():
                self.jax.config.update(name, value)
            _forget()
        try:
            for entry in _files(self.private):
                if entry.name not in self.linked and _is_whole(Path(entry.path)):
                    os.replace(entry.path, self.shared / entry.name)
            _shrink(self.root, BYTES)
        except OSError as error:
            log.debug("compiled programs are not kept: %s", error)
        shutil.rmtree(self.private, ignore_errors=True)


def _forget() -> None:
    """Let JAX look at its settings again when it compiles next: it looks once, and keeps to what it saw."""
    from jax.experimental.compilation_cache import compilation_cache

    compilation_cache.reset_cache()


def _kind() -> str:
    """Programs run only where they were compiled: on this processor, by these versions, read by this compression."""
    from hashlib import sha256
    from importlib.metadata import version
    from importlib.util import find_spec

    facts = [platform.system(), platform.machine(), *sys.version_info[:2], find_spec("zstandard") is not None]
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as file:
        lines = file.read(20_000).split("\n\n")[0].splitlines()
        facts += [line for line in lines if line.startswith(("flags", "Features", "model name"))]
    return f"jaxlib-{version('jaxlib')}-{sha256(repr(facts).encode()).hexdigest()[:12]}"


def _files(where: Path) -> list[os.DirEntry[str]]:
    """The programs in a folder; those of no length, which a power cut leaves, are removed."""
    with os.scandir(where) as entries:
        found = [entry for entry in entries if entry.name.endswith(SUFFIX)]
    out = []
    for entry in found:
        with contextlib.suppress(OSError):  # another process may have removed it
            if entry.stat().st_size:
                out.append(entry)
            else:
                os.unlink(entry.path)
    return out


def _linked(entry: os.DirEntry[str], target: Path) -> bool:
    """The file under another name, or its copy where the file system has no links; False where it has gone."""
    with contextlib.suppress(OSError):
        try:
            os.link(entry.path, target)
        except FileNotFoundError:
            return False
        except OSError:
            shutil.copy2(entry.path, target)
        return True
    return False


def _is_whole(path: Path) -> bool:
    """Whether all of a file was written: an interrupt or a full disk may have come between. JAX compresses them."""
    try:
        data = path.read_bytes()
        if data.startswith(MAGIC_ZSTD):
            return _is_whole_zstd(data)
        stream = zlib.decompressobj()
        stream.decompress(data)
        return stream.eof
    except (OSError, zlib.error):
        return False


def _is_whole_zstd(data: bytes) -> bool:
    try:
        from compression import zstd  # Python 3.14

        stream = zstd.ZstdDecompressor()
    except ImportError:
        import zstandard

        stream = zstandard.ZstdDecompressor().decompressobj()
    try:
        stream.decompress(data)
        return bool(stream.eof)
    except Exception:  # each package has an error of its own
        return False


def _remove_stale(shared: Path, host: str) -> None:
    """Remove private folders of processes that were killed; of other hosts only old ones."""
    for path in shared.glob("process-*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            is_old = time.time() - path.stat().st_mtime > 7 * DAY
            _, of, pid, _ = path.name.split("-")
            if is_old or (of == host and not _is_running(int(pid))):
                shutil.rmtree(path, ignore_errors=True)


def _is_running(pid: int) -> bool:
    if os.name != "posix":  # there os.kill would end it
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _shrink(root: Path, limit: int) -> None:
    """Remove the least recently used programs of all kinds until no more than `limit` bytes are left."""
    used = []
    for kind in root.glob("jaxlib-*"):
        for entry in _files(kind):
            with contextlib.suppress(OSError):
                told = entry.stat()
                # a file system need not tell when a file was read: then by when it was written
                used.append((max(told.st_atime, told.st_mtime), told.st_size, entry.path))
    total = sum(size for _, size, _ in used)
    for _, size, path in sorted(used):
        if total <= limit:
            return
        with contextlib.suppress(OSError):
            os.unlink(path)
        total -= size
