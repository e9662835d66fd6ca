"""The refusal of what does not fit in memory, told from sizes before anything large is allocated.

What an engine needs stands beside it (product/memory.py, block/memory.py, lipopt/memory.py). The estimates are of the
whole process's peak (`timings["peak_bytes"]`), within a factor of two of what was measured and never more than 1.3
times too low (tests/engines/test_memory.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ..machine.device import device_bytes
from ..machine.memory import available_bytes
from ..network import Network
from ..options import BLOCK_METHODS, INTERIOR_POINT, Options
from ..problem import Problem
from ..relaxation.lasserre import lasserre_size
from ..relaxation.table import RELAXATIONS, XT, Names, Relaxation
from .block import memory as block
from .choose import engine_of
from .lipopt import memory as lipopt
from .product import memory as product
from .sizes import Need, Sizes

PROCESS = 500e6  # bytes that do not grow: Python, JAX and compiled programs
# Float64 arrays of the arrow's entries: the Lagrangian matrix, its enclosure and the proof; of several layers fewer,
# whose derived rows are counted among these entries but are taken group by group.
CERTIFICATE, DEEP = 13.0, 6.0
# The same of (N, N) where LipSDP's tangents are all that runs, and such a process without JAX.
TANGENTS, NO_JAX = 5.0, 150e6
ANY_DEVICE = 64e6  # bytes that every accelerator has to spare
MAX_MOMENT_BYTES = 2**30  # of lasserre2's map from moments to matrix entries


def method_of(relaxation: str, method: str, sizes: Sizes) -> str:
    """The engine that a method stands for (`choose.engine_of`), told from the sizes."""
    record = RELAXATIONS[relaxation].hardest
    depth = sizes.depth + (sizes.outputs > 0 or sizes.derived > 0)
    return engine_of(record, method, depth, lambda: product.is_few(record, sizes, available_bytes()))


def estimate(relaxation: str, method: str, sizes: Sizes) -> Need:
    """What `solve` will need at its peak, by an engine of the product or the block form."""
    method = method_of(relaxation, method, sizes)
    record = RELAXATIONS[relaxation].hardest  # the largest of those it climbs
    if method == "lowrank" and record.lifting == "lipsdp" and not record.cuts and sizes.derived and not sizes.n:
        return Need(NO_JAX + 8.0 * TANGENTS * sizes.N**2, 0.0)
    engine = (block if method in BLOCK_METHODS else product).bytes_needed(record, method, sizes)
    arrays = DEEP if sizes.derived else CERTIFICATE
    return Need(PROCESS + 8.0 * arrays * _arrow_entries(record, sizes) + engine.host, engine.engine)


def _arrow_entries(record: Relaxation, sizes: Sizes) -> float:
    """Entries of the Lagrangian matrix that are kept: what is eliminated is a diagonal (`QuadraticForm.eliminable`)."""
    n, q = sizes.n, sizes.q
    if sizes.derived:
        return float(sizes.N) * (sizes.N + 2.0 * sizes.derived)
    eliminated = 0
    if record.one_layer and not (record.cuts or record.matrices):
        # the neurons; or the inputs, where no product ties t to x
        tied = set(XT) <= set(record.one_layer[True])
        eliminated = n if tied else max(n, 2 * q if sizes.local else q)
    kept = sizes.N - float(eliminated)
    return kept * (eliminated + kept)


# --- refusal --------------------------------------------------------------------------------------------


def check_krivine_memory(net: Network, problem: Problem, degree: int) -> float:
    """The bytes that LipOpt's linear programs will need.

    Raises:
        ValueError: more than is available.
    """
    size, there = lipopt.krivine_size(net, problem, degree), available_bytes()
    if size.bytes > there:
        raise ValueError(
            f"relaxation='lipopt{degree}' needs about {_amount(size.bytes)} here ({size.monomials} monomials, "
            f"{size.products} products) and {_amount(there)} are available; 'hr2' takes less"
        )
    return size.bytes


def check_memory(options: Options, sizes: Sizes, of_lipsdp: Callable[[], Sizes] | None = None) -> float:
    """The estimate in bytes, host and engine together.

    Args:
        options, sizes: what is to be solved.
        of_lipsdp: tells the sizes of the same problem in LipSDP's lifting, where that is another; None: there is none.

    Raises:
        ValueError: more than is available; the sentence says what would fit.
    """
    need = estimate(options.relaxation, options.method, sizes)
    # asking JAX for its devices starts it, which somebody without time need not wait for
    host, device = available_bytes(), device_bytes() if need.engine > ANY_DEVICE else None
    if device is not None and options.devices is not None:
        device *= options.devices  # only `lowrank` may have several, and divides all that is large
    gpu = device is not None and method_of(options.relaxation, options.method, sizes) not in INTERIOR_POINT
    if _fits(need, host, device if gpu else None):
        ended = sizes.derived > 0 and method_of(options.relaxation, options.method, sizes) == "lowrank"
        last = product.newton_needs(sizes) if ended else 0.0
        return need.host + need.engine + (last if last <= 0.7 * host else 0.0)  # without it `newton` is left out
    asked = f"relaxation={options.relaxation!r} with method={method_of(options.relaxation, options.method, sizes)!r}"
    if need.on(gpu) > host or device is None:
        wanted, there, where = need.on(gpu), host, "here"
    else:
        wanted, there, where = need.engine, device, "on this device"
    raise ValueError(
        f"{asked} needs about {_amount(wanted)} {where} and {_amount(there)} are available; "
        f"{_what_fits(options, sizes, host, device, of_lipsdp)}"
    )


def refuse_many_moments(sizes: Sizes) -> None:
    """Raise ValueError where lasserre2 would not fit, counting what `block_form` would take long to enumerate."""
    entries, moments = lasserre_size(sizes.n, sizes.q, sizes.local)
    if 8 * entries * moments > MAX_MOMENT_BYTES:
        raise ValueError(
            f"relaxation='lasserre2' is for tiny networks: here it has {entries} matrix entries and {moments} moments; "
            "'hr2' and 'hr2z' fit"
        )


def _fits(need: Need, host: float, device: float | None) -> bool:
    return need.on(device is not None) <= host and (device is None or need.engine <= device)


def _what_fits(
    options: Options, sizes: Sizes, host: float, device: float | None, of_lipsdp: Callable[[], Sizes] | None
) -> str:
    """The nearest choice that fits: another device, another method, another relaxation."""
    if device is not None and _fits(need := estimate(options.relaxation, options.method, sizes), host, None):
        return f"device='cpu' needs about {_amount(need.on(False))}"
    smallest: tuple[float, str] = (math.inf, "")
    asked = (options.relaxation, method_of(options.relaxation, options.method, sizes))
    for relaxation in (options.relaxation, *_others(options.relaxation, sizes)):
        record = RELAXATIONS[relaxation].hardest
        for method in ("lowrank",) * record.by_products + ("admm",) * (record.by_blocks and sizes.blocks):
            if (relaxation, method) == asked:
                continue
            need = estimate(relaxation, method, sizes)
            change = [f"relaxation={relaxation!r}"] * (relaxation != options.relaxation) + [f"method={method!r}"]
            text = f"{' with '.join(change)} needs about {_amount(need.on(device is not None))}"
            if _fits(need, host, device):
                return text
            smallest = min(smallest, (need.on(device is not None), text))
    if of_lipsdp is not None and _fits(need := estimate("lipsdp", "lowrank", of_lipsdp()), host, device):
        return f"relaxation='lipsdp' needs about {_amount(need.on(device is not None))}"
    return f"nothing fits: {smallest[1]}, the least of all; 'product' and 'interval' need no engine"


def _others(asked: str, sizes: Sizes) -> list[str]:
    """The relaxations that any engine solves, the tightest first, but for those that here equal an easier one."""
    there: dict[Names, str] = {}
    for name, record in RELAXATIONS.items():
        families = record.families(sizes.depth, sizes.local)
        if record.by_products and record.by_blocks and families is not None:
            there.setdefault(families, name)
    return [name for name in reversed(there.values()) if name != asked]


def _amount(number: float) -> str:
    if number >= 1e13:
        return f"{number / 1e12:.0f} TB"
    return f"{number / 1e9:.0f} GB" if number >= 9.5e9 else f"{number / 1e9:.1f} GB"
