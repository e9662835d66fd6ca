"""The only way into compiled programs: an interrupt never lands within, and no module goes another way."""

import ast
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hr2jax
from hr2jax.machine import run as machine_run
from hr2jax.machine.compile_clock import Stopwatch, compile_seconds
from hr2jax.machine.run import compiled, run

PACKAGE = Path(hr2jax.__file__).parent


@pytest.fixture(autouse=True)
def handler():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_it_returns_what_the_program_does_and_everything_is_ready():
    value, name = run(lambda x, *, name: (2.0 * x, name), jnp.arange(3.0), name="a")
    np.testing.assert_array_equal(value, [0.0, 2.0, 4.0])
    assert name == "a"
    with pytest.raises(ZeroDivisionError):
        run(lambda: 1 // 0)


def test_interrupts_wait_until_the_program_has_ended_however_many_come():
    done = []

    def program():
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)
        done.append(1)

    with pytest.raises(KeyboardInterrupt):
        run(program)
    assert done


def test_what_is_compiled_is_left_out_by_a_stopwatch():
    before, watch, began = compile_seconds(), Stopwatch(), time.perf_counter()
    run(jax.jit(lambda x: jnp.linalg.eigh(x + 0.123)[0]), jnp.eye(7))
    elapsed, compiled = time.perf_counter() - began, compile_seconds() - before
    assert compiled > 0
    assert watch.seconds() == pytest.approx(elapsed - compiled, abs=0.1)
    assert watch.seconds() < elapsed


def test_a_jax_that_does_not_know_the_options_compiles_without(monkeypatch):
    monkeypatch.setattr(machine_run, "QUICK", {"xla_of_no_jax": True})
    monkeypatch.setattr(machine_run, "_is_known", True)
    double = compiled(lambda x: 2.0 * x)
    assert float(run(double, 3.0)) == 6.0
    assert not machine_run._is_known
    assert float(run(double, 4.0)) == 8.0


def test_a_compiled_function_is_part_of_what_is_traced():
    double = compiled(lambda x, n: n * x, static_argnames="n")
    assert float(jax.jit(lambda x: double(x, n=2) + 1.0)(3.0)) == 7.0
    assert float(jax.grad(lambda x: double(x, n=2) ** 2)(3.0)) == 24.0


# --- real signals, within every kind of caller ----------------------------------------------------------

# A SIGINT comes while JAX traces or compiles for the module that is asked for: a KeyboardInterrupt would land within
# JAX; the handler looks at whom it has interrupted.
CHILD = """
import os, signal, sys
import jax
import numpy as np
import hr2jax
from hr2jax.engines.product import schedule
from hr2jax.engines.product.batch import steer_together
from hr2jax.linalg import on_device
from hr2jax.machine.seeds import key_of
from hr2jax.problem import checked_problem
from hr2jax.relaxation import lift, preset
from hr2jax.relaxation.presolve import presolve

def modules(frame):
    names = []
    while frame is not None:
        names.append(frame.f_globals.get("__name__", ""))
        frame = frame.f_back
    return names

def press(event, seconds, **_):
    if event.startswith("/jax/core/compile/") and not sent and "hr2jax." + module in modules(sys._getframe()):
        sent.append(event)
        os.kill(os.getpid(), signal.SIGINT)

def handler(number, frame):
    landed.append([name for name in modules(sys._getframe()) if name.split(".")[0] in ("jax", "jaxlib")])
    raise KeyboardInterrupt

signal.signal(signal.SIGINT, handler)
jax.monitoring.register_event_duration_secs_listener(press)
rng = np.random.default_rng(0)
net = hr2jax.Network([rng.standard_normal((7, 5)), rng.standard_normal((3, 7))], [np.zeros(7), np.zeros(3)])
deep = hr2jax.Network([rng.standard_normal((7, 5)), rng.standard_normal((6, 7)), rng.standard_normal((1, 6))],
                      [0.1 * rng.standard_normal(7), np.zeros(6), np.zeros(1)])
box, x = {"center": np.zeros(5), "radius": 0.5}, rng.uniform(-1, 1, (4, 5))
problem = checked_problem(net, (0, 1))
lifting = lift(net, problem, presolve(net, problem))
on_device.LARGE = 2
schedule.SMALL = 0
jax.config.update("jax_disable_most_optimizations", True)
CALLERS = {
    "engines.product.device": lambda: hr2jax.solve(net, output=(0, 1), relaxation="hr2", method="lowrank"),
    "engines.product.triangle_device": lambda: hr2jax.solve(net, output=(0, 1), relaxation="hr2+", method="lowrank"),
    "engines.product.product_cuts": lambda: hr2jax.solve(deep, relaxation="hr2+", method="lowrank", **box),
    "engines.product.batch": lambda: steer_together(2 * [(lifting, preset("shor", lifting))], tolerance=1e-3),
    "engines.block.admm": lambda: hr2jax.solve(net, output=(0, 1), relaxation="hr2", method="admm"),
    "linalg.on_device": lambda: on_device.OnDevice(np.eye(5)).inverse(np.full(5, 2.0)),
    "machine.seeds": lambda: key_of(1),
    "robustness.attack": lambda: hr2jax.certify(net, x, radii=[0.1], relaxation="shor", workers=1),
    "robustness.bilinear": lambda: hr2jax.certify(
        net, x, radii=[1e-9], relaxation="shor", workers=1
    ),
}
for module, call in CALLERS.items():
    sent, landed = [], []
    jax.clear_caches()
    try:
        call()
    except KeyboardInterrupt:
        pass
    print(module, len(sent), len(landed), landed and landed[0][:2], flush=True)
"""


def test_an_interrupt_lands_within_jax_for_no_caller():
    """The penalty's programs for all pairs of labels once ran as they were: Ctrl-C ended in a segmentation fault."""
    done = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 9
    for line in lines:
        assert line.endswith(" 1 1 []"), line


# --- no module goes another way -------------------------------------------------------------------------


class Function:
    """A function of the package, and who calls it how."""

    def __init__(self, module, node, parent):
        self.module, self.node, self.parent = module, node, parent
        self.uses = []  # (whether `run` is given it, the function around)
        self.traced = any(is_jit(d) or "custom_vjp" in ast.unparse(d) for d in decorators(node))


JITS = "jax.jit", "compiled"


def is_jit(decorator):
    """Of JAX or of ours, with arguments or without."""
    text = ast.unparse(decorator)
    return text in JITS or text.startswith(tuple(f"partial({jit}," for jit in JITS))


def dotted(node):
    """The beginning of an expression as it is written: names, attributes, what is called without its arguments."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return dotted(node.func) + "()" if isinstance(node, ast.Call) else ""


def decorators(node):
    return getattr(node, "decorator_list", [])


def functions_of(sources):
    """Every function and lambda of the modules (name -> text), and the calls into JAX with the function around each."""
    functions, calls = [], []
    jitted = set()  # (module, name)
    for module, text in sources.items():
        nodes = nodes_of(text)
        found = {}
        for node in nodes:
            if isinstance(node, ast.FunctionDef | ast.Lambda):
                found[node] = Function(module, node, None)
                functions.append(found[node])
                if any(map(is_jit, decorators(node))):
                    jitted.add((module, node.name))
            if isinstance(node, ast.Assign) and dotted(node.value).startswith(tuple(f"{jit}(" for jit in JITS)):
                jitted |= {(module, target.id) for target in node.targets if isinstance(target, ast.Name)}
        for function in found.values():
            function.parent = around(function.node.parent, found)
        sources[module] = nodes, found
    by_name = {}
    for function in functions:
        by_name.setdefault(getattr(function.node, "name", None), []).append(function)
    for module, (nodes, found) in sources.items():
        known = names_of(nodes)
        is_jitted = {n for m, n in jitted if m == module or known.get(n) == m.split("/")[-1]}
        for node in nodes:
            if isinstance(node, ast.Call):
                name = dotted(node.func)
                is_eager = name.startswith(("jnp.", "jax.random.", "jax.lax.")) and name not in FREE
                if is_eager or name in is_jitted:
                    calls.append((module, node.lineno, name, around(node, found)))
            is_asarray = isinstance(node, ast.Attribute) and node.attr == "asarray" and dotted(node) == "jnp.asarray"
            if is_asarray and not is_given_to_run(node):
                calls.append((module, node.lineno, "jnp.asarray", around(node, found)))
            name = getattr(node, "id", getattr(node, "attr", None))
            if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
                for function in by_name.get(name, ()):
                    if is_same(function, node, module, known):
                        function.uses.append((is_given_to_run(node), around(node, found)))
            if isinstance(node, ast.Lambda):
                found[node].uses.append((is_given_to_run(node), around(node.parent, found)))
    return functions, calls


# These compute nothing; even jnp.asarray runs a program.
FREE = {"jnp.issubdtype", "jnp.finfo"}


def nodes_of(text):
    """Every node of a module but those that say how a name is used; each knows its parent."""
    nodes = [ast.parse(text)]
    for node in nodes:  # they become more
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, ast.expr_context):
                child.parent = node
                nodes.append(child)
    return nodes


def names_of(nodes):
    """Imported names, each with the last part of the module that it comes from."""
    froms = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    return {alias.name: node.module.split(".")[-1] for node in froms for alias in node.names}


def is_same(function, node, module, known):
    """Whether a name may be that function: methods by attribute, others in their module or where they are imported."""
    if isinstance(function.node.parent, ast.ClassDef):
        return isinstance(node, ast.Attribute)
    home = function.module.split("/")[-1]
    return isinstance(node, ast.Name) and (module == function.module or known.get(node.id) == home)


def is_given_to_run(node):
    parent = node.parent
    if not isinstance(parent, ast.Call):
        return False
    to = dotted(parent.func)
    return (to == "run" and parent.args[:1] == [node]) or to.endswith(".defvjp")


def around(node, found):
    while node is not None and node not in found:
        node = getattr(node, "parent", None)
    return found.get(node)


def other_ways(sources):
    """Calls into JAX that are neither within `run` nor within a function that is traced."""
    functions, calls = functions_of(dict(sources))
    within, more = set(), True

    def is_within(function):
        uses = [(given, user) for given, user in function.uses if user is not function]
        calls_only_within = bool(uses) and all(given or user in within for given, user in uses)
        return function.traced or function.parent in within or calls_only_within

    while more:
        more = {function for function in functions if function not in within and is_within(function)}
        within |= more
    return [(module, line, name) for module, line, name, function in calls if function not in within]


# Differentiated, batched and jitted by whoever trains with it; and what `run` is made of.
OUTSIDE = {"penalty", "engines/bilinear/maximise", "machine/run"}


def sources():
    return {str(path.relative_to(PACKAGE))[:-3]: path.read_text() for path in PACKAGE.rglob("*.py")}


def test_no_module_calls_a_program_but_through_run():
    found = [(module, line, name) for module, line, name in other_ways(sources()) if module not in OUTSIDE]
    assert found == []


def test_no_module_waits_for_an_array_but_run():
    assert [m for m, text in sources().items() if "block_until_ready" in text and m not in OUTSIDE] == []


@pytest.mark.parametrize("text", [
    "@jax.jit\ndef f(x): return x\ndef g(x): return f(x)",
    "@partial(compiled, static_argnames='n')\ndef f(x, n): return x\ndef g(x): return f(x, 1)",
    "f = jax.jit(abs)\nclass A:\n    def g(self): return f(1)",
    "def g(x): return jnp.sum(x)",
    "def h(x): return jnp.sum(x)\ndef g(x): return run(h, x) + h(x)",
])  # fmt: skip
def test_it_would_be_seen(text):
    assert other_ways({"a": text})


@pytest.mark.parametrize("text", [
    "@jax.jit\ndef f(x): return h(x)\ndef h(x): return jnp.sum(x)\ndef g(x): return run(f, x)",
    "class A:\n    def _g(self): return jnp.sum(self.x)\n    def g(self): return run(self._g)",
    "def g(x): return run(lambda: jnp.sum(x))",
])  # fmt: skip
def test_what_runs_within_is_not_blamed(text):
    assert not other_ways({"a": text})
