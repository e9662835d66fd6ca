"""Multipliers by name and in a lifting's order: there and back, and from one problem to another."""

import itertools

import numpy as np
import pytest

from hr2jax.certificate.krivine import KRIVINE
from hr2jax.certificate.names import diagonal_of, named, named_diagonal, numbered, transfer
from hr2jax.certificate.tables import factor_numbers, variables
from hr2jax.network import Network
from hr2jax.problem import checked_problem
from hr2jax.relaxation.families import catalogue
from hr2jax.relaxation.lasserre import lasserre_matrices
from hr2jax.relaxation.lifting import lift
from hr2jax.relaxation.presolve import LIFTINGS, presolve
from hr2jax.relaxation.products import FactorTable

BOX = {"center": [0.1, 0.2, -0.3], "radius": [0.5, 0.0, 0.25]}


def network(hidden=(5, 4), seed=0):
    rng = np.random.default_rng(seed)
    widths = [3, *hidden, 1]
    A = [rng.standard_normal((m, n)) for n, m in itertools.pairwise(widths)]
    return Network(A, [0.2 * rng.standard_normal(m) for m in widths[1:]])


def lifted(net, lifting="forward", quantity="lipschitz", **box):
    problem = checked_problem(net, None, "inf", box.get("center"), box.get("radius"), quantity)
    return lift(net, problem, presolve(net, problem, chains=LIFTINGS[lifting]))


LIFTED = {
    "global": lambda: lifted(network((4,))),
    "local": lambda: lifted(network((4,)), **BOX),
    "both": lambda: lifted(network(), "both", **BOX),
    "adjoint": lambda: lifted(network(), "adjoint"),
    "values": lambda: lifted(network(), "values", "maximum", **BOX),
    "values of one": lambda: lifted(network((4,)), "values", "maximum", **BOX),
    "lipsdp": lambda: lifted(network(), "lipsdp"),
    "lipsdp of one": lambda: lifted(network((4,)), "lipsdp"),
}


def widths_of(lifting):
    return (3, *(5, 4)[: lifting.presolve.depth], 1)


def multipliers_of(lifting, rng):
    """Random ones of every family, triangles and products."""
    out = {name: rng.random(family.shape) for name, family in catalogue(lifting).items()}
    corners = rng.integers(1, lifting.size + 1, (9, 3)) * rng.choice([-1.0, 1.0], (9, 3))
    out["triangles"] = np.column_stack([corners, rng.random(9)])
    if (count := FactorTable(lifting).count) > 0:
        out["products"] = np.column_stack([rng.integers(0, count, (9, 2)), rng.random(9)])
    return out


@pytest.mark.parametrize("kind", LIFTED)
def test_there_and_back_changes_nothing(kind):
    lifting, rng = LIFTED[kind](), np.random.default_rng(0)
    multipliers = multipliers_of(lifting, rng)
    entries = named(lifting, multipliers, 3)
    assert all("/" in name or name.startswith("(1") for name in entries)
    back = numbered(lifting, entries, widths_of(lifting))
    assert back.keys() == multipliers.keys()
    for name, values in multipliers.items():
        np.testing.assert_array_equal(back[name], values)
    d = rng.standard_normal(lifting.size)
    np.testing.assert_array_equal(diagonal_of(lifting, named_diagonal(lifting, d)), d)


def test_names_count_as_the_network_does():
    lifting = LIFTED["local"]()
    assert lifting.presolve.free.tolist() == [0, 2]
    unstable = lifting.presolve.layers[0].unstable
    table = variables(lifting).table(np.arange(lifting.size))
    assert table.kind.tolist() == ["one", *["v"] * len(unstable), "t", "t", "xi", "xi"]
    assert table.index.tolist() == [0, *unstable, 0, 2, 0, 2]
    assert table.layer.tolist() == [0, *[1] * len(unstable), 0, 0, 0, 0]
    factors = factor_numbers(lifting).table(np.arange(FactorTable(lifting).count))
    assert set(zip(factors.kind.tolist(), factors.sign.tolist(), factors.layer.tolist(), strict=True)) == {
        (kind, sign, layer) for kind, layer in (("T", 0), ("X0", 0), ("U", 1)) for sign in (1, -1)
    }
    deep = factor_numbers(LIFTED["both"]()).table(np.arange(FactorTable(LIFTED["both"]()).count))
    assert {(k, l) for k, l in zip(deep.kind.tolist(), deep.layer.tolist(), strict=True) if l} == {
        *((kind, 1) for kind in ("U", "V", "VC", "A", "AC", "X", "XC")), ("U", 2),
    }  # fmt: skip


@pytest.mark.parametrize("degree", [3, 4])
def test_lipopts_products_there_and_back(degree):
    lifting, rng = LIFTED["global"](), np.random.default_rng(0)
    rows = np.zeros((8, degree + 1))
    for row in rows[1:]:
        row[1:degree] = rng.permutation(np.arange(1, 8))[: degree - 1] * rng.choice([-1, 1], degree - 1)
    rows[:, -1] = rng.random(8)
    entries = named(lifting, {KRIVINE: rows}, 3)
    np.testing.assert_array_equal(numbered(lifting, entries, (3, 4, 1))[KRIVINE], rows)
    names = set(zip(entries["krivine/group"], entries["krivine/layer"], entries["krivine/index"], strict=True))
    assert names <= {("t", 0, j) for j in range(3)} | {("v", 1, i) for i in range(4)}
    for group, layer, index in (("t", 0, 3), ("t", 0, -1), ("v", 1, 4), ("v", 1, -1), ("v", 0, 0), ("xi", 0, 0)):
        changed = dict(entries)
        for name, value in (("group", group), ("layer", layer), ("index", index)):
            column = entries[f"krivine/{name}"].astype("U3" if name == "group" else np.int64)
            column[0] = value
            changed[f"krivine/{name}"] = column
        with pytest.raises(ValueError, match="LipOpt's variables"):
            numbered(lifting, changed, (3, 4, 1))


def test_matrices_of_lasserre2_there_and_back_with_monomials_in_any_order():
    lifting, rng = LIFTED["local"](), np.random.default_rng(0)
    factors = {m.key: rng.standard_normal((len(m.basis), 2)) for m in lasserre_matrices(lifting)}
    entries = named(lifting, factors, 3)
    assert f"sos/M_2(u,t_{lifting.presolve.free[1]})/factor" in entries
    for name in [name for name in entries if name.endswith("/factor")]:
        order = rng.permutation(len(entries[name]))
        monomials = name.replace("/factor", "/monomials")
        entries[name], entries[monomials] = entries[name][order], entries[monomials][order][:, ::-1]
    back = numbered(lifting, entries, (3, 4, 1))
    for name, values in factors.items():
        np.testing.assert_array_equal(back[name], values)


# To another problem ---------------------------------------------------------------------------------------


def test_what_another_problem_has_too_goes_along_by_name():
    """Row by row: fewer neurons are unstable on the smaller box, and another input is fixed."""
    net, rng = network((6,), seed=3), np.random.default_rng(1)
    first = lifted(net, center=np.zeros(3), radius=[2.0, 2.0, 0.0])
    other = lifted(net, center=np.zeros(3), radius=[0.3, 0.0, 0.3])
    kept = np.intersect1d(first.presolve.layers[0].unstable, other.presolve.layers[0].unstable)
    assert len(kept) < len(first.presolve.layers[0].unstable)
    multipliers = multipliers_of(first, rng)
    moved = transfer(named(first, multipliers, 3), first.presolve.layout(), first.presolve.free, other)
    neurons, inputs = (lambda x: x.presolve.layers[0].unstable), (lambda x: x.presolve.free)
    for name, owners in (("v.z/1", neurons), ("(1+x).(1-t)", inputs)):
        values = dict(zip(owners(first).tolist(), multipliers[name], strict=True))
        assert moved[name].tolist() == [values.get(k, 0.0) for k in owners(other).tolist()]
    places = {name: k for k, name in enumerate(names_of(other))}
    old = names_of(first)
    expected = [
        [*(np.sign(c) * (places[old[int(abs(c)) - 1]] + 1) for c in row[:3]), row[3]]
        for row in multipliers["triangles"].tolist()
        if all(old[int(abs(c)) - 1] in places for c in row[:3])
    ]
    assert 0 < len(expected) < 9
    np.testing.assert_array_equal(moved["triangles"], expected)


def names_of(lifting):
    table = variables(lifting).table(np.arange(lifting.size))
    return list(zip(table.kind.tolist(), table.layer.tolist(), table.index.tolist(), strict=True))


def test_to_itself_and_back_changes_nothing():
    for kind in ("local", "both", "values"):
        lifting = LIFTED[kind]()
        multipliers = multipliers_of(lifting, np.random.default_rng(2))
        fixed = lifting.presolve
        moved = transfer(named(lifting, multipliers, 3), fixed.layout(), fixed.free, lifting)
        for name in moved:
            np.testing.assert_array_equal(moved[name], multipliers[name])
        assert multipliers.keys() - moved.keys() <= {"products"}


@pytest.mark.parametrize("kind", LIFTED)
def test_a_name_that_is_not_of_this_problem_is_refused(kind):
    """What engines call cuts and matrices is no name of a certificate's either."""
    lifting = LIFTED[kind]()
    layers = lifting.presolve.depth
    for name in ("u.z", "u.z/0", f"u.z/{layers + 1}", "(1+x).(1-t)/1", "v1", "sos.M_2(x,u)", "U+/1", "one", ""):
        with pytest.raises(ValueError, match=r"there is no family"):
            numbered(lifting, {name: np.ones(2)}, widths_of(lifting))
    for name in ("triangles", "products", "sos"):
        with pytest.raises(ValueError, match=r"unknown or missing entry"):
            numbered(lifting, {name: np.ones((2, 4))}, widths_of(lifting))


@pytest.mark.parametrize("kind", [kind for kind in LIFTED if kind not in ("global", "local")])
def test_matrices_of_lasserre2_exist_for_the_constant_of_one_hidden_layer_only(kind):
    with pytest.raises(ValueError, match="one hidden layer"):
        lasserre_matrices(LIFTED[kind]())


def test_another_depth_and_nonsense_are_left_out():
    one, two = LIFTED["local"](), LIFTED["both"]()
    entries = named(one, multipliers_of(one, np.random.default_rng(0)), 3)
    moved = transfer(entries, one.presolve.layout(), one.presolve.free, two)
    assert moved.keys() <= {"triangles", "products"}
    nonsense = {"v.z/9": np.ones(2), "": np.ones(2), "triangles/corners": np.ones(3), "u.z/1": np.ones((2, 2))}
    assert transfer(nonsense, one.presolve.layout(), one.presolve.free, one) == {}
