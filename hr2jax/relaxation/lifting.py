"""The lifted basis y and the objective as a quadratic form of it (docs/theory/depth.md)."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from .. import graph
from ..arithmetic.enclosure import Enclosure, enclosed_in
from ..arithmetic.float64 import Array
from ..arithmetic.norms import DUAL, Norm, is_euclidean
from ..graph import between, is_masked
from ..layer import Layer
from ..network import Network
from ..problem import Problem
from .basis import BEFORE_MASK, ONE, XI, Group, Lifting, LinearMap, S, T
from .curves import DERIVED, Curves, curves_of
from .layout import OF_OUTPUTS
from .neurons import Neurons, of_value
from .objective import Objective, Objectives
from .orders import ordered_masks
from .pieces import (
    TOP,
    Below,
    Piece,
    add,
    behind_mask,
    constant_values,
    exponent_of,
    exponents_of,
    input_exponents,
    piece_of,
    sloped,
)
from .plane import on_plane, without_pivot
from .presolve import LIFTINGS, Presolve
from .tensored import Tensored, in_unit, one_unit, tensored
from .ties import Sloped, Ties, sloped_of, ties_of


@dataclass(frozen=True)
class _Chain:
    """A chain's derived groups, and what the output (or x) takes: matrices, with the vectors in pieces."""

    derived: dict[Group, LinearMap]
    end: Below


def lift(net: Network, problem: Problem, fixed: Presolve, arithmetic: type[Enclosure] = Enclosure) -> Lifting:
    """The lifting of a network, every coefficient enclosed in `arithmetic`.

    Raises:
        ValueError: one without chains, of a Lipschitz constant: nothing is lifted.
    """
    if problem.quantity == "lipschitz" and not fixed.chains:
        raise ValueError("the lifting 'none' has no variables: bounds by intervals and norm products alone have it")
    orders = {} if fixed.chains == ("q",) else ordered_masks(fixed.relaxed(net), fixed)
    net, problem = fixed.posed(net, problem)
    builder = _Builder(fixed.relaxed(net), problem, fixed, arithmetic, orders)
    return builder.tensored() if is_tensored(problem, fixed) else builder.lifting()


def is_tensored(problem: Problem, fixed: Presolve) -> bool:
    """Whether a presolved problem is one of a tensored lifting: of several outputs, with tangents or with ties."""
    return problem.is_vector and (fixed.chains == LIFTINGS["tensored"] or fixed.tied)


@dataclass(frozen=True)
class _Builder(Objectives):
    """A lifting in the making."""

    orders: Mapping[tuple[str, int], Array]

    def lifting(self) -> Lifting:
        """The lifting: its groups, and the chains' and the objective's coefficients."""
        sizes, chains, structure, layers = self._sizes(), self.fixed.chains, self.fixed.structure, self.fixed.layers
        derived: dict[Group, LinearMap] = {}
        curves: dict[int, Curves] = {}
        ties: dict[int, Ties] = {}
        if self.problem.quantity == "maximum":
            curves = {l: curves_of(self.net.layers[l - 1], layers[l - 1]) for l in self.fixed.ranges}
            values = self._values(structure.masked, curves)
            derived, objective = values.derived, self._of_output(values.end, shifted=True)
        elif chains == ("q",):
            tangents, _ = self._tangents("q")
            derived = tangents.derived
            is_vector = self.problem.is_vector
            objective = self._of_outputs(tangents.end) if is_vector else self._of_output(tangents.end, shifted=False)
        else:
            if XI in sizes:
                if self.fixed.tied:
                    curves = {l: curves_of(self.net.layers[l - 1], layers[l - 1]) for l in self.fixed.of_curves}
                    ties = {l: ties_of(self.net.layers[l - 1], layers[l - 1]) for l in self.fixed.ranges}
                derived |= self._values((*self.fixed.of_values, *curves), curves, ties).derived
                for l, tie in ties.items():
                    z, scale = derived[Group("z", l)], layers[l - 1].exponent
                    derived[Group("d", l)] = tie.rows(l, z, scale, self.arithmetic)
            if "a" in chains or OF_OUTPUTS in chains:
                adjoints = self._adjoints("a" if "a" in chains else OF_OUTPUTS, derived, ties)
                derived |= adjoints.derived
            if "p" in chains:
                tangents, before = self._tangents("p")
                derived |= tangents.derived
            objective = self._of_tangents(before) if "p" in chains else self._of_adjoints(adjoints.end)
        if self.fixed.section is not None:
            derived = on_plane(self.net, self.fixed, self.problem, derived, self.arithmetic)
        norms = _norms(self.problem, sizes)
        # a ball of norm 1 is in the Euclidean one
        balls = tuple(group for group, norm in norms.items() if is_euclidean(norm))
        exponent = objective.exponent
        return Lifting(
            sizes, derived, objective.blocks, exponent, self.fixed, balls, norms, self.orders, curves, ties
        )  # fmt: skip

    def tensored(self) -> Tensored:
        """The tensored lifting of several outputs."""
        each = [replace(self, problem=self.problem.along(row)) for row in self.problem.coefficients]
        if self.fixed.tied:
            values = len(each)
            for k, row in enumerate(each):
                own = replace(self.fixed, layers=tuple(of_value(x, k, values) for x in self.fixed.layers))
                each[k] = replace(row, fixed=own)
            liftings = [row.lifting() for row in each]
            objectives = [Objective(lifting.objective, lifting.exponent) for lifting in liftings]
        else:
            _, before = self._tangents("p")
            objectives, liftings = [row._of_tangents(before) for row in each], [each[0].lifting()]
        unit = one_unit(objectives)
        objectives = [in_unit(objective, unit) for objective in objectives]
        return tensored(liftings, objectives, self.problem.output_norm, self.fixed)

    def _sizes(self) -> dict[Group, int]:
        """The basis groups, in order."""
        structure, q = self.fixed.structure, len(self.fixed.free)
        directions = {T: len(self.fixed.directions)} if self.problem.has_t else {}

        def of(kind: str, numbers: tuple[int, ...] = structure.masked) -> dict[Group, int]:
            return {Group(kind, l): len(self.fixed.layers[l - 1].unstable) for l in numbers}

        if self.problem.quantity == "maximum":
            kinked = tuple(l for l in structure.masked if l not in self.fixed.ranges)
            return {ONE: 1} | of("v", kinked) | {XI: q} | of("x", kinked) | of("e", tuple(sorted(self.fixed.ranges)))
        outputs = {S: len(self.problem.coefficients)} if self.problem.is_vector else {}
        if self.fixed.chains == ("q",):
            return {ONE: 1} | directions | outputs | of("q")
        is_tied = self.fixed.tied and self.fixed.has_values(self.problem)  # without, no neuron has a variable
        smooth = tuple(sorted(self.fixed.ranges)) if is_tied else ()
        signs = tuple(l for l in structure.masked if l not in smooth)
        sizes = {ONE: 1} | of("v", signs) | of("k", smooth) | directions | outputs
        for chain in self.fixed.chains:
            sizes |= of(chain, self.fixed.carried(chain))
        if not self.fixed.has_values(self.problem):
            return sizes
        sizes |= {XI: q} | of("x", self.fixed.of_values) | of("e", self.fixed.of_curves)
        return sizes if self.fixed.section is None else without_pivot(self.fixed, sizes)

    # --- chains ---

    def _tangents(self, chain: str) -> tuple[_Chain, dict[int, Below]]:
        """Tangents: the groups before the masks, w of p or y of q; and what every layer takes, where that is known."""
        fixed, derived = self.fixed, {}
        takes: dict[int, Below] = {}
        inputs = fixed.directions
        direction = [Piece(inputs, np.zeros(len(inputs), dtype=np.int64), T if self.problem.has_t else ONE)]

        def step(l: int, layer: Layer, below: list[tuple[Any, list[Piece] | None]]) -> list[Piece] | None:
            known = [(A, pieces) for A, pieces in below if pieces is not None]
            takes[l] = known
            if len(known) < len(below) or (is_masked(layer) and l not in fixed.carried(chain)):
                return None  # no variables stand for it
            if l == len(self.net.layers):
                return []
            neurons = fixed.layers[l - 1]
            masked = []
            if is_masked(layer):
                exponent = neurons.reach_exponent[chain]
                before = derived[Group(BEFORE_MASK[chain], l)] = self._through(known, neurons.unstable, exponent)
                masked = [piece_of(layer, neurons.unstable, exponent, Group(chain, l), before)]
            return [*masked, *self._always(layer, neurons, known)]

        graph.forward(self.net.enclosed, direction, step)
        return _Chain(derived, takes[len(self.net.layers)]), takes

    def _adjoints(self, chain: str, values: Mapping[Group, LinearMap], ties: Mapping[int, Ties]) -> _Chain:
        """Adjoints, from the last layers to the first: the groups before the mask; its end is what x feeds."""
        fixed, derived = self.fixed, {}
        inner = fixed.carried(chain)
        top = self._outputs() if self.problem.is_vector else TOP

        def step(l: int, layer: Layer, above: Below) -> list[Piece]:
            neurons, back = fixed.layers[l - 1], [(A.T, pieces) for A, pieces in above]
            if l in inner:
                exponent = neurons.reach_exponent[chain]
                before = derived[Group(BEFORE_MASK[chain], l)] = self._through(back, neurons.unstable, exponent)
                if self.fixed.tied:
                    middle = neurons.middle[chain]
                    add(before, {ONE: self.arithmetic(-middle).scaled(-exponent).reshape(-1, 1)})
                    own = self._sloped(l, layer, values, ties)
                    masked = own.piece(neurons.unstable, exponent, middle, Group(chain, l), before)
                else:
                    masked = piece_of(layer, neurons.unstable, exponent, Group(chain, l), before)
                return [masked, *self._always(layer, neurons, back)]
            if not is_masked(layer):
                return self._always(layer, neurons, back)
            # what comes from the output by identities alone is constant, and behind the mask linear in v
            n, m = len(neurons.unstable), len(neurons.unstable) + len(neurons.active)
            rows = np.concatenate([neurons.unstable, neurons.active, neurons.inactive]).astype(np.int64)
            c, exponent = self._of_top(back, rows)
            on, off = sloped(c[n:m], layer, neurons.active, 1), sloped(c[m:], layer, neurons.inactive, 0)
            if self.fixed.tied:
                own = self._sloped(l, layer, values, ties)
                behind = Piece(neurons.unstable, exponent[:n] + own.scale, own.times(c[:n]))
            else:
                behind = Piece(neurons.unstable, exponent[:n], behind_mask(layer, neurons.unstable, l, c[:n]))
            return [
                behind,
                Piece(neurons.active, exponent[n:m], {ONE: on.reshape(-1, 1)}),
                Piece(neurons.inactive, exponent[m:], {ONE: off.reshape(-1, 1)}),
            ]

        end = graph.backward(self.net.enclosed, top, step)
        return _Chain(derived, [(A.T, pieces) for A, pieces in end])

    def _sloped(
        self, l: int, layer: Layer, values: Mapping[Group, LinearMap], ties: Mapping[int, Ties]
    ) -> Sloped:
        """The slopes of a layer's neurons that have a variable, in the lifting "tied"."""
        rows, d = self.fixed.layers[l - 1].unstable, values.get(Group("d", l), {})
        return sloped_of(layer, l, rows, ties.get(l), d, self.arithmetic)

    def _outputs(self) -> list[Piece]:
        """M^T s, what the adjoints of several outputs begin with."""
        M, every = self.problem.coefficients, np.arange(self.problem.coefficients.shape[1])
        exponent = np.frexp(np.abs(M).max(axis=0, initial=0.0))[1].astype(np.int64)
        return [Piece(every, exponent, {S: self.arithmetic(M.T).scaled(-exponent.reshape(-1, 1))})]

    def _values(
        self, masked: tuple[int, ...], curves: Mapping[int, Curves] = MappingProxyType({}), known: Container[int] = ()
    ) -> _Chain:
        """Values: the groups z of the masked layers, of smooth ones those in `curves` and `known`.

        x stands behind the masks of those in `masked`, e in `curves`.
        """
        fixed, derived = self.fixed, {}
        takes: Below = []

        def step(l: int, layer: Layer, below: list[tuple[Any, list[Piece] | None]]) -> list[Piece] | None:
            nonlocal takes
            if any(pieces is None for _, pieces in below) or not (layer.is_kinked or l in curves or l in known):
                return None  # no variables stand for it
            takes = [(A, pieces) for A, pieces in below if pieces is not None]
            if l == len(self.net.layers):
                return []
            neurons = fixed.layers[l - 1]
            out = []
            if is_masked(layer):
                before = self._preactivations(l, takes, neurons.unstable, neurons.exponent)[1]
                derived[Group("z", l)] = before
                if l not in masked:
                    return None
                if l in curves:
                    own = {kind: curves[l].rows(kind, l, before, neurons.exponent, self.arithmetic) for kind in DERIVED}
                    derived.update({Group(kind, l): rows for kind, rows in own.items()})
                    out = [Piece(neurons.unstable, curves[l].exponent["f"], own["f"])]
                    return [*out, *self._constant(l, layer, takes)]
                out.append(piece_of(layer, neurons.unstable, neurons.exponent, Group("x", l), before))
            for rows, slope in ((neurons.active, 1), (neurons.inactive, 0)):
                if slope or len(rows):
                    exponent, z = self._preactivations(l, takes, rows)
                    behind = {g: sloped(m, layer, rows, slope) for g, m in z.items()}
                    out.append(Piece(rows, exponent, behind))
            return [*out, *self._constant(l, layer, takes)]

        alone = all([*layer.inputs] == [0] for layer in self.net.layers[:-1] if 0 in layer.inputs)
        x = [] if alone and 0 not in self.net.layers[-1].inputs else self._input_pieces()
        graph.forward(self.net.enclosed, x, step)
        return _Chain(derived, takes)

    def _constant(self, l: int, layer: Layer, below: Below) -> list[Piece]:
        """The values behind a layer that do not move."""
        rows = self.fixed.layers[l - 1].constant
        exponent, z = self._preactivations(l, below, rows)
        if layer.is_kinked:
            return [Piece(rows, exponent, {ONE: constant_values(layer, rows, z[ONE])})]
        whole = z[ONE].scaled(exponent.reshape(-1, 1)).reshape(-1)
        value = between(self.arithmetic, *layer.values_between(whole.lower(), whole.upper()))
        exponent = exponents_of(value)
        return [Piece(rows, exponent, {ONE: value.scaled(-exponent).reshape(-1, 1)})]

    def _input_pieces(self) -> list[Piece]:
        """x = center + scale * xi."""
        domain, free = self.problem.domain, self.fixed.free
        e_center, e_radius = exponent_of(domain.center), exponent_of(domain.radius)
        every, q = np.arange(len(domain.center)), len(free)
        middle = domain.middle(self.arithmetic).scaled(-e_center).reshape(-1, 1)
        scale = self.arithmetic(np.zeros((q, q)))
        scale[np.arange(q), np.arange(q)] = domain.scale(self.arithmetic)[free].scaled(-e_radius)
        return [
            Piece(every, np.full(len(every), e_center), {ONE: middle}), Piece(free, np.full(q, e_radius), {XI: scale})
        ]  # fmt: skip

    def _always(self, layer: Layer, neurons: Neurons, below: Below) -> list[Piece]:
        """Those entries behind a mask whose neurons are always on or off: rows of A times the pieces before it."""
        out = []
        for rows, slope in ((neurons.active, 1), (neurons.inactive, 0)):
            if slope or len(rows):
                own = self._row_exponents(below, rows)
                through = self._through(below, rows, own)
                out.append(Piece(rows, own, {g: sloped(m, layer, rows, slope) for g, m in through.items()}))
        return out

    def _preactivations(
        self, l: int, below: Below, index: Array, exponent: Array | None = None
    ) -> tuple[Array, LinearMap]:
        """The exponent (None: of the rows' own size) and rows `index` of z_l over its power of two."""
        layer = self.net.enclosed[l - 1]
        b = layer.bias[index]
        if [*layer.inputs] == [0]:
            A = layer.inputs[0][index]
            own = input_exponents(A, b, self.problem) if exponent is None else exponent
            return own, self._of_input(A, b, own)
        own = np.maximum(self._row_exponents(below, index), exponents_of(b)) if exponent is None else exponent
        out = self._through(below, index, own)
        shift = enclosed_in(self.arithmetic, b).scaled(-own).reshape(-1, 1)
        out[ONE] = out[ONE] + shift if ONE in out else shift
        return own, out

    def _of_input(self, A: Any, b: Any, exponent: Array) -> LinearMap:
        """Rows (A x + b) / 2**exponent over one and xi; scaled before multiplying, so that no product underflows."""
        domain, arithmetic, free = self.problem.domain, self.arithmetic, self.fixed.free
        e_center, e_radius = exponent_of(domain.center), exponent_of(domain.radius)
        every = enclosed_in(arithmetic, A).scaled((e_center - exponent).reshape(-1, 1))
        shift = enclosed_in(arithmetic, b).scaled(-exponent)
        one = (every @ domain.middle(arithmetic).scaled(-e_center) + shift).reshape(-1, 1)
        moving = enclosed_in(arithmetic, A[:, free]).scaled((e_radius - exponent).reshape(-1, 1))
        return {ONE: one, XI: moving * domain.scale(arithmetic)[free].scaled(-e_radius)}


def _norms(problem: Problem, sizes: Mapping[Group, int]) -> dict[Group, Norm]:
    """Which norm bounds t, s (that dual to the output's) and xi (the domain's shape)."""
    norms = {T: problem.t_norm, S: DUAL[problem.output_norm], XI: problem.domain.shape}
    return {group: norm for group, norm in norms.items() if group in sizes}


