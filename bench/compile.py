"""The longest single compilations of a solve: what Ctrl-C cannot cut, and waits for no longer than a second.

    python bench/compile.py            a few problems
    python bench/compile.py --deep     also hr2+ of 20 hidden layers, which takes minutes
"""

import argparse
import itertools
import time

import jax
import numpy as np

import hr2jax

SPANS: list[float] = []


def listen(event, seconds, **_):
    if event.endswith("backend_compile_duration"):
        SPANS.append(seconds)


def network(*widths, seed=0):
    rng = np.random.default_rng(seed)
    pairs = list(itertools.pairwise(widths))
    weights = [rng.standard_normal((b, a)) / np.sqrt(a) for a, b in pairs]
    return hr2jax.Network(weights, [0.1 * rng.standard_normal(b) for _, b in pairs])


def box(net):
    return {"center": np.zeros(net.widths[0]), "radius": 0.3}


PROBLEMS = {
    "20-30-1 hr2": (network(20, 30, 1), {"relaxation": "hr2"}, False),
    "20-30-1 hr2+": (network(20, 30, 1), {"relaxation": "hr2+"}, False),
    "20-30-1 hr2+ box": (network(20, 30, 1), {"relaxation": "hr2+"}, True),
    "20-30-1 hr2z admm": (network(20, 30, 1), {"relaxation": "hr2z", "method": "admm"}, True),
    "200-300-1 hr2+ box": (network(200, 300, 1), {"relaxation": "hr2+"}, True),
    "200-300-1 hr2z admm": (network(200, 300, 1), {"relaxation": "hr2z", "method": "admm"}, True),
    "40-60-60-60-1 hr2+": (network(40, 60, 60, 60, 1), {"relaxation": "hr2+"}, True),
    "40-60-60-5 hr2+ 2 -> 2": (network(40, 60, 60, 5), {"relaxation": "hr2+", "norm": 2}, True),
}
DEEP = {
    "4-...-4-1, 20 hidden, hr2+": (network(4, *[4] * 20, 1), {"relaxation": "hr2+"}, True),
    "12-...-12-1, 20 hidden, hr2+": (network(12, *[12] * 20, 1), {"relaxation": "hr2+"}, True),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deep", action="store_true")
    arguments = parser.parse_args()
    jax.config.update("jax_enable_compilation_cache", False)
    jax.monitoring.register_event_duration_secs_listener(listen)
    print(f"{'problem':<38}{'programs':>9}{'all, s':>9}{'longest, s':>12}{'solve, s':>10}")
    for name, (net, options, is_local) in (PROBLEMS | (DEEP if arguments.deep else {})).items():
        jax.clear_caches()
        SPANS.clear()
        began = time.perf_counter()
        hr2jax.solve(net, tol=1e-2, max_iterations=200, **options, **(box(net) if is_local else {}))
        print(f"{name:<38}{len(SPANS):>9}{sum(SPANS):>9.1f}{max(SPANS, default=0.0):>12.2f}"
              f"{time.perf_counter() - began:>10.1f}", flush=True)


if __name__ == "__main__":
    main()
