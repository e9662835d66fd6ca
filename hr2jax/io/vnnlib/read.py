"""A VNN-LIB file as boxes of inputs, and in each of them cases of linear conditions; exact rational numbers."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

from ...machine.files import opened
from ..budget import Budget
from ..packed import GZIP, decompressed
from .formula import Case, Formula, Inequality, Junction, cases, comparisons, condition, multiplied
from .syntax import nested, shown
from .variables import Variables

_TOKEN = 60  # bytes of memory that a character can take: "()" is a list and its place in another
_COMPARISON = 600  # bytes that one takes, its numbers too
_END = 16  # bytes that one end of a box takes beside numbers that boxes share

Ends: TypeAlias = dict[int, tuple[Fraction, bool]]  # input -> (bound, whether it is strict)


@dataclass(frozen=True, eq=False)
class Region:
    """A box of inputs and what is asked for in it.

    Attributes:
        low, high: p_0 rational numbers each, low <= high: the box, closed (a strict bound belongs to it here).
        cases: one tuple of inequalities for each case, to be met all at once; the cases are joined by `or`. An empty
            tuple is a case that all of the box meets.
    """

    low: tuple[Fraction, ...]
    high: tuple[Fraction, ...]
    cases: tuple[Case, ...]


@dataclass(frozen=True, eq=False)
class VnnlibProperty:
    """The counterexamples that a VNN-LIB file asks for.

    Attributes:
        text: the file's.
        inputs, outputs: how many are declared.
        variables: their names.
        formula: what a counterexample (x, y), y = F(x), meets: all of the file.
        regions: the same as boxes and cases in them, strict bounds of inputs taken as others: where there is no
            counterexample in any region, there is none at all.
    """

    text: str
    inputs: int
    outputs: int
    variables: Variables
    formula: Formula
    regions: tuple[Region, ...]


def read_vnnlib(path: str | os.PathLike[str]) -> VnnlibProperty:
    """The property in the VNN-LIB file `path`, version 1.0 or, with one network, 2.0; also compressed by gzip.

    Every input needs constant bounds on both sides, everywhere or in each part of an `or`. Comparisons are of linear
    expressions in inputs and outputs.

    Raises:
        ValueError: not a whole VNN-LIB file of this form; one sentence that names the path.
        OSError: the file is missing or may not be read.
    """
    with opened(path) as file:
        try:
            budget = Budget()
            data = budget.contents(file)
            if data[:2] == GZIP:
                data = decompressed(data, budget, 1 + _TOKEN)
            budget.take(_TOKEN * len(data), "the text")
            return parsed(data.decode("utf-8"), budget)
        except ValueError as error:
            text = "it is not text" if isinstance(error, UnicodeDecodeError) else str(error)
            raise ValueError(f"{os.fspath(path)}: {text}") from None


def parsed(text: str, budget: Budget | None = None) -> VnnlibProperty:
    """The property that a VNN-LIB file with this text asks for.

    Raises:
        ValueError: as `read_vnnlib`, without a path.
    """
    budget = budget or Budget()
    variables, asserts = Variables(), []
    for command in nested(text):
        if variables.declare(command):
            continue
        match command:
            case ["assert", value]:
                asserts.append(value)
            case ["set-logic" | "set-info" | "check-sat" | "get-model" | "exit", *_]:
                pass
            case _:
                raise ValueError(f"{shown(command)} is not expected")
    inputs, outputs = variables.check()

    def place(word: str) -> int | None:
        found = variables.place(word)
        return None if found is None else found[1] + (inputs if found[0] == "Y" else 0)

    formulas = []
    for value in asserts:
        formulas.append(condition(value, place))
        budget.take(_COMPARISON * comparisons(formulas[-1]), "the conditions")
    whole = Junction(True, tuple(formulas))
    return VnnlibProperty(text, inputs, outputs, variables, whole, _regions(whole, inputs, variables, budget))


def _conjuncts(formula: Formula) -> Iterable[Formula]:
    """What has to hold in every case."""
    if isinstance(formula, Junction) and formula.every:
        for part in formula.parts:
            yield from _conjuncts(part)
    else:
        yield formula


def _regions(whole: Formula, inputs: int, variables: Variables, budget: Budget) -> tuple[Region, ...]:
    lower: Ends = {}
    upper: Ends = {}
    others: list[Formula] = []
    for part in _conjuncts(whole):
        if isinstance(part, Junction) or not _bound(part, inputs, lower, upper):
            others.append(part)
    for i in lower.keys() & upper.keys():
        if _is_empty(lower[i], upper[i]):
            name = variables.name("X", i)
            raise ValueError(f"the lower bound of {name} is above its upper bound, so that no input is asked about")
    found: dict[Any, tuple[Ends, Ends, list[Case]]] = {}
    for case in multiplied([cases(part) for part in others]):
        low, high = dict[int, tuple[Fraction, bool]](), dict[int, tuple[Fraction, bool]]()
        rest = tuple(part for part in case if not _bound(part, inputs, low, high, lower, upper))
        if any(_is_empty(low.get(i, lower.get(i)), high.get(i, upper.get(i))) for i in low.keys() | high.keys()):
            continue
        key = frozenset(low.items()), frozenset(high.items())
        found.setdefault(key, (low, high, []))[2].append(rest)
    for low, high, _ in found.values():
        for own, general, which in ((low, lower, "lower"), (high, upper, "upper")):
            if len(own.keys() | general.keys()) < inputs:
                i = next(i for i in range(inputs) if i not in own and i not in general)
                name = variables.name("X", i)
                raise ValueError(f"{name} has no {which} bound; properties are proved on bounded inputs")
    budget.take(_END * 2.0 * inputs * len(found), f"{len(found)} boxes of {inputs} inputs")
    return tuple(
        Region(_ends(inputs, low, lower), _ends(inputs, high, upper), tuple(of)) for low, high, of in found.values()
    )


def _bound(
    part: Inequality, inputs: int, low: Ends, high: Ends, lower: Ends | None = None, upper: Ends | None = None
) -> bool:
    """Whether it bounds one input, which is then put into `low` or `high` if it is tighter than what is known.

    `lower` and `upper`: what is known besides.
    """
    if len(part.terms) != 1:
        return False
    ((i, a),) = part.terms.items()
    if i >= inputs:
        return False
    value, mine, general, sign = part.rhs / a, high if a > 0 else low, upper if a > 0 else lower, 1 if a > 0 else -1
    known = mine.get(i) or (general or {}).get(i)
    if known is None or sign * value < sign * known[0] or (value == known[0] and part.strict):
        mine[i] = value, part.strict
    return True


def _is_empty(low: tuple[Fraction, bool] | None, high: tuple[Fraction, bool] | None) -> bool:
    if low is None or high is None:
        return False
    return low[0] > high[0] or (low[0] == high[0] and (low[1] or high[1]))


def _ends(inputs: int, own: Ends, general: Ends) -> tuple[Fraction, ...]:
    return tuple((own.get(i) or general[i])[0] for i in range(inputs))
