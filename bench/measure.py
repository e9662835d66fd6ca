"""What the benches share: tables that are kept as JSON row by row, processes of their own, solves alone."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hr2jax

RESULTS = Path(__file__).parent / "results"


class Table:
    """Rows printed as they come, and kept in a JSON file where a row of the same key is replaced.

    Args:
        columns: what is printed: a row's entry, and how it is formatted ("<10", ">9.3f").
        key: the entries that name a row.
        path: the JSON file, written after every row.
    """

    def __init__(self, columns: Mapping[str, str], key: tuple[str, ...], path: Path):
        self.columns, self.key, self.path = columns, key, path

    def header(self) -> None:
        """Print the names of the columns."""
        print(" ".join(f"{name:{_place(form)}}" for name, form in self.columns.items()), flush=True)

    def add(self, row: Mapping[str, Any]) -> None:
        """Print a row; keep it in the file at once."""
        cells = (f"{_text(row.get(name), form):{_place(form)}}" for name, form in self.columns.items())
        print(" ".join(cells).rstrip(), flush=True)
        self.keep(row)

    def keep(self, row: Mapping[str, Any]) -> None:
        """Keep a row in the file at once."""
        rows = self.rows()
        known = [all(other.get(name) == row.get(name) for name in self.key) for other in rows]
        place = known.index(True) if True in known else len(rows)
        rows[place : place + 1] = [strict(dict(row))]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(rows, indent=1, allow_nan=False) + "\n")

    def rows(self) -> list[dict]:
        """What the file has."""
        return json.loads(self.path.read_text()) if self.path.exists() else []

    def markdown(self) -> str:
        """What the file has, as a table for docs/."""
        lines = [list(self.columns), ["--:" if ">" in form else ":--" for form in self.columns.values()]]
        lines += [[_text(row.get(name), form) for name, form in self.columns.items()] for row in self.rows()]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def in_process(script: str, arguments: list[Any], patience: float | None = None) -> dict:
    """What `python script --row <arguments as JSON>` prints last; a failure has `status` and `message`.

    A process of its own has a peak of its own, can be killed where a solver knows no time limit, and leaves
    the others their row where it dies.
    """
    command = [sys.executable, script, "--row", json.dumps(arguments)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=patience, check=False)
    except subprocess.TimeoutExpired:
        return dict(status="KILLED", message=f"after {patience:.0f} s")
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"ended by signal {-done.returncode}"]
        return dict(status="FAILED", message=lines[-1][:300])
    return json.loads(done.stdout.splitlines()[-1])


def solve_alone(net: hr2jax.Network, **options: Any) -> hr2jax.Result:
    """`hr2jax.solve` without its search for lower bounds, which is no part of what is measured."""
    return hr2jax.solve(net, witness=0, **options)


def solve_seconds(result: hr2jax.Result) -> float:
    """Seconds of the engine and of its certificates, compilation apart."""
    return result.timings["solve"] + result.timings["certify"]


def _place(form: str) -> str:
    """Alignment and width of a format: "<10" of "<10.3f"."""
    return re.match(r"[<>]\d+", form)[0]


def _text(value: Any, form: str) -> str:
    """A cell, without its padding."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    return str(value) if isinstance(value, str | bool) else f"{value:{form}}".strip()


def strict(value: Any) -> Any:
    """The same with null for numbers that JSON has not."""
    if isinstance(value, dict):
        return {name: strict(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [strict(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
