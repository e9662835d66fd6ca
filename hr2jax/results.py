"""What `solve_all` gives back: many results as one table, for people and for programs."""

from __future__ import annotations

import csv
import io
import json
import os
from typing import Any, SupportsIndex, overload

from .machine.files import written
from .result import Result
from .text import html_table, install, latex_cell, lower_text, output_text, upper_text, where_text

LONGEST_TABLE = 40  # rows of results that a table shows
COLUMNS = (
    "output", "norm", "where", "relaxation", "bound", "lower", "gap", "status", "iterations", "setup_seconds",
    "compile_seconds", "solve_seconds", "lower_seconds",
)  # fmt: skip


class Results(list[Result]):
    """Results of several outputs, as `solve_all` gives them: a list, whose slices are Results too."""

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> Result: ...

    @overload
    def __getitem__(self, index: slice, /) -> Results: ...

    def __getitem__(self, index: SupportsIndex | slice, /) -> Result | Results:
        if isinstance(index, slice):
            return Results(super().__getitem__(index))
        return super().__getitem__(index)

    def __str__(self) -> str:
        """A table of at most LONGEST_TABLE results, the first and the last of them where there are more."""
        rows = self._shown()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        aligned = ([row[0].ljust(widths[0]), *map(str.rjust, row[1:4], widths[1:4]), row[4]] for row in rows)
        return "\n".join("  ".join(row).rstrip() for row in aligned)

    def _shown(self) -> list[tuple[str, ...]]:
        rows = self._texts()
        if len(rows) > LONGEST_TABLE:
            first = LONGEST_TABLE // 2
            last = LONGEST_TABLE - first - 1
            rows = [*rows[:first], (f"... {len(rows) - first - last} more", "", "", "", ""), *rows[-last:]]
        return [("output", "bound", "lower", "gap", "status"), *rows]

    def _texts(self) -> list[tuple[str, ...]]:
        return [
            (output_text(r.problem["output"]), upper_text(r.bound), lower_text(r.lower), f"{100 * r.gap:.2f} %",
             r.status.name)
            for r in self
        ]  # fmt: skip

    def _repr_html_(self) -> str:
        return html_table(self._shown())

    def __repr__(self) -> str:
        return f"Results({len(self)} of them)"

    def _records(self) -> list[dict[str, Any]]:
        """A row each: what was asked, in words, and what was found, in full precision."""
        return [
            {
                "output": output_text(r.problem["output"]), "norm": r.problem["norm"], "where": where_text(r.problem),
                "relaxation": r.problem["relaxation"], "bound": float(r.bound), "lower": float(r.lower),
                "gap": float(r.gap), "status": r.status.name, "iterations": int(r.iterations),
                **{f"{name}_seconds": float(r.timings[name]) for name in ("setup", "compile", "solve", "lower")},
            }
            for r in self
        ]  # fmt: skip

    def to_csv(self, path: str | os.PathLike[str] | None = None) -> str:
        """A row a result under a row of names, every float64 in full; written, all or nothing, if `path` is given."""
        out = io.StringIO()
        writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._records())
        return written(out.getvalue(), path, end="")

    def to_dataframe(self) -> Any:
        """A pandas DataFrame with `to_csv`'s columns.

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError(
                f"to_dataframe needs pandas: {install('pandas')}; to_csv and to_json need nothing"
            ) from error
        return pd.DataFrame(self._records(), columns=COLUMNS)

    def to_latex(self, path: str | os.PathLike[str] | None = None) -> str:
        """A tabular of all of them, in plain LaTeX, bounds rounded up and `lower` down; written if `path` is given."""
        lines = [
            r"\begin{tabular}{lrrrl}",
            r"\hline",
            r"output & bound & lower & gap & status \\",
            r"\hline",
            *(" & ".join(map(latex_cell, row)) + r" \\" for row in self._texts()),
            r"\hline",
            r"\end{tabular}",
        ]
        return written("\n".join(lines), path)

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """A strict JSON list of what `Result.to_json` says of each; written, all or nothing, if `path` is given."""
        return written(json.dumps([r.plain() for r in self], allow_nan=False, indent=1), path)
