"""Which page a JSON of hr2jax gets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from .lipschitz import result_page, results_page
from .prove import proof_page
from .robustness import robustness_page


def page_of(text: str | bytes, what: str, files: Sequence[tuple[str, str]] = ()) -> str:
    """The page of the JSON that a Result, Results, a RobustnessReport or a Proof wrote.

    Args:
        text: the JSON.
        what: its name, for refusals.
        files: (what, SHA-256) of files that belong to it.

    Raises:
        ValueError: it is neither.
    """
    try:
        plain: Any = json.loads(text, parse_constant=_no_number)
        if isinstance(plain, list) and plain:
            return results_page(plain, files)
        if "verdict" in plain:
            return proof_page(plain, files)
        kind, page = ("robustness", robustness_page) if "ratio" in plain else ("result", result_page)
        if (known := plain.get("format", f"hr2jax {kind} 1")) != f"hr2jax {kind} 1":
            raise ValueError(f"its format is {known!r}")
        return page(plain, files)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, ZeroDivisionError, OverflowError,
            RecursionError) as error:  # fmt: skip
        why = f"it has no {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
        raise ValueError(
            f"{what} is not the JSON of a Result, Results, a RobustnessReport or a Proof, as to_json and --json write "
            f"it: {why}"
        ) from None


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number")
