"""How much memory there is, and how much this process has used."""

from __future__ import annotations

import contextlib
import math
import os
import resource
import sys
from pathlib import Path


def peak_bytes() -> int:
    """The most memory that this process has used so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


# --- what there is --------------------------------------------------------------------------------------


def available_bytes() -> float:
    """Bytes that this process can have in all: what is free, what a cgroup leaves, and what it holds already."""
    free = free_bytes()
    if free < math.inf:
        return free + _resident()
    try:
        return float(os.sysconf("SC_PAGE_SIZE")) * float(os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return math.inf


def free_bytes() -> float:
    """Bytes that this process can take beside what it holds; infinity where nothing says."""
    free = (_meminfo(), _cgroup(), _limit())
    return min((amount for amount in free if amount is not None), default=math.inf)


def _resident() -> float:
    try:
        return float(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0.0


def _limit() -> float | None:
    """What `ulimit -v` leaves of the address space; None without such a limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft == resource.RLIM_INFINITY:
        return None
    try:
        used = float(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
    return max(soft - used, 0.0)


def _meminfo() -> float | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return float(line.split()[1]) * 1024.0
    return None


def _cgroup(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> float | None:
    """What the tightest memory limit above this process leaves; None without one."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return None
    left = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            base, names = root, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            base, names = root / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        folder = base / path.strip("/")
        for level in (folder, *folder.parents):  # in a container the path is often the host's: the root remains
            left.append(_left(level, *names))
            if level == base:
                break
    known = [amount for amount in left if amount is not None]
    return min(known) if known else None


def _left(folder: Path, limit: str, usage: str, cache: str) -> float | None:
    """Limit less usage, the file cache that can be dropped not counted; None where there is no limit."""
    try:
        bound = float((folder / limit).read_text())  # "max" is none
        used = float((folder / usage).read_text())
    except (OSError, ValueError):
        return None
    with contextlib.suppress(OSError, ValueError):
        for line in (folder / "memory.stat").read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == cache:
                used -= float(value)
    return max(bound - max(used, 0.0), 0.0) if bound < 2.0**60 else None
