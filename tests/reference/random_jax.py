"""Random functions of JAX: some eight operations on arrays of one dimension to four."""

import jax
import jax.numpy as jnp
import numpy as np

LARGEST = 160  # entries of an array
SHAPES = [(4,), (1, 6), (2, 3), (1, 5, 2), (1, 4, 5, 2), (1, 2, 4, 4), (3, 2, 2)]


class Drawn:
    """A function of an array of `shape`: its last value and a few before it."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.shape = SHAPES[self.rng.integers(len(SHAPES))]
        self.steps, self.names, self.is_strange = [], [], False
        values = [jnp.asarray(self.rng.standard_normal(self.shape))]
        for _ in range(int(self.rng.integers(3, 9))):
            self._grow(values)
        self.outputs = [len(values) - 1, *(i for i in range(1, len(values) - 1) if self.rng.random() < 0.1)]

    def __call__(self, x):
        values = [x]
        for step, at in self.steps:
            found = step(*(values[i] for i in at))
            values += [*found] if isinstance(found, list | tuple) else [found]
        return [values[i] for i in self.outputs]

    def _grow(self, values):
        for _ in range(100):
            i = len(values) - 1 if self.chance(0.7) else int(self.rng.integers(len(values)))
            strange, kind = self.is_strange, KINDS[self.rng.integers(len(KINDS))]
            self.at, self.values, a = [i], values, values[i]
            step = kind(self, a) if a.ndim else None
            if step is not None:
                try:
                    found = step(*(values[k] for k in self.at))
                except (TypeError, ValueError, IndexError):
                    found = []
                found = [*found] if isinstance(found, list | tuple) else [found]
                if found and all(
                    v.dtype == np.float64 and 0 < v.size <= LARGEST and v.ndim < 6 and np.abs(v).max() < 1e4
                    for v in found
                ):
                    self.steps.append((step, self.at))
                    self.names.append(kind.__name__)
                    values += found
                    return
            self.is_strange = strange

    def chance(self, share):
        """True so often."""
        return bool(self.rng.random() < share)

    def among(self, options):
        """One of them."""
        return options[int(self.rng.integers(len(options)))]

    def numbers(self, *shape):
        """A constant."""
        value = self.rng.standard_normal(shape)
        return np.round(value * 4) / 4 if self.chance(0.3) else value

    def other(self, fits):
        """One more array as an argument of the step, whose shape fits."""
        self.at.append(self.among([i for i, v in enumerate(self.values) if fits(v.shape)]))


def activation(d, a):
    nn = jax.nn
    return d.among([nn.relu, nn.relu, nn.relu6, nn.leaky_relu, nn.hard_tanh, nn.hard_sigmoid, jnp.abs, nn.tanh,
                    nn.softplus, nn.soft_sign, nn.elu, nn.selu, nn.celu, nn.silu, nn.gelu, nn.mish, nn.hard_silu,
                    lambda x: nn.leaky_relu(x, 0.3), lambda x: nn.gelu(x, approximate=False), lambda x: nn.elu(x, 0.5),
                    lambda x: x * nn.sigmoid(x), jax.jit(nn.relu), jax.checkpoint(lambda x: nn.relu(x) - x),
                    lambda x: jnp.tanh(x / 2), jnp.arctan, jnp.fabs, jnp.negative])  # fmt: skip


def kink(d, a):
    c = d.numbers(*a.shape[-1:])
    return d.among([lambda x: jnp.where(x > 0, x, 0.1 * x), lambda x: jnp.where(x >= 0, x, c * x),
                    lambda x: jnp.where(x < 0, 0.0, x), lambda x: jnp.where(-x > 0, -x, 0.5 * x),
                    lambda x: jnp.where(c > 0, x, -x), lambda x: jnp.clip(x, -0.5, 0.75), lambda x: jnp.clip(x, c),
                    lambda x: jnp.maximum(x, c), lambda x: jnp.minimum(c, x), lambda x: jnp.maximum(x, 0.1 * x),
                    lambda x: jax.lax.clamp(-0.5, x, 0.5), lambda x: jnp.where(jnp.isnan(x), 0.0, x)])  # fmt: skip


def arithmetic(d, a):
    shape = tuple(n if d.chance(0.7) else 1 for n in a.shape)[d.rng.integers(a.ndim + 1) :]
    c, s = d.numbers(*shape), d.among([0.5, -1.5, 3.0, 2])
    return d.among([lambda x: x + c, lambda x: c - x, lambda x: x * c, lambda x: x / (np.abs(c) + 0.3),
                    lambda x: x * s, lambda x: x / s, lambda x: (x - s) / 0.3, lambda x: s - 2 * x,
                    lambda x: (x - c) * jax.lax.rsqrt(jnp.asarray(c) ** 2 + 0.1), lambda x: x + jnp.sqrt(4.0) * c,
                    lambda x: x.astype(float) + jnp.arange(x.shape[-1])])  # fmt: skip


def joined(d, a):
    d.other(lambda s: s == a.shape)
    return d.among([jnp.add, jnp.subtract, jnp.maximum, jnp.minimum, lambda x, y: (x + y) / 2, lambda x, y: x - y / 3,
                    lambda x, y: jnp.stack([x, y]).max(0), lambda x, y: sum([x, y, x])])  # fmt: skip


def strange(d, a):
    """What may be refused, but must not be another function."""
    d.is_strange = True
    d.other(lambda s: s == a.shape)
    return d.among([jnp.multiply, lambda x, y: x / (1 + jnp.abs(y)), lambda x, y: x * jax.nn.sigmoid(y),
                    lambda x, y: jax.nn.softmax(x), lambda x, y: jnp.exp(x), lambda x, y: jnp.cumprod(x, -1),
                    lambda x, y: jnp.where(x > 0, x, y), lambda x, y: jnp.round(x), lambda x, y: jnp.sin(x),
                    lambda x, y: jnp.sqrt(x**2 + 1), lambda x, y: x.std(), lambda x, y: jnp.floor(x) + y,
                    lambda x, y: jnp.median(x), lambda x, y: jax.nn.sigmoid(x), lambda x, y: jax.nn.glu(x),
                    lambda x, y: x.astype("f2").astype("f8"),
                    lambda x, y: jax.nn.log_sigmoid(x), lambda x, y: jnp.sort(x)[::-1] * y, lambda x, y: jnp.sign(x),
                    lambda x, y: jnp.where(x > 0.5, x, 2 * x), lambda x, y: jnp.where(x > y, x, y),
                    lambda x, y: jax.image.resize(x, x.shape, "cubic"), lambda x, y: jnp.diff(x, append=0.0),
                    lambda x, y: jax.nn.logsumexp(x, -1), lambda x, y: jnp.mod(x, 1.0),
                    lambda x, y: jax.lax.top_k(x, 1)[0],
                    lambda x, y: x.at[..., 0].add(1.0), lambda x, y: x.at[..., 0].max(0.1),
                    lambda x, y: jnp.max(x, where=x > 0, initial=0.0), lambda x, y: jnp.dot(x.ravel(), y.ravel())[None],
                    lambda x, y: jax.nn.standardize(x), lambda x, y: jnp.select([x > 0], [x], 0.0)])  # fmt: skip


def matrices(d, a):
    n, m = a.shape[-1], int(d.rng.integers(1, 5))
    M, N, v = d.numbers(n, m), d.numbers(m, a.shape[-2] if a.ndim > 1 else n), d.numbers(*a.shape[-2:])
    kinds = [lambda x: x @ M, lambda x: jnp.matmul(N, x), lambda x: x @ M[:, 0], lambda x: jnp.tensordot(x, M, 1),
             lambda x: jnp.einsum("...i,ij->...j", x, M), lambda x: jnp.einsum("ji,...j->i...", M, x),
             lambda x: jax.nn.relu(x @ M) @ M.T + x,
             lambda x: jax.lax.dot_general(x, M, (((x.ndim - 1,), (0,)), ((), ()))),
             jax.vmap(lambda r: r @ M if r.ndim else r * 2)]  # fmt: skip
    if a.ndim > 1:
        kinds += [lambda x: jnp.einsum("...ij,ij->...j", x, v), lambda x: jnp.einsum("...ij->...ji", x),
                  lambda x: jnp.einsum("...ij,ij->...", x, v), lambda x: jnp.inner(x, M.T)]  # fmt: skip
    return d.among(kinds)


def conv(d, a):
    dims = a.ndim - 2
    if dims not in (1, 2) or a.shape[0] != 1:
        return None
    space = "HW"[:dims] if d.chance(0.7) else "WH"[:dims]
    image = d.among([f"N{space}C", f"NC{space}"])
    channels = a.shape[image.index("C")]
    groups = d.among([g for g in (1, 2, 3) if channels % g == 0])
    kernel, out = d.rng.integers(1, 4, dims).tolist(), groups * int(d.rng.integers(1, 3))
    weight = d.numbers(*kernel, channels // groups, out)
    given = {"window_strides": d.rng.integers(1, 3, dims).tolist(), "feature_group_count": groups,
             "rhs_dilation": d.rng.integers(1, 3, dims).tolist(),
             "dimension_numbers": (image, f"{space}IO", image)}  # fmt: skip
    given["padding"] = d.among(["SAME", "VALID", [(int(p), int(q)) for p, q in d.rng.integers(-1, 3, (dims, 2))]])
    if d.chance(0.2) and not isinstance(given["padding"], str):
        given["lhs_dilation"] = d.rng.integers(1, 3, dims).tolist()
    if d.chance(0.2) and groups == 1:
        return lambda x: jax.lax.conv_transpose(x, weight, given["window_strides"], "SAME",
                                                dimension_numbers=given["dimension_numbers"])  # fmt: skip
    return lambda x: jax.lax.conv_general_dilated(x, weight, **given)


def pool(d, a):
    size = [1 if d.chance(0.4) else int(k) for k in d.rng.integers(1, 4, a.ndim)]
    strides, padding = d.rng.integers(1, 3, a.ndim).tolist(), d.among(["SAME", "VALID"])
    start, function = d.among([(-np.inf, jax.lax.max), (np.inf, jax.lax.min), (0.0, jax.lax.add)])
    return lambda x: jax.lax.reduce_window(x, start, function, size, strides, padding)


def moved(d, a):
    order, i = d.rng.permutation(a.ndim).tolist(), int(d.rng.integers(a.ndim))
    return d.among([lambda x: x.ravel(), lambda x: x.reshape(-1, x.shape[-1]), lambda x: x.reshape(1, -1),
                    lambda x: x.transpose(order), lambda x: x.T, lambda x: jnp.moveaxis(x, i, 0), jnp.squeeze,
                    lambda x: jnp.expand_dims(x, i), lambda x: x[None], lambda x: x[..., None],
                    lambda x: jnp.swapaxes(x, i, -1), lambda x: jnp.flip(x, i), lambda x: jnp.roll(x, 1, i),
                    lambda x: jnp.roll(x, 2), lambda x: jnp.rot90(x, axes=(-2, -1)), lambda x: x[::-1],
                    lambda x: jax.lax.rev(x, [i])])  # fmt: skip


def cut(d, a):
    i, n = int(d.rng.integers(a.ndim)), a.shape
    at, index = int(d.rng.integers(n[i])), d.rng.integers(0, n[-1], 3)
    return d.among([lambda x: x[..., ::2], lambda x: x[..., 1:], lambda x: x[..., -1], lambda x: x[..., index],
                    lambda x: jnp.take(x, index % n[i], axis=i), lambda x: jax.lax.dynamic_index_in_dim(x, at, i),
                    lambda x: jax.lax.dynamic_slice_in_dim(x, at, 1, i), lambda x: jnp.split(x, [1], i)[0],
                    lambda x: jnp.array_split(x, 2, i), lambda x: jax.lax.index_in_dim(x, at, i, keepdims=False),
                    lambda x: x.at[..., 0].set(0.5), lambda x: x.at[0].set(x[-1]), lambda x: x[..., -1:],
                    lambda x: jnp.delete(x, at, i),
                    lambda x: x[jnp.array([0, -1])],
                    lambda x: x.at[..., jnp.array([0, 9])].get(mode="fill", fill_value=1.25),
                    lambda x: jnp.take(x, jnp.array([0, 9, -9]), axis=i, mode="wrap"),
                    lambda x: x.at[0, ..., 0].set(1.5)])  # fmt: skip


def repeated(d, a):
    i = int(d.rng.integers(a.ndim))
    p = [(int(k), int(m)) for k, m in d.rng.integers(0, 2, (a.ndim, 2))]
    mode = d.among(["constant", "edge", "reflect", "wrap", "symmetric"])
    return d.among([lambda x: jnp.tile(x, 2), lambda x: jnp.repeat(x, 2, i),
                    lambda x: jnp.broadcast_to(x, (2, *x.shape)),
                    lambda x: jnp.pad(x, p, mode=mode), lambda x: jnp.pad(x, 1, constant_values=0.5),
                    lambda x: jax.lax.pad(x, 0.5, [(k, m, 1) for k, m in p]),
                    lambda x: jnp.tril(x) if x.ndim > 1 else x, lambda x: jnp.concatenate([x, x * 2], i)])  # fmt: skip


def put_together(d, a):
    i = int(d.rng.integers(a.ndim))
    d.other(lambda s: len(s) == a.ndim and s[:i] + s[i + 1 :] == a.shape[:i] + a.shape[i + 1 :])
    d.other(lambda s: s == a.shape)
    c = d.numbers(*a.shape)
    return d.among([lambda x, y, z: jnp.concatenate([x, y], i), lambda x, y, z: jnp.stack([x, z], i),
                    lambda x, y, z: jnp.stack([z, c, x], -1), lambda x, y, z: jnp.concatenate([c, y, z], i),
                    lambda x, y, z: jnp.hstack([x, z]), lambda x, y, z: jnp.where(c > 0, x, z)])  # fmt: skip


def reduced(d, a):
    i, keep = int(d.rng.integers(a.ndim)), d.chance(0.5)
    dims = tuple(sorted({int(k) for k in d.rng.integers(0, a.ndim, 2)}))
    return d.among([lambda x: x.mean(dims, keepdims=keep), lambda x: x.sum(i, keepdims=keep), lambda x: x.mean()[None],
                    lambda x: x.max(dims, keepdims=keep), lambda x: x.min(i, keepdims=keep), lambda x: jnp.ptp(x, i),
                    lambda x: jnp.sort(x, i) if x.shape[i] < 6 else x, lambda x: jnp.average(x, i),
                    lambda x: x - x.mean(i, keepdims=True)])  # fmt: skip


def loops(d, a):
    c = d.numbers(*a.shape[1:])
    return d.among([lambda x: jax.lax.scan(lambda s, r: (jax.nn.relu(s + r), s - r), jnp.asarray(c), x)[1],
                    lambda x: jax.lax.fori_loop(0, 2, lambda i, r: jax.nn.relu(r) - 0.5 * i, x),
                    lambda x: jax.lax.map(jax.nn.relu, x), jax.vmap(lambda r: r * 2 - r.sum()),
                    lambda x: jax.lax.cond(True, jnp.negative, jnp.abs, x)])  # fmt: skip


KINDS = [
    *[activation] * 4, *[kink] * 2, *[arithmetic] * 2, *[joined] * 2, strange, *[matrices] * 3, *[conv] * 3,
    *[pool] * 2, *[moved] * 2, *[cut] * 2, repeated, *[put_together] * 2, reduced, loops,
]  # fmt: skip
