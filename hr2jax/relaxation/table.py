"""The relaxations, one record each: what a name of `solve` stands for, and where it is defined.

Everything that depends on a relaxation asks its record; a new one is an entry here. Which engines solve it follows from
the forms it has (`options.methods_of`), and docs/theory says what the families and cliques state.
"""

from __future__ import annotations

from dataclasses import dataclass

Names = tuple[str, ...]

SIGNS = ("+", "-")
# Products of the cliques {u_i, t_i} and {x_i, t_i}, and those that say all about u, z and their bounds (families.py).
UT: Names = tuple(f"(1{a}v).(1{b}t)" for a in SIGNS for b in SIGNS)
XT: Names = tuple(f"(1{a}x).(1{b}t)" for a in SIGNS for b in SIGNS)
Z_EXACT: Names = ("u.z", "(1-u).(-z)", "u.(h-z)", "(1-u).(z-l)", "z.(hu+l(1-u)-z)")


# Liftings (presolve.LIFTINGS) that callers choose from; the others go with a quantity or a relaxation.
CHOICES = ("forward", "adjoint", "both", "reach", "tensored", "xL", "tied")


@dataclass(frozen=True, kw_only=True)
class Relaxation:
    """One relaxation.

    Attributes:
        name: as `solve` takes it.
        one_layer: the families of products (families.py) of one hidden layer, (global, local); None: it has none.
        several_layers: the same of the last of several, beside chains.py's of all of them; None: it has none.
        cliques: its block form at one hidden layer (engines/block/form.py), (global, local); None: it has none.
        norms: on the input.
        quantities: what it bounds.
        orders: whether masks of proportional rows are ordered (orders.py).
        cuts: whether cutting planes are separated (triangles.py, products.py).
        matrices: whether lasserre.py's moment matrices, which no products replace, are part of it.
        degree: of its Krivine-Stengle certificate; None: its certificate is another.
        lifting: the one lifting that it has (presolve.LIFTINGS), all families of which it uses; None: the caller's.
        climbs: relaxations that are solved one after the other.
        before: with a time limit, what `lowrank` solves first where there are several layers, or values, so that the
            bound is no looser than a cheaper one's where time runs out.
        weaker: relaxations beside those whose certificates a checkpoint may have, for it to go on from them.
        reaches: whether a bound is also sought by other liftings, where those are small: a global one by the reach
            lifting (docs/theory/reach.md), one of several outputs by the tensored one (docs/theory/several-outputs.md).
        baseline: whether it needs no solver.
    """

    name: str
    one_layer: tuple[Names, Names] | None = None
    several_layers: tuple[Names, Names] | None = None
    cliques: tuple[Names, Names] | None = None
    norms: tuple[str | int, ...] = ("inf", 2, 1)
    quantities: tuple[str, ...] = ("lipschitz",)
    orders: bool = False
    cuts: bool = False
    matrices: bool = False
    degree: int | None = None
    lifting: str | None = None
    climbs: Names = ()
    before: Names = ()
    weaker: Names = ()
    reaches: bool = False
    baseline: bool = False

    @property
    def any_depth(self) -> bool:
        """Whether it is defined for several hidden layers too."""
        return not (self.one_layer or self.degree) or self.several_layers is not None

    @property
    def by_products(self) -> bool:
        """Whether engines of products (`lowrank`, `newton`) solve it."""
        return not (self.baseline or self.matrices or self.degree)

    @property
    def by_blocks(self) -> bool:
        """Whether engines of block forms (`admm`, interior points) solve it, at one hidden layer and norm inf."""
        return self.cliques is not None

    @property
    def steps(self) -> Names:
        """Names of the relaxations that its bound may come from; LipSDP's is there before any engine (one pass)."""
        lipsdp = () if self.baseline else ("lipsdp",)
        return tuple(dict.fromkeys((self.name, *self.climbs, *self.before, *self.weaker, *lipsdp)))

    @property
    def hardest(self) -> Relaxation:
        """The last that it climbs, or itself."""
        return RELAXATIONS[self.climbs[-1]] if self.climbs else self

    def families(self, depth: int, local: bool) -> Names | None:
        """Names of its families of the last hidden layer, of `depth`; None where it has none."""
        pair = self.one_layer if depth == 1 else self.several_layers
        return None if pair is None else pair[local]


BOTH = ("lipschitz", "maximum")

RELAXATIONS: dict[str, Relaxation] = {
    record.name: record
    for record in (
        Relaxation(
            name="shor", quantities=BOTH,
            one_layer=((), ("v.z",)), several_layers=((), ("u.z", "(1-u).(-z)")), cliques=((), ("v.z",)),
        ),
        Relaxation(
            name="hr2", quantities=BOTH, before=("shor",),
            one_layer=(UT, ("v.z", *UT)), several_layers=(UT, ("u.z", "(1-u).(-z)", *UT)),
            cliques=(("u,t",), ("v.z", "x", "u,t")),
        ),
        Relaxation(name="hr2z", one_layer=((), (*Z_EXACT, *XT)), cliques=((), ("u,z", "x,t"))),
        Relaxation(
            name="hr2+", quantities=BOTH, cuts=True, orders=True, reaches=True, before=("shor",),
            weaker=("hr2", "hr2z"),
            one_layer=(UT, (*Z_EXACT, *UT, *XT)), several_layers=(UT, (*Z_EXACT, *UT)),
        ),
        Relaxation(
            name="lasserre2", norms=("inf",), matrices=True,
            one_layer=((), ("v.z",)), cliques=(("lasserre",), ("lasserre",)),
        ),
        Relaxation(name="best", cuts=True, climbs=("shor", "hr2", "hr2z", "hr2+")),
        Relaxation(name="interval", quantities=BOTH, baseline=True),
        Relaxation(name="product", baseline=True),
        Relaxation(name="lipsdp", lifting="lipsdp"),
        Relaxation(name="lipsdp+", lifting="lipsdp", cuts=True),
        Relaxation(name="lipopt3", norms=("inf",), degree=3),
        Relaxation(name="lipopt4", norms=("inf",), degree=4),
    )
}  # fmt: skip


def names(**where: object) -> Names:
    """Names of the relaxations whose attributes equal these; of those that are tuples, which contain them."""

    def agrees(record: Relaxation) -> bool:
        values = ((getattr(record, name), value) for name, value in where.items())
        return all(value in has if isinstance(has, tuple) else has == value for has, value in values)

    return tuple(name for name, record in RELAXATIONS.items() if agrees(record))
