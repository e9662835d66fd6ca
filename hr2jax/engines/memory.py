"""What a solve will need in memory, told from its sizes before anything large is allocated, and what there is.

The estimates are of the whole process's peak (`timings["peak_bytes"]`), within a factor of two of what was
measured and never more than 1.3 times too low; `TABLE` holds the constants, tests/engines/test_memory.py the
measurements.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ..machine.device import device_bytes
from ..machine.memory import available_bytes
from ..network import Network
from ..options import INTERIOR_POINT, Options
from ..problem import checked_problem
from ..relaxation.basis import Lifting
from ..relaxation.families import preset
from ..relaxation.lasserre import lasserre_size
from ..relaxation.lifting import lift
from ..relaxation.presolve import presolve
from ..relaxation.table import RELAXATIONS
from .block.form import MAX_DENSE_BYTES
from .choose import engine_of
from .sizes import TABLE, Need, Sizes, newton_bytes

ANY_DEVICE = 64e6  # bytes that every accelerator has to spare
MAX_PATTERN = 4_000_000  # entries of M_1's pattern up to which Clarabel's chordal decomposition is foreseen


def method_of(relaxation: str, method: str, sizes: Sizes) -> str:
    """The engine that a method stands for (`choose.engine_of`), told from the sizes."""
    record = RELAXATIONS[relaxation].hardest

    def is_few() -> bool:
        from .product.newton import FEW, FEW_WITH_CUTS

        few, rows = FEW_WITH_CUTS if record.cuts else FEW, newton_rows(sizes)
        return sizes.N + rows <= few and newton_bytes(sizes.N, rows, sizes.N + sizes.derived) <= 0.7 * available_bytes()

    return engine_of(record, method, sizes.depth, is_few)


def newton_rows(sizes: Sizes) -> float:
    """Multipliers row by row, about: there are some 10 products for each masked variable."""
    return 10.0 * sizes.masked + 4.0 * sizes.pairs + 9.0 * (sizes.n + sizes.local * sizes.q)


def estimate(relaxation: str, method: str, sizes: Sizes) -> Need:
    """What `solve` will need at its peak."""
    method = method_of(relaxation, method, sizes)
    relaxation = RELAXATIONS[relaxation].hardest.name  # the largest of those it climbs
    host = TABLE["process"] + 8.0 * TABLE["certificate"] * _arrow_entries(relaxation, sizes)
    if method == "newton":
        return Need(host + newton_need(sizes, cuts=relaxation == "hr2+"), 0.0)
    if method == "lowrank":
        return Need(host, _lowrank(relaxation, sizes))
    if relaxation == "lasserre2":
        entries, moments = lasserre_size(sizes.n, sizes.q, sizes.local)
        return Need(host + _lasserre(method, entries, moments), 0.0)
    if method == "admm":
        return Need(host + 8.0 * TABLE["woodbury"] * _block(relaxation, sizes).shared ** 2, _admm(relaxation, sizes))
    return Need(host + _interior_point(relaxation, method, sizes), 0.0)


def newton_need(sizes: Sizes, cuts: bool = False) -> float:
    """Bytes of engine `newton`, which also ends what `lowrank` begins at several layers."""
    rows = newton_rows(sizes)
    if cuts:
        from .product.newton import MOST_CUTS

        rows += MOST_CUTS
    extended = float(sizes.N) + sizes.derived
    return newton_bytes(sizes.N, rows, extended)


def _arrow_entries(relaxation: str, sizes: Sizes) -> float:
    """Entries of the Lagrangian matrix that are kept: what is eliminated is a diagonal (`QuadraticForm.eliminable`)."""
    n, q = sizes.n, sizes.q
    if sizes.derived:
        return float(sizes.N) * (sizes.N + 2.0 * sizes.derived)
    choices = {"shor": (n, 2 * q if sizes.local else q), "hr2": (n, 2 * q if sizes.local else q), "hr2z": (n,)}
    eliminated = float(max(choices.get(relaxation, (0,))))
    kept = sizes.N - eliminated
    return kept * (eliminated + kept)


def _lowrank(relaxation: str, sizes: Sizes) -> float:
    from .product.arrays import padded
    from .product.schedule import columns_for

    size = 1.0 + padded(sizes.n) + (2 if sizes.local else 1) * padded(sizes.q) + padded(sizes.masked)
    rank = columns_for(sizes.N, cuts=relaxation == "hr2+")
    bytes_ = 8.0 * TABLE["lowrank"] * size * (rank + 1) + 4 * 8.0 * sizes.n * sizes.q
    bytes_ += 8.0 * sizes.derived * (6.0 * size + 20.0 * (rank + 1))  # their coefficients; rows of their families
    if relaxation == "hr2+":
        bytes_ += 8.0 * TABLE["gram"] * (size + sizes.derived) ** 2
    for family in preset(relaxation if RELAXATIONS[relaxation].one_layer else "hr2", _smallest(sizes.local)):
        rows, columns = (
            form.rows * max((_count(t.group, sizes) for t in form.terms if t.group != "one"), default=1)
            for form in (family.F, family.G)
        )
        if family.pairs == "all":
            bytes_ += 8.0 * TABLE["all pairs"] * rows * columns
        else:  # two forms, their gradients and what is gathered for them
            bytes_ += 8.0 * 2.0 * max(rows, columns) * (rank + 1)
    return bytes_


def _admm(relaxation: str, sizes: Sizes) -> float:
    block, N = _block(relaxation, sizes), float(sizes.N)
    return 8.0 * (TABLE["admm"] * N**2 + TABLE["gathered"] * block.shared * N + block.maps)


class _Block(NamedTuple):
    """Sizes of a block form: shared functionals, entries of the cliques' maps, and those of its conic dual."""

    shared: float
    maps: float
    variables: float
    squares: float
    entries: float
    triangles: float


def _block(relaxation: str, sizes: Sizes) -> _Block:
    total = np.zeros(6)
    for group, shared, parts in _cliques(relaxation, sizes.local):
        # an entry of the extended moment matrix is one number, or 1 + q where a side of it is z
        spread = sum(math.prod(1.0 + sizes.q if is_z else 1.0 for is_z in sides) for sides in shared)
        row = np.array([len(shared), *parts])
        row[4] += spread
        total += row * _count(group, sizes)
    total[2] += 1 + sizes.n
    total[3] += float(sizes.N) ** 2
    return _Block(*total.tolist())


@lru_cache
def _cliques(relaxation: str, local: bool) -> list[tuple[str, list[tuple[bool, bool]], tuple[float, ...]]]:
    """Per batch of the smallest problem: whose count it has, what shared moments are of z, `_Block`'s other numbers."""
    from .block.conic_dual import DualBatch
    from .block.form import block_form

    lifting = _smallest(local)
    groups = [*lifting.sizes, "z"]
    out: list[tuple[str, list[tuple[bool, bool]], tuple[float, ...]]] = []
    for batch in block_form(relaxation, lifting).batches:
        dual, sides = DualBatch.of(batch), [float(block.index.shape[0]) for block in batch.blocks]
        of = {groups[k] for k in batch.shared.ravel().tolist()}
        group = "pair" if {"v", "t"} <= of and "xi" not in of else "v" if "v" in of else "t"
        D, M = sum(d**2 for d in sides), len(batch.monomials)
        maps = D * (3.0 * M + 10.0)
        triangles = sum((d * (d + 1) / 2) ** 2 for d in sides)
        shared = [(groups[a] == "z", groups[b] == "z") for a, b in batch.shared[0].tolist()]
        out.append((group, shared, (maps, float(dual.count), D, float(np.count_nonzero(dual.variables)), triangles)))
    return out


@lru_cache
def _smallest(local: bool) -> Lifting:
    """One input, one neuron: it has one row of each kind."""
    net = Network([[[1.0]], [[1.0]]], [[0.1], [0.0]])
    problem = checked_problem(net, center=[0.0], radius=1.0) if local else checked_problem(net)
    return lift(net, problem, presolve(net, problem))


def _count(group: str, sizes: Sizes) -> int:
    return sizes.pairs if group == "pair" else sizes.n if group in ("v", "z") else sizes.q


def _interior_point(relaxation: str, solver: str, sizes: Sizes) -> float:
    """As `conic_dual.memory_needed`, without the form."""
    from .block.conic_dual import front_sides

    block = _block(relaxation, sizes)
    built = 8.0 * TABLE["sparse"] * block.entries
    if solver == "clarabel":
        fronts = [sizes.N]
        if sizes.N * max(sizes.n, sizes.q if relaxation == "hr2z" and sizes.local else 0) <= MAX_PATTERN:
            fronts = front_sides(_pattern(relaxation, sizes))
        largest = max(fronts) * (max(fronts) + 1) / 2.0
        cones = block.triangles + sum((side * (side + 1) / 2.0) ** 2 for side in fronts)
        beside = TABLE["clarabel beside"] * largest * block.variables + 2.0 * block.variables**2
        return built + 8.0 * (TABLE["clarabel"] * cones + beside)
    if solver == "cvxopt":
        return built + 8.0 * block.variables * block.squares + 16.0 * block.variables**2
    return 3.0 * built + 16.0 * block.variables**2


def _pattern(relaxation: str, sizes: Sizes) -> Any:
    """Which entries of M_1 the objective and the cliques touch, sparse."""
    import scipy.sparse as sp

    n, q, hr2z = sizes.n, sizes.q, relaxation == "hr2z"

    def dense(rows: int, columns: int, there: bool = True) -> Any:
        return np.ones((rows, columns), dtype=bool) if there else sp.csr_matrix((rows, columns), dtype=bool)

    def diagonal(size: int, there: bool = True) -> Any:
        return sp.eye(size, dtype=bool) if there else sp.csr_matrix((size, size), dtype=bool)

    one_v = dense(1, n, sizes.local or relaxation == "hr2")
    rows = [
        [dense(1, 1), one_v, dense(1, q)],
        [one_v.T, diagonal(n), dense(n, q)],
        [dense(q, 1), dense(q, n), diagonal(q)],
    ]
    if sizes.local:
        one_x, t_x = dense(1, q, relaxation != "shor"), diagonal(q, hr2z)
        for row, entry in zip(rows, (one_x, dense(n, q), t_x), strict=True):
            row.append(entry)
        rows.append([one_x.T, dense(q, n), t_x, dense(q, q) if hr2z else diagonal(q)])
    return sp.csr_matrix(sp.bmat(rows))


def _lasserre(method: str, entries: int, moments: int) -> float:
    return 8.0 * TABLE["lasserre2 admm" if method == "admm" else "lasserre2"] * entries * moments


# --- refusal --------------------------------------------------------------------------------------------


def check_memory(options: Options, sizes: Sizes) -> float:
    """The estimate in bytes, host and engine together.

    Raises:
        ValueError: more than is available; the sentence says what would fit.
    """
    need = estimate(options.relaxation, options.method, sizes)
    # asking JAX for its devices starts it, which somebody without time need not wait for
    host, device = available_bytes(), device_bytes() if need.engine > ANY_DEVICE else None
    gpu = device is not None and method_of(options.relaxation, options.method, sizes) not in INTERIOR_POINT
    if _fits(need, host, device if gpu else None):
        ended = sizes.derived > 0 and method_of(options.relaxation, options.method, sizes) == "lowrank"
        last = newton_need(sizes) if ended else 0.0
        return need.host + need.engine + (last if last <= 0.7 * host else 0.0)  # without it `newton` is left out
    asked = f"relaxation={options.relaxation!r} with method={method_of(options.relaxation, options.method, sizes)!r}"
    if need.on(gpu) > host or device is None:
        wanted, there, where = need.on(gpu), host, "here"
    else:
        wanted, there, where = need.engine, device, "on this device"
    raise ValueError(
        f"{asked} needs about {_amount(wanted)} {where} and {_amount(there)} are available; "
        f"{_what_fits(options, sizes, host, device)}"
    )


def refuse_many_moments(sizes: Sizes) -> None:
    """Raise ValueError where lasserre2 would not fit, counting what `block_form` would take long to enumerate."""
    entries, moments = lasserre_size(sizes.n, sizes.q, sizes.local)
    if 8 * entries * moments > MAX_DENSE_BYTES:
        raise ValueError(
            f"relaxation='lasserre2' is for tiny networks: here it has {entries} matrix entries and {moments} moments; "
            "'hr2' and 'hr2z' fit"
        )


def _fits(need: Need, host: float, device: float | None) -> bool:
    return need.on(device is not None) <= host and (device is None or need.engine <= device)


def _what_fits(options: Options, sizes: Sizes, host: float, device: float | None) -> str:
    """The nearest choice that fits: another device, another method, another relaxation."""
    if device is not None and _fits(need := estimate(options.relaxation, options.method, sizes), host, None):
        return f"device='cpu' needs about {_amount(need.on(False))}"
    smallest: tuple[float, str] = (math.inf, "")
    plain = [name for name, record in RELAXATIONS.items() if record.by_products and record.by_blocks]
    others = [name for name in reversed(plain) if name != options.relaxation]
    asked = (options.relaxation, method_of(options.relaxation, options.method, sizes))
    if not sizes.local or sizes.masked:
        others = [name for name in others if name != "hr2z"]  # equals shor, or does not exist
    for relaxation in (options.relaxation, *others):
        for method in ("lowrank", "admm"):
            if (relaxation, method) in (asked, ("lasserre2", "lowrank"), ("hr2+", "admm"), ("best", "admm")):
                continue
            need = estimate(relaxation, method, sizes)
            change = [f"relaxation={relaxation!r}"] * (relaxation != options.relaxation) + [f"method={method!r}"]
            text = f"{' with '.join(change)} needs about {_amount(need.on(device is not None))}"
            if _fits(need, host, device):
                return text
            smallest = min(smallest, (need.on(device is not None), text))
    return f"nothing fits: {smallest[1]}, the least of all"


def _amount(number: float) -> str:
    if number >= 1e13:
        return f"{number / 1e12:.0f} TB"
    return f"{number / 1e9:.0f} GB" if number >= 9.5e9 else f"{number / 1e9:.1f} GB"
