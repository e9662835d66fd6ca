"""An independent interior-point solve of the product form, its rows written out one by one from the families.

    max <C, Y>,  Y >= 0 (PSD),  Y_kk = 1 (signs) or sum of Y_kk over a budget <= 1,  (F Y G^T)_rr >= 0 or = 0

over the lower triangle of Y itself: the primal, where hr2jax.engines.interior_point solves the dual.
"""

from itertools import combinations

import clarabel
import cvxopt
import cvxopt.solvers
import numpy as np
import scipy.sparse as sp

from hr2jax.relaxation.chains import factors

MOST = 400  # rows that a solution violates are added at a time


def extended_basis(lifting):
    """Rows of the basis groups and of the derived ones over the basis, as a dict of dense (length, N) arrays."""
    rows, start = {}, 0
    for group, length in lifting.sizes.items():
        rows[group] = np.zeros((length, lifting.size))
        for k in range(length):
            rows[group][k, start + k] = 1.0
        start += length
    for group, terms in lifting.derived.items():
        rows[group] = sum(matrix.mid @ rows[other] for other, matrix in terms.items())
    return rows


def dense_form(lifting, form):
    """(rows, N): a Form's rows over the basis."""
    basis = extended_basis(lifting)
    out = np.zeros((form.rows, lifting.size))
    for term in form.terms:
        for r in range(form.rows):
            out[r] += term.coefficient[r] * basis[term.group][term.index[r]]
    return out


def objective(lifting):
    """C (N, N), symmetric."""
    basis = extended_basis(lifting)
    C = sum(basis[g].T @ block.mid @ basis[h] for (g, h), block in lifting.objective.items())
    return (C + C.T) / 2


def product_rows(lifting, families):
    """The symmetric matrices (f_r g_s^T + g_s f_r^T)/2 whose inner products with Y the families want >= 0 (or = 0)."""
    out = []
    for family in families:
        F, G = dense_form(lifting, family.F), dense_form(lifting, family.G)
        pairs = [(r, r) for r in range(len(F))] if family.pairs == "diagonal" else np.ndindex(len(F), len(G))
        out += [(np.outer(F[r], G[s]) + np.outer(G[s], F[r])) / 2 for r, s in pairs]
    return out


def every_product(lifting, kinds):
    """Symmetric matrices whose inner products with Y the products of factors want >= 0: all pairs of those kinds."""
    rows = {}
    for name, form in factors(lifting).items():
        rows.setdefault(name.kind, []).extend(dense_form(lifting, form))
    out = []
    for name in kinds:
        first, second = (rows.get(part, []) for part in name.split("."))
        pairs = combinations(first, 2) if first is second else ((f, g) for f in first for g in second)
        out += [(np.outer(f, g) + np.outer(g, f)) / 2 for f, g in pairs]
    return out


def every_triangle(lifting, cuts):
    """Symmetric matrices whose inner products with Y the triangle inequalities want >= 0: all that `cuts` names.

    "T.U" and so on are those through the constant with a corner in t and one in v; "triangles" are the others.
    """
    kind = [group.kind for group, size in lifting.sizes.items() for _ in range(size)]
    kinds = {"U": "v", "T": "t", "X0": "xi"}
    wanted = {frozenset(kinds[part] for part in name.split(".")) for name in cuts if name != "triangles"}
    out = []
    for i, j, k in combinations(range(lifting.size), 3):
        if frozenset((kind[j], kind[k])) not in wanted if i == 0 else "triangles" not in cuts:
            continue
        for a, b, c in ((1, 1, 1), (-1, 1, 1), (1, -1, 1), (1, 1, -1)):  # 1 + ab + bc + ca
            P = np.zeros((lifting.size, lifting.size))
            P[0, 0] = 1.0
            for (row, column), sign in (((i, j), a * b), ((j, k), b * c), ((i, k), a * c)):
                P[row, column] = P[column, row] = P[row, column] + sign / 2
            out.append(P)
    return out


def solve_product_form(lifting, families, solver="clarabel", tolerance=1e-9, extra=()):
    """The optimum (in units of 2**lifting.exponent) and the (N, N) moment matrix Y; <P, Y> >= 0 for `extra` too.

    Of `extra`, which may be tens of thousands, those are given to the solver that its last solution violates, until it
    violates none: then it is the solution of them all.
    """
    N = lifting.size
    i, j = np.tril_indices(N)
    off = np.where(i == j, 1.0, 2.0)  # <A, Y> over the entries of Y's lower triangle

    C = objective(lifting)
    square = [((i == k) & (j == k)).astype(float) for k in range(N)]
    one, budget = lifting.square_is_one, lifting.budget
    signs = [square[k] for k in np.flatnonzero(one)]
    box = [sum(square[k] for k in np.flatnonzero(budget == b)) for b in np.unique(budget[~one])]
    equal, least = ([f for f in families if f.equality is e] for e in (True, False))
    products = [-(P[i, j] * off) for P in product_rows(lifting, least)]
    pool = np.array([P[i, j] * off for P in extra]).reshape(-1, len(i))
    A = np.array([*signs, *(P[i, j] * off for P in product_rows(lifting, equal))])
    right = np.concatenate([np.ones(len(signs)), np.zeros(len(A) - len(signs))])
    G = np.array([*box, *products]).reshape(-1, len(i))
    h = np.concatenate([np.ones(len(box)), np.zeros(len(products))])
    solve = {"clarabel": _clarabel, "cvxopt": _cvxopt}[solver]
    taken = violated = np.zeros(len(pool), bool)
    while True:
        taken = taken | violated
        rows, room = np.concatenate([G, -pool[taken]]), np.concatenate([h, np.zeros(taken.sum())])
        y = solve(-(C[i, j] * off), A, right, rows, room, N, tolerance)
        slack = np.where(taken, np.inf, pool @ y)
        violated = slack < -tolerance
        if violated.sum() > MOST:
            violated &= slack <= np.partition(slack, MOST)[MOST]
        if not violated.any():
            break
    Y = np.zeros((N, N))
    Y[i, j] = Y[j, i] = y
    return float((C * Y).sum()), Y


def _clarabel(c, A, b, G, h, N, tolerance):
    i, j = np.tril_indices(N)
    svec = -sp.diags(np.where(i == j, 1.0, np.sqrt(2.0)))
    rows = sp.csc_matrix(sp.vstack([sp.csc_matrix(A), sp.csc_matrix(G), svec]))
    cones = [clarabel.ZeroConeT(len(b)), clarabel.NonnegativeConeT(len(h)), clarabel.PSDTriangleConeT(N)]
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = tolerance
    right = np.concatenate([b, h, np.zeros(len(i))])
    empty = sp.csc_matrix((len(c), len(c)))
    solution = clarabel.DefaultSolver(empty, c, rows, right, cones, settings).solve()
    assert str(solution.status) in ("Solved", "AlmostSolved")
    return np.array(solution.x)


def _cvxopt(c, A, b, G, h, N, tolerance):
    i, j = np.tril_indices(N)
    square = np.zeros((N * N, len(i)))
    square[i * N + j, np.arange(len(i))] = square[j * N + i, np.arange(len(i))] = -1.0
    result = cvxopt.solvers.conelp(
        cvxopt.matrix(c),
        cvxopt.matrix(np.concatenate([G, square])),
        cvxopt.matrix(np.concatenate([h, np.zeros(N * N)])),
        {"l": len(h), "q": [], "s": [N]},
        cvxopt.matrix(A),
        cvxopt.matrix(b),
        options={"show_progress": False, "abstol": tolerance, "reltol": tolerance, "feastol": tolerance},
    )
    assert result["x"] is not None
    return np.array(result["x"]).ravel()
