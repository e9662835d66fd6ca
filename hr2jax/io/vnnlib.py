"""VNN-LIB property files of the simple form: one box of inputs, linear conditions on the outputs."""

from __future__ import annotations

import itertools
import math
import os
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from ..arithmetic.decimals import decimal, round_up
from ..arithmetic.float64 import Array
from ..machine.files import opened
from .budget import Budget

_TINY = Fraction(1, 10**399)
_MOST = 10_000  # conjunctions, after every `or` is multiplied out
_MOST_HALFSPACES = 2_000_000  # in all of them
_TOKEN = 60  # bytes of memory that a character can take: "()" is a list and its place in another
_HALFSPACE = 300  # bytes that one takes beside its coefficients
_VARIABLE = re.compile("([XY])_([0-9]{1,8})")


class Halfspace(NamedTuple):
    """{y : coefficients . y >= rhs}; coefficients (K,) in -1, 0, 1, and rhs rounded down (the set never shrinks)."""

    coefficients: Array
    rhs: float


Cases = list[tuple[Halfspace, ...]]


@dataclass(frozen=True, eq=False)
class VnnlibProperty:
    """The counterexamples that a VNN-LIB file asks for: an x of the box whose output is in one of the sets.

    Attributes:
        center, radius: (p_0,) float64; the file's box lies in |x - center| <= radius, entry by entry. It is
            rounded outwards, so a proof for this box is one for the file's.
        unsafe: one tuple of half-spaces for each case, to be met all at once; the cases are joined by `or`. Empty
            half-spaces: a case that every output meets.
        outputs: K, how many Y are declared.
    """

    center: Array
    radius: Array
    unsafe: tuple[tuple[Halfspace, ...], ...]
    outputs: int


def read_vnnlib(path: str | os.PathLike[str]) -> VnnlibProperty:
    """The property in the VNN-LIB file `path`.

    Every X_i needs constant bounds on both sides; an output condition compares two of Y_j and constants.

    Raises:
        ValueError: not a whole VNN-LIB file of this form; one sentence that names the path.
        OSError: the file is missing or may not be read.
    """
    with opened(path) as file:
        try:
            budget = Budget()
            data = budget.contents(file)
            budget.take(_TOKEN * len(data), "the text")
            return _property(_parsed(data.decode("utf-8")), budget)
        except ValueError as error:
            text = "it is not text" if isinstance(error, UnicodeDecodeError) else str(error)
            raise ValueError(f"{os.fspath(path)}: {text}") from None


def _parsed(text: str) -> list[Any]:
    """Nested lists of the parentheses."""
    stack: list[list[Any]] = [[]]
    for token in re.findall(r"[()]|[^\s()]+", re.sub(";[^\n]*", "", text)):
        if token == "(":
            stack.append([])
            if len(stack) > 50:
                raise ValueError("the parentheses are nested too deeply")
        elif token == ")":
            if len(stack) == 1:
                raise ValueError("a parenthesis is closed that was not opened")
            done = stack.pop()
            stack[-1].append(done)
        else:
            stack[-1].append(token)
    if len(stack) > 1:
        raise ValueError("the file is incomplete: a parenthesis is not closed")
    return stack[0]


def _property(commands: list[Any], budget: Budget) -> VnnlibProperty:
    declared: dict[str, set[int]] = {"X": set(), "Y": set()}
    lower: dict[int, Fraction] = {}
    upper: dict[int, Fraction] = {}
    asserts: list[Any] = []
    for command in commands:
        match command:
            case ["declare-const", str(name), "Real"] | ["declare-fun", str(name), [], "Real"]:
                kind, index = _variable(name)
                declared[kind].add(index)
            case ["assert", condition]:
                asserts.append(condition)
            case ["set-logic" | "check-sat" | "get-model" | "exit", *_]:
                pass
            case _:
                raise ValueError(f"{_shown(command)} is not expected")
    for kind, indices in declared.items():
        if not indices or max(indices) + 1 != len(indices):
            raise ValueError(f"the variables {kind}_0, {kind}_1, ... are not declared one after another")
    outputs = len(declared["Y"])
    budget.take((_HALFSPACE + 8.0 * outputs) * _comparisons(asserts), "the output conditions")
    parts, count = [], 1
    for condition in asserts:
        for part in condition[1:] if isinstance(condition, list) and condition[:1] == ["and"] else [condition]:
            if not _bound(part, declared, lower, upper):
                parts.append(_cases(part, declared, outputs))
                count *= len(parts[-1])
                _check_size(count, 0)
    cases = _multiplied(parts)
    center, radius = _box(lower, upper, len(declared["X"]))
    return VnnlibProperty(center, radius, tuple(cases), outputs)


def _variable(name: Any) -> tuple[str, int]:
    found = _VARIABLE.fullmatch(name) if isinstance(name, str) else None
    if found is None:
        raise ValueError(f"{_shown(name)} is no variable X_i or Y_i")
    return found[1], int(found[2])


def _sides(condition: Any, declared: dict[str, set[int]]) -> list[tuple[str, int] | Fraction]:
    """(smaller, larger) of a comparison: variables or exact numbers."""
    match condition:
        case ["<=" | ">=" as sign, a, b]:
            sides = [_side(side, declared) for side in (a, b)]
            return sides if sign == "<=" else sides[::-1]
    raise ValueError(f"{_shown(condition)} is not expected: <= or >= between variables and numbers is")


def _side(side: Any, declared: dict[str, set[int]]) -> tuple[str, int] | Fraction:
    if isinstance(side, str) and side[:1] in ("X", "Y"):
        kind, index = _variable(side)
        if index not in declared[kind]:
            raise ValueError(f"{side} is not declared")
        return kind, index
    if isinstance(side, list) and len(side) == 2 and side[0] == "-":
        return -decimal(str(side[1]), "a bound")
    return decimal(side if isinstance(side, str) else _shown(side), "a bound")


def _bound(
    condition: Any, declared: dict[str, set[int]], lower: dict[int, Fraction], upper: dict[int, Fraction]
) -> bool:
    """Whether the condition is a bound of an input, which is then put into `lower` or `upper`."""
    if not isinstance(condition, list) or condition[:1] in (["or"], ["and"]):
        return False
    match _sides(condition, declared):
        case [("X", int(i)), Fraction() as value]:
            value = Fraction(0) if -_TINY < value < 0 else value  # `decimal` moves these away from 0
            upper[i] = min(upper.get(i, value), value)
        case [Fraction() as value, ("X", int(i))]:
            value = Fraction(0) if 0 < value < _TINY else value
            lower[i] = max(lower.get(i, value), value)
        case _:
            return False
    return True


def _comparisons(condition: Any) -> int:
    """How many there are in nested lists, bounds of inputs aside."""
    if not isinstance(condition, list):
        return 0
    if condition[:1] in (["<="], [">="]):
        return int(not any(isinstance(side, str) and side[:1] == "X" for side in condition[1:]))
    return sum(map(_comparisons, condition))


def _cases(condition: Any, declared: dict[str, set[int]], outputs: int) -> Cases:
    """The condition as an `or` of `and`s of half-spaces."""
    if isinstance(condition, list) and condition[:1] == ["or"]:
        cases: Cases = []
        halfspaces = 0
        for part in condition[1:]:
            more = _cases(part, declared, outputs)
            halfspaces += sum(map(len, more))
            cases += more
            _check_size(len(cases), halfspaces)
        return cases
    if isinstance(condition, list) and condition[:1] == ["and"]:
        return _multiplied([_cases(part, declared, outputs) for part in condition[1:]])
    return [(_halfspace(condition, declared, outputs),)]


def _multiplied(parts: list[Cases]) -> Cases:
    """The cases of all of `parts` at once, each part an `or`; in the order of the parts, the last one fastest."""
    count = 1
    for part in parts:
        count *= len(part)
        _check_size(count, 0)
    _check_size(count, count * sum(max(map(len, part), default=0) for part in parts))
    return [tuple(itertools.chain.from_iterable(case)) for case in itertools.product(*parts)]


def _check_size(cases: int, halfspaces: int) -> None:
    if cases > _MOST or halfspaces > _MOST_HALFSPACES:
        raise ValueError(
            f"the output conditions have more than {_MOST} cases, or more than {_MOST_HALFSPACES} comparisons in them"
        )


def _halfspace(condition: Any, declared: dict[str, set[int]], outputs: int) -> Halfspace:
    """smaller <= larger  as  coefficients . y >= rhs."""
    coefficients, rhs = np.zeros(outputs), Fraction(0)
    for side, sign in zip(_sides(condition, declared), (-1, 1), strict=True):
        if isinstance(side, Fraction):
            rhs -= sign * side
        elif side[0] == "X":
            raise ValueError(f"{_shown(condition)} is not expected: only one box of inputs is read")
        else:
            coefficients[side[1]] += sign
    return Halfspace(coefficients, -round_up(-rhs))


def _box(lower: dict[int, Fraction], upper: dict[int, Fraction], inputs: int) -> tuple[Array, Array]:
    center, radius = np.empty(inputs), np.empty(inputs)
    for i in range(inputs):
        if i not in lower or i not in upper:
            raise ValueError(f"X_{i} has no {'upper' if i in lower else 'lower'} bound")
        low, high = lower[i], upper[i]
        if low > high:
            raise ValueError(f"the lower bound of X_{i} is above its upper bound")
        try:
            center[i] = float((low + high) / 2)
            radius[i] = round_up(max(high - Fraction(center[i]), Fraction(center[i]) - low))
        except OverflowError:
            raise ValueError(f"the bounds of X_{i} are larger than float64 can hold") from None
        if not math.isfinite(radius[i]):
            raise ValueError(f"the bounds of X_{i} are larger than float64 can hold")
    return center + 0.0, radius


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else f"({' '.join(map(_shown, value))})"
    return text if len(text) <= 60 else text[:57] + "..."
