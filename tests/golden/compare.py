"""Compares two folders that make.py wrote, bit for bit:  python -m tests.golden.compare A B"""

import json
import sys
from pathlib import Path
from typing import Any


def differences(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """One line for each value of the two indices that differs."""
    lines = [f"{name}: only in {where}" for name in a.keys() ^ b.keys() for where in ("A" if name in a else "B")]
    for name in [name for name in a if name in b]:
        for key in sorted(a[name].keys() | b[name].keys()):
            x, y = a[name].get(key), b[name].get(key)
            if x != y:
                lines.append(f"{name}: {key}: {_shown(key, x)} != {_shown(key, y)}")
    return sorted(lines)


def _shown(key: str, value: Any) -> str:
    if key in ("bound", "lower", "proved", "proved_in_balls") and value is not None:
        return repr(float.fromhex(value))
    return str(value)


def main(a: str, b: str) -> int:
    """What differs, on stdout; 1 if anything does."""
    first, second = (json.loads(Path(folder, "index.json").read_text(encoding="ascii")) for folder in (a, b))
    for what in ("versions", "environment"):
        if first[what] != second[what]:
            print(f"note: made under other {what}: {first[what]} and {second[what]}")
    lines = differences({"networks": first["networks"]}, {"networks": second["networks"]})
    lines += differences(first["cases"], second["cases"])
    for line in lines:
        print(line)
    print(f"{len(first['cases'])} cases, {len(lines)} differences")
    return 1 if lines else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m tests.golden.compare A B")
    sys.exit(main(*sys.argv[1:]))
