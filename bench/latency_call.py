"""One problem of bench/latency.py in a process of its own: what is measured includes the imports, so few stand above.

    python bench/latency_call.py '[network, center or null, options, "processor" or "wall", calls]'
"""

from __future__ import annotations

import builtins
import json
import resource
import sys
import time

PARTS = {"setup": "setup", "compile": "compile", "engine": "solve", "proof": "certify", "witness": "lower"}


def processor() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


class Clock:
    """Seconds but those of importing, which it adds up."""

    def __init__(self, base):
        self.base, self.imported, self.since, self.depth = base, 0.0, 0.0, 0
        self.original = builtins.__import__

    def __call__(self) -> float:
        return (self.since if self.depth else self.base()) - self.imported

    def importing(self, *args, **kwargs):
        if not self.depth:
            self.since = self.base()
        self.depth += 1
        try:
            return self.original(*args, **kwargs)
        finally:
            self.depth -= 1
            if not self.depth:
                self.imported += self.base() - self.since


def row(network: str, center: str | None, options: dict, base: str, calls: int) -> list[dict]:
    """So many equal calls, in this process."""
    wall = time.perf_counter
    clock = Clock(processor if base == "processor" else wall)
    builtins.__import__ = clock.importing
    time.perf_counter = time.time = clock
    import numpy as np

    import hr2jax

    net = hr2jax.load(network)
    box = {} if center is None else {"center": np.load(center), "radius": 0.1}
    out = []
    for _ in range(calls):  # of the first: since the process began
        imported, began, used = clock.imported, wall(), processor()
        result = hr2jax.solve(net, **options, **box)
        parts = {name: result.timings[entry] for name, entry in PARTS.items()}
        out.append(parts | {
            "import": clock.imported - imported if out else clock.imported, "wall": wall() - began,
            "processor": processor() - used if out else processor(), "bound": result.bound, "lower": result.lower,
            "status": result.status.name, "iterations": result.iterations, "N": result.problem["moment_matrix"],
        })  # fmt: skip
    return out


if __name__ == "__main__":
    print(json.dumps(row(*json.loads(sys.argv[1]))))
