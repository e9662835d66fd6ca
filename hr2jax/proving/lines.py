"""Linear bounds of all cases of an area at once, with multipliers from the points that came close to them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..arithmetic.enclosure import TooLargeError
from ..arithmetic.float64 import Array
from ..machine.stopping import check
from ..machine.threads import few_threads
from ..proof.lines import Lines, least_of
from ..proof.point import known
from ..proof.question import Area, Question, is_empty, target
from .attack import Attack
from .multipliers import multipliers


def chosen(asked: Question, area: Area, case: int, attack: Attack | None) -> list[Array]:
    """Multipliers worth trying: each inequality alone, and those that known points leave best."""
    conditions = area.cases[case]
    r = len(conditions.rows)
    tries = [*np.eye(r)]
    if r > 1 and attack is not None:
        points = attack.points(case)
        tries.insert(0, multipliers(conditions.values(asked.wide(points)) if len(points) else np.zeros((0, r)))[0])
    return tries


def lines_stage(asked: Question, area: Area, attack: Attack | None, left: Sequence[int]) -> dict[int, Array]:
    """The cases, of those `left`, that linear bounds prove to be empty, with their multipliers."""
    if area.is_point and known(asked.net, asked.prop.formula, area.region.low) is False:
        return {c: np.zeros(len(area.cases[c].rows)) for c in left}
    width = asked.wide.widths[-1]
    pairs = [(c, own) for c in left for own in chosen(asked, area, c, attack)]
    if not pairs:
        return {}
    found: dict[int, Array] = {}
    try:
        with few_threads(max(asked.wide.widths)):
            lines = Lines(asked.wide, area.domain)
            check()
            targets = [target(area.cases[c], own.tolist(), width) for c, own in pairs]
            least = least_of(lines, targets).tolist()
        for (c, own), along, value in zip(pairs, targets, least, strict=True):
            if c in found:
                continue
            numbers = own.tolist()
            if is_empty(area.cases[c], numbers, along, value, None) or is_empty(
                area.cases[c], numbers, along, value, lines.reach
            ):
                found[c] = own
    except TooLargeError:
        return found
    return found
