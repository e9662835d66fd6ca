"""How many examples a property is tried on: few in the lean suite, all of them with HR2JAX_TESTS=full."""

import os

# The lean suite tries a fifth of what the full one does, and no fewer than this.
SHARE, FEWEST = 5, 10
FULL = os.environ.get("HR2JAX_TESTS") == "full"


def examples(count: int) -> int:
    """Of `count` examples, how many are tried."""
    return count if FULL else max(count // SHARE, min(FEWEST, count))
