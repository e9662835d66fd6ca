"""What a refusal says about the value that was given."""

from __future__ import annotations

import numpy as np

LONGEST = 80


def unread(error: Exception) -> str:
    """Why NumPy could not load a file; where it says how to unpickle, this says that nobody does."""
    text = str(error)
    return "it is no NumPy file, or has Python objects, which are never read" if "pickle" in text else text


def shown(value: object) -> str:
    """repr(value) on one line of at most `LONGEST` characters, or a description where that says more.

    An error message is one sentence, whatever was given: an array's repr has many lines, an integer's may
    have thousands of digits (more than Python is willing to print).
    """
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    if isinstance(value, int) and value.bit_length() > 8 * 20:
        return f"an integer of {value.bit_length()} bits"
    try:
        text = " ".join(repr(value).split())
    except Exception:  # somebody's object
        text = f"a value of type {type(value).__name__}"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
