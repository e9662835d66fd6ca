"""Linear conditions on inputs and outputs, joined by `and` and `or`, in exact rational numbers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple, TypeAlias

from ...arithmetic.decimals import rational
from .syntax import shown

MOST_CASES = 10_000  # conjunctions, after every `or` is multiplied out
MOST_COMPARISONS = 2_000_000  # in all of them
MOST_BITS = 40_000  # of a numerator or a denominator

Terms: TypeAlias = dict[int, Fraction]
CONSTANT = -1  # what a sum of terms has for its constant


class Inequality(NamedTuple):
    """sum_i terms[i] v_i <= rhs, or < where it is strict; v = (x, y), inputs before outputs."""

    terms: Mapping[int, Fraction]
    rhs: Fraction
    strict: bool


class Junction(NamedTuple):
    """All of the parts (`every`), or at least one of them."""

    every: bool
    parts: tuple[Formula, ...]


Formula: TypeAlias = Inequality | Junction


def truth(formula: Formula, low: Sequence[Fraction], high: Sequence[Fraction]) -> bool | None:
    """Whether the formula holds at all v between low and high, or (False) at none; None where neither is known."""
    if isinstance(formula, Junction):
        found = False
        for part in formula.parts:
            answer = truth(part, low, high)
            if answer is not formula.every and answer is not None:
                return answer
            found = found or answer is None
        return None if found else formula.every
    least = sum((a * (low if a > 0 else high)[i] for i, a in formula.terms.items()), Fraction(0))
    if least > formula.rhs or (formula.strict and least == formula.rhs):
        return False
    most = sum((a * (high if a > 0 else low)[i] for i, a in formula.terms.items()), Fraction(0))
    return True if most < formula.rhs or (most == formula.rhs and not formula.strict) else None


# --- reading ----------------------------------------------------------------------------------------------


def condition(value: Any, place: Callable[[str], int | None]) -> Formula:
    """The formula that nested lists say; `place` gives the place of a variable in v, None of what is none.

    Raises:
        ValueError: something else than linear comparisons, and, or.
    """
    match value:
        case ["and" | "or" as word, _, *_]:
            return Junction(word == "and", tuple(condition(part, place) for part in value[1:]))
        case ["<=" | "<" as sign, a, b] | [">=" | ">" as sign, b, a]:
            return _compared(a, b, "=" not in sign, place)
        case ["==" | "=" | "!=" as sign, a, b]:
            one, other = _sum(a, place), _sum(b, place)
            strict = sign == "!="
            return Junction(not strict, (_below(one, other, strict), _below(other, one, strict)))
    raise ValueError(
        f"{shown(value)} is not expected: comparisons by <=, <, >=, >, == and != are, and `and` and `or` of them"
    )


def _compared(a: Any, b: Any, strict: bool, place: Callable[[str], int | None]) -> Inequality:
    """a <= b, or < where it is strict; a bound of one variable, which most comparisons are, at once."""
    if isinstance(a, str) and isinstance(b, str):
        i, j = place(a), place(b)
        if i is not None and j is None:
            return Inequality({i: Fraction(1)}, rational(b, "a number"), strict)
        if j is not None and i is None:
            return Inequality({j: Fraction(-1)}, -rational(a, "a number"), strict)
    return _below(_sum(a, place), _sum(b, place), strict)


def _below(smaller: Terms, larger: Terms, strict: bool) -> Inequality:
    terms = _added([smaller, _times(larger, Fraction(-1))])
    rhs = -terms.pop(CONSTANT, Fraction(0))
    return Inequality({i: a for i, a in terms.items() if a}, rhs, strict)


def _sum(value: Any, place: Callable[[str], int | None]) -> Terms:
    """A linear expression as terms."""
    if isinstance(value, str):
        found = place(value)
        return {CONSTANT: rational(value, "a number")} if found is None else {found: Fraction(1)}
    match value:
        case ["+", _, *_]:
            return _added([_sum(part, place) for part in value[1:]])
        case ["-", one]:
            return _times(_sum(one, place), Fraction(-1))
        case ["-", first, *rest] if rest:
            taken = [_times(_sum(part, place), Fraction(-1)) for part in rest]
            return _added([_sum(first, place), *taken])
        case ["*", _, *_]:
            return _product(value, [_sum(part, place) for part in value[1:]])
        case ["/", a, b]:
            divisor = _sum(b, place)
            if not divisor.keys() <= {CONSTANT} or not any(divisor.values()):
                raise ValueError(f"{shown(value)} is no linear expression: it divides by no number, or by 0")
            return _times(_sum(a, place), 1 / divisor[CONSTANT])
    raise ValueError(f"{shown(value)} is not expected: sums of variables times numbers are")


def _product(value: Any, factors: list[Terms]) -> Terms:
    number, found = Fraction(1), None
    for factor in factors:
        if factor.keys() <= {CONSTANT}:
            number = _small(number * factor.get(CONSTANT, Fraction(0)))
        elif found is None:
            found = factor
        else:
            raise ValueError(f"{shown(value)} is a product of variables; linear expressions are read")
    return _times({CONSTANT: Fraction(1)} if found is None else found, number)


def _added(parts: Sequence[Terms]) -> Terms:
    out: Terms = {}
    for part in parts:
        for i, a in part.items():
            out[i] = _small(out[i] + a) if i in out else a
    return out


def _times(terms: Terms, number: Fraction) -> Terms:
    return {i: _small(a * number) for i, a in terms.items()}


def _small(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MOST_BITS:
        raise ValueError(f"an exact number has more than {MOST_BITS} bits")
    return value


# --- cases ------------------------------------------------------------------------------------------------

Case: TypeAlias = tuple[Inequality, ...]


def comparisons(formula: Formula) -> int:
    """How many there are."""
    if isinstance(formula, Inequality):
        return 1
    return sum(map(comparisons, formula.parts))


def cases(formula: Formula) -> list[Case]:
    """The formula as an `or` of `and`s of inequalities, without those that are always true, or never.

    Raises:
        ValueError: there are too many.
    """
    if isinstance(formula, Inequality):
        if formula.terms:
            return [(formula,)]
        return [()] if formula.rhs > 0 or (formula.rhs == 0 and not formula.strict) else []
    if formula.every:
        return multiplied([cases(part) for part in formula.parts])
    found: list[Case] = []
    total = 0
    for part in formula.parts:
        more = cases(part)
        total += sum(map(len, more))
        found += more
        _check_size(len(found), total)
    return found


def multiplied(parts: Sequence[list[Case]]) -> list[Case]:
    """The cases of all of `parts` at once, each part an `or`; in the order of the parts, the last one fastest."""
    count = 1
    for part in parts:
        count *= len(part)
        _check_size(count, 0)
    if not count:
        return []
    _check_size(count, count * sum(max(map(len, part)) for part in parts))
    return [tuple(itertools.chain.from_iterable(case)) for case in itertools.product(*parts)]


def _check_size(count: int, inequalities: int) -> None:
    if count > MOST_CASES or inequalities > MOST_COMPARISONS:
        raise ValueError(
            f"the conditions have more than {MOST_CASES} cases, or more than {MOST_COMPARISONS} comparisons in them"
        )
