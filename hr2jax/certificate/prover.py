"""From multipliers to a proved bound: what `certify` and `verify` have in common."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np

from ..arithmetic.enclosure import Enclosure
from ..arithmetic.float64 import Array
from ..bounds import interval_constant, output_range, product_constant
from ..bounds.cases import SLOPES, TREE, cases_constant
from ..bounds.faces import RADII, faces_constant
from ..network import Network
from ..problem import Problem, checked_problem
from ..relaxation.basis import Lifting
from ..relaxation.layout import Layout
from ..relaxation.lifting import lift
from ..relaxation.neurons import masks
from ..relaxation.presolve import (
    LIFTINGS,
    OF_ONE,
    OF_VALUES,
    ON_SECTIONS,
    WITH_LAST,
    WITH_TIES,
    Presolve,
    pre_bounds,
    presolve,
)
from ..text import shown
from .bound import dual_bound
from .krivine import KRIVINE, krivine_bound
from .lagrangian import add_squares, lagrangian_matrix


class Prover:
    """`prove` for one network, problem and layout, many times: what no multiplier changes is derived once.

    Raises:
        ValueError: the problem is not one for this network, or a neuron outside the layout can switch.
    """

    def __init__(
        self,
        net: Network,
        problem: Problem,
        layout: Layout,
        arithmetic: type[Enclosure] = Enclosure,
        *,
        lifting: str = "forward",
        slopes: Mapping[tuple[int, int], Array] | None = None,
    ):
        self.problem = checked_problem(
            net, problem.coefficients, problem.norm, quantity=problem.quantity, output_norm=problem.output_norm,
            domain=problem.domain,
        )  # fmt: skip
        if problem.directions is not None:
            self.problem = self.problem.towards(problem.directions)
        if not isinstance(layout, Layout):
            raise ValueError(f"the layout must be a Layout, not {type(layout).__name__}")
        if (problem.quantity == "maximum") != (lifting == "values"):
            raise ValueError(f"lifting {lifting!r} does not bound the quantity {problem.quantity!r}")
        if lifting not in (OF_VALUES if problem.is_vector else OF_ONE):
            values = "several values" if problem.is_vector else "one value"
            raise ValueError(f"lifting {lifting!r} is not one of {values}")
        if (lifting in ON_SECTIONS) != (layout.section is not None):
            raise ValueError(f"lifting {lifting!r} and the layout's section do not go together")
        self.net, self.layout, self.arithmetic = net, layout, arithmetic
        with np.errstate(all="ignore"):
            self.fixed = presolve(
                net, self.problem, arithmetic, layout, slopes, LIFTINGS[lifting], with_last=lifting in WITH_LAST,
                tied=lifting in WITH_TIES,
            )  # fmt: skip

    @cached_property
    def lifted(self) -> Lifting:
        """The lifting, every coefficient enclosed."""
        return lift(self.net, self.problem, self.fixed, self.arithmetic)

    def _place_in_sum(self, item: tuple[str, Array]) -> str:
        """In which order families are added up: by name, the only layer's number left out ("X+" before "X+.X-")."""
        return item[0].removesuffix("/1") if self.net.depth == 1 else item[0]

    def bound(self, multipliers: Mapping[str, Array], diagonal: Array | None, relaxation: str = "") -> float:
        """The upper bound that the multipliers prove, or infinity; whatever their order, to the last bit.

        Raises:
            ValueError: the multipliers do not fit.
        """
        arithmetic, multipliers = self.arithmetic, dict(sorted(multipliers.items(), key=self._place_in_sum))
        with np.errstate(all="ignore"):
            if diagonal is None and not multipliers:
                return baseline(self.net, self.problem, self.fixed, relaxation, arithmetic)
            if TREE in multipliers:
                return self._cases(multipliers, diagonal)
            if KRIVINE in multipliers:
                return self._krivine(multipliers)
            lifted = self.lifted
            if diagonal is not None and np.shape(diagonal) != (lifted.size,):
                raise ValueError(f"the diagonal has shape {np.shape(diagonal)}, not ({lifted.size},)")
            if not all(np.isfinite(values).all() for values in multipliers.values()):
                return float("inf")
            M, rest = add_squares(lifted, multipliers, lagrangian_matrix(lifted, multipliers, arithmetic), arithmetic)
            return dual_bound(lifted, M, diagonal, arithmetic, rest)

    def _cases(self, entries: Mapping[str, Array], diagonal: Array | None) -> float:
        net, problem, fixed = self.net, self.problem, self.fixed
        wanted = {TREE, SLOPES} if problem.is_local else {TREE, SLOPES, RADII}
        if set(entries) != wanted or diagonal is not None:
            raise ValueError(f"cases are a proof of their own, here of the entries {', '.join(sorted(wanted))}")
        if fixed.chains:
            raise ValueError('cases have no variables: their lifting is "none"')
        tree, slopes = entries[TREE], entries[SLOPES]
        if not problem.is_local:
            return faces_constant(net, problem, fixed.directions, tree, slopes, entries[RADII], self.arithmetic)
        bounds = pre_bounds(net, problem, fixed.slopes, self.arithmetic)
        on, off = masks(net, fixed.layers)
        return cases_constant(net, problem, fixed.directions, on, off, bounds, tree, slopes, self.arithmetic)

    def _krivine(self, multipliers: Mapping[str, Array]) -> float:
        if not self.net.is_chain or self.problem.is_vector:
            raise ValueError("products of LipOpt are a proof for one output of a chain of ReLU layers")
        if len(multipliers) > 1 or self.problem.quantity != "lipschitz":
            raise ValueError("products of LipOpt are a proof of their own, of a Lipschitz constant")
        degree = np.shape(multipliers[KRIVINE])[-1] - 1
        return krivine_bound(self.net, self.problem, degree, multipliers, self.arithmetic, self.lifted)


def prove(
    net: Network,
    problem: Problem,
    layout: Layout,
    multipliers: Mapping[str, Array],
    diagonal: Array | None,
    arithmetic: type[Enclosure] = Enclosure,
    *,
    relaxation: str = "",
    lifting: str = "forward",
    slopes: Mapping[tuple[int, int], Array] | None = None,
) -> float:
    """The upper bound that the multipliers prove for this network and problem, or infinity.

    Without multipliers and diagonal, the bound that interval arithmetic or norm products prove; `relaxation`
    "interval" or "product" is one of them alone, no other name matters.

    Raises:
        ValueError: the problem is not one for this network, a neuron outside the layout can switch, or
            the multipliers do not fit.
    """
    prover = Prover(net, problem, layout, arithmetic, lifting=lifting, slopes=slopes)
    return prover.bound(multipliers, diagonal, relaxation)


def baseline(
    net: Network, problem: Problem, fixed: Presolve, relaxation: str = "",
    arithmetic: type[Enclosure] = Enclosure,
) -> float:  # fmt: skip
    """The bound that needs no solver: by interval arithmetic, by norm products ("interval", "product"), or the best."""
    if problem.quantity == "maximum":
        bounds, last = pre_bounds(net, problem, fixed.slopes, arithmetic), len(net.layers)
        slopes = {k: values for (l, k), values in (fixed.slopes or {}).items() if l == last} or None
        return output_range(net, problem, slopes, bounds, arithmetic)[1]
    net, problem = fixed.posed(net, problem)
    proved, net = [], fixed.relaxed(net)
    if relaxation != "product":
        on, off = masks(net, fixed.layers)
        proved.append(interval_constant(net, problem, fixed.directions, on, off, arithmetic))
    if relaxation != "interval":
        proved.append(product_constant(net, problem, fixed.directions, arithmetic))
    return min(proved)


def prover_of(net: Network, problem: Problem, fixed: Presolve) -> Prover:
    """A prover for the layout that a presolve has found."""
    return Prover(net, problem, fixed.layout(), lifting=lifting_of(problem, fixed), slopes=fixed.slopes)


def lifting_of(problem: Problem, fixed: Presolve) -> str:
    """The lifting's name, from the problem and the chains that its presolve has."""
    kind = fixed.section is not None, fixed.with_last, fixed.tied
    known = OF_VALUES if problem.is_vector else OF_ONE
    names = {LIFTINGS[x]: x for x in known if (x in ON_SECTIONS, x in WITH_LAST, x in WITH_TIES) == kind}
    return names[fixed.chains] if fixed.chains else "values" if problem.quantity == "maximum" else "none"


def arithmetic_of(name: str) -> type[Enclosure]:
    """The arithmetic that `verify` calls "float" or "ball"."""
    if name == "float":
        return Enclosure
    if name == "ball":
        from ..arithmetic.arb import Arb

        return Arb
    raise ValueError(f'arithmetic must be "float" or "ball", but {shown(name)} was given')
