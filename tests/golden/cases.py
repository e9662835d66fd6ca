"""The golden set's table: what is asked of which network.

No case has a time limit, so that no clock decides; the cases of one network follow each other, so that programs are
compiled once.
"""

from collections.abc import Iterator
from typing import Any

Case = tuple[str, str, dict[str, Any]]  # the public function, the network's name, and the arguments

BOX = {"center": [0.1, -0.2, 0.3], "radius": 0.5}
BALL = BOX | {"norm": 2}
DOMAINS: dict[str, dict[str, Any]] = {"global": {}, "box": BOX, "global2": {"norm": 2}, "ball": BALL}
RECTANGLE = {"center": [0.1, -0.2, 0.3], "radius": [0.5, 0.0, 1.5]}


def cases() -> dict[str, Case]:
    """By name."""
    named: dict[str, Case] = {}
    of_other_liftings = [*_reach(), *_last(), *_smooth()]
    for name, call, network, options in [*_one_layer(), *_several_layers(), *_several_values(), *of_other_liftings]:
        assert name not in named, name
        assert "time_limit" not in options
        named[name] = call, network, options
    return named


def _one_layer() -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    for relaxation, domains in {
        "shor": DOMAINS, "hr2": DOMAINS, "hr2z": DOMAINS, "hr2+": DOMAINS, "best": ("global", "box", "ball"),
        "lasserre2": ("global", "box"), "lipopt3": ("global", "box"), "lipopt4": ("global", "box"),
        "interval": ("box", "global2"), "product": ("box", "global2"),
    }.items():  # fmt: skip
        for domain in domains:
            options = {"output": 0, "relaxation": relaxation, **DOMAINS[domain]}
            yield f"plain-{relaxation}-{domain}", "solve", "plain", options
    yield "plain-lipsdp", "solve", "plain", {"output": 0, "relaxation": "lipsdp", "norm": 2}
    yield "plain-lipsdp-newton", "solve", "plain", {"output": 1, "relaxation": "lipsdp", "norm": 2, "method": "newton"}
    # outputs
    for kind, output in (("pair", (2, 1)), ("vector", [0.5, -2.0, 0.25])):
        for domain in ("global", "box"):
            yield f"plain-hr2-{domain}-{kind}", "solve", "plain", {"output": output, **DOMAINS[domain]}
        yield f"plain-hr2+-ball-{kind}", "solve", "plain", {"output": output, "relaxation": "hr2+", **BALL}
    yield "plain-lipopt3-pair", "solve", "plain", {"output": (0, 1), "relaxation": "lipopt3"}
    # fixed inputs
    for relaxation in ("shor", "hr2", "hr2z", "hr2+", "lasserre2", "interval", "product", "lipopt3"):
        options = {"output": 1, "relaxation": relaxation, **RECTANGLE}
        yield f"plain-{relaxation}-rectangle", "solve", "plain", options
    # engines
    for method in ("lowrank", "newton", "admm", "clarabel", "cvxopt", "sdpa"):
        yield f"plain-hr2-global-{method}", "solve", "plain", {"output": 2, "method": method}
        yield f"plain-hr2z-box-{method}", "solve", "plain", {"output": 2, "relaxation": "hr2z", "method": method, **BOX}
    yield "plain-shor-box-admm", "solve", "plain", {"output": 2, "relaxation": "shor", "method": "admm", **BOX}
    options = {"output": (0, 2), "relaxation": "lasserre2", "method": "clarabel"}
    yield "plain-lasserre2-global-clarabel", "solve", "plain", options
    yield "plain-hr2+-box-newton", "solve", "plain", {"output": 2, "relaxation": "hr2+", "method": "newton", **BOX}
    yield "plain-hr2-ball-newton", "solve", "plain", {"output": 2, "method": "newton", **BALL}
    # cuts
    for cuts in (["T.U"], ["triangles"], ["U.U", "T.T"], ["X0.U", "T.X0", "X0.X0"]):
        options = {"output": 0, "relaxation": "hr2+", "cuts": cuts, **BOX}
        yield f"plain-hr2+-box-{'-'.join(cuts)}", "solve", "plain", options
    # how it is asked
    yield "plain-hr2-iterations", "solve", "plain", {"output": 0, "max_iterations": 40, "tol": 1e-6, **BOX}
    yield "plain-hr2-tol-seed", "solve", "plain", {"output": 0, "tol": 1e-5, "seed": 3, **BOX}
    yield "plain-hr2-warm", "solve", "plain", {"output": 1, "warm_start": "plain-hr2-box", **BOX}
    yield "plain-hr2-all", "solve_all", "plain", BOX
    # values
    yield "plain-maximum-shor", "maximum", "plain", {"output": 1, "relaxation": "shor", **BOX}
    for relaxation in ("hr2", "hr2+", "interval"):
        for domain, where in (("box", BOX), ("ball", BALL), ("rectangle", RECTANGLE)):
            options = {"output": (0, 1), "relaxation": relaxation, **where}
            yield f"plain-maximum-{relaxation}-{domain}", "maximum", "plain", options
    # other networks
    for relaxation in ("hr2", "hr2z", "hr2+", "lipopt4"):
        yield f"stable-{relaxation}", "solve", "stable", {"output": (0, 1), "relaxation": relaxation, **BOX}
    yield "stable-maximum", "maximum", "stable", {"output": 1, "relaxation": "hr2+", **RECTANGLE}
    box = {"center": [0.0] * 5, "radius": [1.0, 0.0, 0.25, 0.0, 2.0]}
    yield "narrow-hr2", "solve", "narrow", {}
    yield "narrow-hr2+", "solve", "narrow", {"relaxation": "hr2+", **box}
    yield "wide-hr2-newton", "solve", "wide", {"method": "newton"}
    yield "wide-hr2z", "solve", "wide", {"relaxation": "hr2z", "center": [0.0, 0.5], "radius": 2.0}
    yield "sparse-hr2", "solve", "sparse", {}
    yield "sparse-shor-lowrank", "solve", "sparse", {"relaxation": "shor", "method": "lowrank", "norm": 2}
    yield "dead-hr2", "solve", "dead", {"center": [0.0, 0.0], "radius": 1.0}
    yield "dead-maximum", "maximum", "dead", {"center": [0.0, 0.0], "radius": 1.0}
    yield "integers-hr2", "solve", "integers", {}
    yield "integers-hr2+", "solve", "integers", {"relaxation": "hr2+", "center": [0, 0, 0], "radius": 1}
    yield "tiny-hr2", "solve", "tiny", {}
    yield "tiny-hr2z", "solve", "tiny", {"relaxation": "hr2z", "center": [0.0, 0.0], "radius": 1.0}


def _several_layers() -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    for lifting in ("forward", "adjoint", "both"):
        for relaxation, domains in {
            "shor": ("global", "ball"), "hr2": DOMAINS, "hr2+": ("global", "box", "ball"),
        }.items():  # fmt: skip
            for domain in domains:
                options = {"output": 0, "relaxation": relaxation, "lifting": lifting, **DOMAINS[domain]}
                yield f"deep-{relaxation}-{domain}-{lifting}", "solve", "deep", options
    for relaxation, domains in {
        "best": ("box", "global2"), "interval": ("global", "ball"), "product": ("global", "ball"),
    }.items():  # fmt: skip
        for domain in domains:
            options = {"output": 1, "relaxation": relaxation, **DOMAINS[domain]}
            yield f"deep-{relaxation}-{domain}", "solve", "deep", options
    yield "deep-lipsdp", "solve", "deep", {"output": (0, 1), "relaxation": "lipsdp", "norm": 2}
    yield "deep-hr2-vector", "solve", "deep", {"output": [1.5, 0.5], **RECTANGLE}
    yield "deep-hr2-lowrank", "solve", "deep", {"output": 1, "method": "lowrank", **BOX}
    yield "deep-hr2+-lowrank", "solve", "deep", {"output": 1, "method": "lowrank", "relaxation": "hr2+", **BOX}
    for relaxation in ("hr2+", "interval"):
        yield f"deep-maximum-{relaxation}", "maximum", "deep", {"output": (0, 1), "relaxation": relaxation, **RECTANGLE}
    for lifting, cuts in (
        ("forward", ["T.V", "T.VC", "U.V", "U.VC"]),
        ("adjoint", ["T.A", "T.AC", "U.A", "U.AC"]),
        ("both", ["U.X", "U.XC", "X0.X", "X0.XC", "triangles"]),
    ):
        options = {"output": 0, "relaxation": "hr2+", "lifting": lifting, "cuts": cuts, **BOX}
        yield f"deep-hr2+-cuts-{lifting}", "solve", "deep", options
    corner = {"center": [0.2, -0.1], "radius": 0.75}
    for lifting in ("forward", "adjoint", "both"):
        yield f"three-hr2-{lifting}", "solve", "three", {"lifting": lifting, **corner}
        yield f"three-hr2-global-{lifting}", "solve", "three", {"lifting": lifting}
    yield "three-hr2+", "solve", "three", {"relaxation": "hr2+", **corner}
    wide = {"center": [0.2, -0.1], "radius": 1.5}  # where the pre-activation bounds differ
    for bounds in ("interval", "linear", "lp"):
        for norm in ("inf", 2):
            options = {"bounds": bounds, "norm": norm, **wide}
            yield f"three-hr2-{bounds}-{norm}", "solve", "three", options
            yield f"three-maximum-{bounds}-{norm}", "maximum", "three", {"output": [-1.0], **options}
    yield "three-lipsdp", "solve", "three", {"relaxation": "lipsdp", "norm": 2}
    yield "three-lipsdp+", "solve", "three", {"relaxation": "lipsdp+", "norm": 2}
    squares = {"relaxation": "hr2+", "cuts": ["squares", "U.A"], "norm": 2, "tol": 0.01}
    yield "three-hr2+-squares", "solve", "three", squares  # made when squares had no scales for each mask
    for lifting, network in (("both", "three"), ("tensored", "deep")):
        mixtures = {"relaxation": "hr2+", "cuts": ["squares"], "norm": 2, "tol": 0.01, "lifting": lifting}
        yield f"{network}-hr2+-mixtures", "solve", network, mixtures
    signed = {"relaxation": "hr2+", "norm": 2, "output_norm": 1, "tol": 0.01}
    yield "plain-hr2+-signed", "solve", "plain", signed
    for relaxation in ("product", "interval"):
        yield f"three-{relaxation}-none", "solve", "three", {"relaxation": relaxation, "norm": 2}
    yield "three-maximum", "maximum", "three", {"output": [-1.0], "relaxation": "hr2+", **corner}
    for lifting in ("forward", "adjoint"):
        yield f"chain-hr2-{lifting}", "solve", "chain", {"output": (0, 1), "lifting": lifting, **BOX}
    yield "chain-hr2+", "solve", "chain", {"output": 0, "relaxation": "hr2+", **RECTANGLE}
    yield "chain-maximum", "maximum", "chain", {"output": 1, **BALL}
    yield "thin-hr2", "solve", "thin", {}
    yield "thin-shor", "solve", "thin", {"relaxation": "shor", "norm": 2, "center": [0.0] * 4, "radius": 2.0}


def _several_values() -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    for output_norm in (2, 1):
        for domain in ("global", "ball"):
            yield f"plain-hr2-{domain}-to{output_norm}", "solve", "plain", {
                "output_norm": output_norm, **DOMAINS[domain]
            }  # fmt: skip
    yield "plain-hr2z-box-to2", "solve", "plain", {"relaxation": "hr2z", "output_norm": 2, **BOX}
    yield "plain-hr2-box-parts", "solve", "plain", BOX
    yield "plain-hr2+-ball-parts", "solve", "plain", {"relaxation": "hr2+", "output_norm": "inf", **BALL}
    matrix = [[1.0, -0.5, 0.0], [0.25, 2.0, -1.0]]
    yield "plain-shor-matrix", "solve", "plain", {"output": matrix, "relaxation": "shor", "norm": 2}
    for relaxation, domain in (("shor", "global2"), ("hr2", "ball"), ("interval", "ball"), ("product", "global2")):
        yield f"deep-{relaxation}-{domain}-to2", "solve", "deep", {
            "relaxation": relaxation, "output_norm": 2, **DOMAINS[domain]
        }  # fmt: skip
    yield "deep-lipsdp-to2", "solve", "deep", {"relaxation": "lipsdp", "norm": 2}
    cuts = ["S.U", "T.AS", "T.ASC", "U.AS", "U.ASC"]
    for domain in ("box", "ball"):
        yield f"deep-hr2+-cuts-separate-{domain}", "solve", "deep", {
            "relaxation": "hr2+", "output_norm": 1, "cuts": cuts, **DOMAINS[domain]
        }  # fmt: skip
    for domain, output_norm in (("global2", 2), ("box", 1), ("ball", 2), ("ball", 1)):
        yield f"deep-hr2+-tensored-{domain}-to{output_norm}", "solve", "deep", {
            "relaxation": "hr2+", "output_norm": output_norm, "lifting": "tensored", "tol": 1e-2, **DOMAINS[domain]
        }  # fmt: skip
    yield "deep-hr2+-tensored-xL", "solve", "deep", {
        "relaxation": "hr2+", "output_norm": 2, "lifting": "tensored", "tol": 1e-2, **BALL
    }  # fmt: skip
    yield "plain-hr2-tensored", "solve", "plain", {"lifting": "tensored", "output_norm": 2, **BOX}
    # norm 1: columns, of one output with t, of several without, of all rows to "inf"
    for name, options in {
        "plain-hr2-columns-global": {"output": 0, "norm": 1},
        "plain-hr2+-columns-ball1": {"output": (0, 1), "relaxation": "hr2+", "norm": 1, **BOX},
        "plain-hr2z-columns-to2": {"relaxation": "hr2z", "norm": 1, "output_norm": 2, **BOX},
        "deep-hr2-columns-to1": {"norm": 1, **BOX},
        "deep-hr2-columns-rows": {"norm": 1, "output_norm": "inf", **BOX},
        "deep-lipsdp-columns": {"relaxation": "lipsdp", "norm": 1, "output_norm": 2},
    }.items():
        yield name, "solve", name.split("-")[0], options
    # cones, and products within the chains
    for lifting in ("adjoint", "forward"):
        yield f"deep-hr2+-cones-{lifting}", "solve", "deep", {
            "output": 0, "relaxation": "hr2+", "cuts": ["cones", "X.X"], "lifting": lifting, **BALL
        }  # fmt: skip
    yield "deep-hr2+-cones-separate", "solve", "deep", {
        "relaxation": "hr2+", "cuts": ["cones", "X.X"], **BALL
    }  # fmt: skip
    yield "plain-hr2+-cones-ball1", "solve", "plain", {
        "relaxation": "hr2+", "cuts": ["cones", "U.U"], "norm": 1, "output_norm": 2, **BOX
    }  # fmt: skip


def _reach() -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    for network in ("wide", "tiny", "plain", "three", "deep"):
        yield f"{network}-hr2-reach", "solve", network, {"lifting": "reach", "norm": 2, "output": 0}
    yield "three-hr2+-reach", "solve", "three", {"lifting": "reach", "relaxation": "hr2+", "max_iterations": 40}
    yield "three-hr2+-reach-circuits", "solve", "three", {
        "lifting": "reach", "relaxation": "hr2+", "cuts": ["exclusions", "U.X"], "max_iterations": 40
    }  # fmt: skip
    yield "deep-hr2+-reach-to2", "solve", "deep", {
        "lifting": "reach", "relaxation": "hr2+", "norm": 2, "output_norm": 2, "max_iterations": 40
    }  # fmt: skip


def _last() -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    last = {"lifting": "xL", "output": 0, "max_iterations": 60}
    for domain in ("box", "ball"):
        yield f"deep-hr2+-{domain}-xL", "solve", "deep", {"relaxation": "hr2+", **last, **DOMAINS[domain]}
    corner = {"center": [0.2, -0.1], "radius": 1.5}
    for relaxation in ("hr2", "hr2+"):
        yield f"three-{relaxation}-xL", "solve", "three", {"relaxation": relaxation, **last, **corner}
    cuts = ["events", "clauses"]
    for network in ("three", "wide"):
        options = {"relaxation": "hr2+", "cuts": cuts, **last, **corner}
        yield f"{network}-hr2+-cuts-xL", "solve", network, options
        options = {"relaxation": "hr2+", "cuts": ["exclusions"], "bounds": "split", **last, **corner}
        yield f"{network}-hr2+-split-xL", "solve", network, options


def _smooth() -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    for network, output in (("smooth", (0, 1)), ("mixed", 0)):
        yield f"{network}-hr2", "solve", network, {"output": output}
        # "auto" was adjoint when this one was made
        yield f"{network}-hr2+-box", "solve", network, {"output": output, "relaxation": "hr2+", **BOX}
        for relaxation, where in (("shor", RECTANGLE), ("hr2+", BOX), ("hr2", BALL), ("interval", BOX)):
            options = {"output": output, "relaxation": relaxation, **where}
            yield f"{network}-maximum-{relaxation}", "maximum", network, options
        for relaxation, domain in (("hr2", "box"), ("hr2", "ball"), ("hr2+", "box")):
            options = {"output": output, "relaxation": relaxation, "lifting": "tied", "tol": 1e-2, **DOMAINS[domain]}
            yield f"{network}-{relaxation}-{domain}-tied", "solve", network, options | {"max_iterations": 60}
        if network == "smooth":
            for relaxation, domain, output_norm in (("hr2", "box", 2), ("hr2+", "ball", 1)):
                options = {"relaxation": relaxation, "lifting": "tied", "tol": 1e-2, **DOMAINS[domain]}
                options |= {"output_norm": output_norm, "max_iterations": 60}
                yield f"{network}-{relaxation}-{domain}-tied-whole", "solve", network, options
