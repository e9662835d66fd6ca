"""Our inner loop beside optax's L-BFGS on the same augmented Lagrangian: evaluations and seconds to one gradient.

    python bench/inner.py [--json bench/results/inner.json]

The first, the fifth and the tenth subproblem of `hr2z` (radius 0.1) on a published (80, 80) network and on SDP-NN,
from the same point, float64, to the same norm of the gradient. optax's line search needs several
evaluations a step; it counts them itself. Seconds exclude compilation.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hr2jax.engines.product.lagrangian import augmented_lagrangian, joined
from hr2jax.engines.product.lbfgs import advance, beginning
from hr2jax.engines.product.schedule import Schedule
from hr2jax.engines.product.steering import Run
from hr2jax.problem import checked_problem
from hr2jax.relaxation import lift, preset
from hr2jax.relaxation.presolve import presolve
from networks import published_network, sdp_nn

TOLERANCE, STEPS = 1e-4, 300


class Quiet:
    """A monitor that records nothing and never stops."""

    lower = origin = 0.0
    bound = np.inf

    def remaining(self, last: float = 0.0) -> float:
        return np.inf

    def iterations_left(self) -> float:
        return np.inf

    def report(self, *_: object) -> None:
        pass


def ours(fun, x, steps):
    def evaluate(flat):
        value, gradient = jax.value_and_grad(fun)(flat)
        return value, gradient

    state = advance(evaluate, beginning(x), jnp.asarray(1.0), TOLERANCE * np.sqrt(x.size), steps)
    return jnp.linalg.norm(state["g"]), state["used"]


def optax_lbfgs(fun, x, steps):
    solver = optax.lbfgs(memory_size=10)
    value_and_grad = optax.value_and_grad_from_state(fun)

    def go_on(carry):
        _, _, norm, used = carry
        return (used < steps) & (norm > TOLERANCE * np.sqrt(x.size))

    def turn(carry):
        x, state, _, used = carry
        value, gradient = value_and_grad(x, state=state)
        updates, state = solver.update(gradient, state, x, value=value, grad=gradient, value_fn=fun)
        x = optax.apply_updates(x, updates)
        tries = optax.tree.get(state, "info").num_linesearch_steps
        return x, state, optax.tree.norm(optax.tree.get(state, "grad")), used + tries

    start = (x, solver.init(x), jnp.asarray(jnp.inf, x.dtype), jnp.asarray(0))
    _, _, norm, used = jax.lax.while_loop(go_on, turn, start)
    return norm, used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the rows here")
    arguments = parser.parse_args()
    rows = []
    print(f"{'network':<9} {'round':>5} {'method':<6} {'evaluations':>11} {'seconds':>8} {'gradient':>9}")
    for name, (net, center) in {"(80, 80)": published_network(80, 80, 0), "SDP-NN": sdp_nn()}.items():
        problem = checked_problem(net, center=center, radius=0.1)
        lifting = lift(net, problem, presolve(net, problem))
        run = Run(lifting, preset("hr2z", lifting), Quiet(), Schedule(), (), 0, None)
        run.scale_objective()
        for k in range(1, 11):
            if k in (1, 5, 10):
                rows += [dict(network=name, round=k) | row for row in compare(run)]
                for row in rows[-2:]:
                    print(f"{name:<9} {k:>5} {row['method']:<6} {row['evaluations']:>11} {row['seconds']:>8.3f} "
                          f"{row['gradient']:>9.1e}", flush=True)  # fmt: skip
            if run.minimise(np.float64, 10 ** (-2 - k / 14), 60):
                run.sigma *= run.schedule.growth
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


def compare(run: Run) -> list[dict]:
    """Both on the subproblem that this run would solve next."""
    out = []
    with jax.enable_x64(True):
        data = jax.tree.map(jnp.asarray, run.factored.data(run.scale, np.float64))
        multipliers = [jnp.asarray(m) for m in run.multipliers]
        shape, start = run.P.shape, jnp.asarray(run.P).ravel()

        def solve(method, x, data, multipliers, sigma):
            def fun(flat):
                P = flat.reshape(shape)
                given = joined(run.factored.spec, data, multipliers)
                return augmented_lagrangian(P, run.factored.spec, data, given, sigma, (), [], sigma)

            return method(fun, x, STEPS)

        for method in (ours, optax_lbfgs):
            jitted = jax.jit(lambda *a, method=method: solve(method, *a))
            given = (start, data, multipliers, jnp.asarray(run.sigma))
            jax.block_until_ready(jitted(*given))
            began = time.perf_counter()
            norm, used = jax.block_until_ready(jitted(*given))
            name = "ours" if method is ours else "optax"
            seconds = time.perf_counter() - began
            out.append(dict(method=name, evaluations=int(used), seconds=seconds, gradient=float(norm)))
    return out


if __name__ == "__main__":
    main()
