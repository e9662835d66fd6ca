"""Functions of JAX, and modules of Flax and Equinox, are read as what they compute in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hr2jax

pytestmark = pytest.mark.usefixtures("compiled_quickly")


@pytest.fixture(autouse=True)
def double():
    """JAX computes in float64."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


def check(model, shape, function=None, points=1000, **options):
    """The network of a function at 1000 points, against the function."""
    net = hr2jax.as_network(model, example=np.zeros(shape), **options)
    x = np.random.default_rng(1).standard_normal((points, *shape)) * 2.0
    x[0] = 0.0

    def flat(x):
        return jnp.concatenate([jnp.ravel(v) for v in jax.tree.leaves((function or model)(x))])

    expected = np.asarray(jax.jit(jax.vmap(flat))(x))
    value = net(x.reshape(points, -1))
    assert value.shape == expected.shape
    assert abs(value - expected).max() <= 1e-9 * max(1.0, abs(expected).max())
    return net


RNG = np.random.default_rng(0)
A, B, C = RNG.standard_normal((4, 6)), RNG.standard_normal((6, 3)), RNG.standard_normal(6)
K = RNG.standard_normal((3, 2, 2, 6))  # a kernel HWIO


def dense(activation):
    return lambda x: activation(x @ A + C) @ B


def conv(x, kernel=K, **options):
    found = {"window_strides": (1, 1), "padding": "SAME", "dimension_numbers": ("NHWC", "HWIO", "NHWC")} | options
    return jax.lax.conv_general_dilated(x, kernel, **found)


def window(x, init, function, size=(1, 2, 3, 1), strides=(1, 1, 2, 1), padding="SAME"):
    return jax.lax.reduce_window(x, init, function, size, strides, padding)


@jax.custom_vjp
def own_vjp(x):
    return jnp.maximum(x, 0.0) * 2.0


own_vjp.defvjp(lambda x: (own_vjp(x), None), lambda _, g: (g,))
VECTOR = {
    "relu": dense(jax.nn.relu), "leaky": dense(jax.nn.leaky_relu), "slope": dense(lambda x: jax.nn.leaky_relu(x, 0.3)),
    "relu6": dense(jax.nn.relu6), "hard": dense(lambda x: jax.nn.hard_tanh(jax.nn.hard_sigmoid(x) * 3 - 1)),
    "abs": dense(jnp.abs), "where": dense(lambda x: jnp.where(x > 0, x, 0.1 * x)),
    "where the other way": dense(lambda x: jnp.where(np.zeros(6) >= x, 0.5 * x, x * 2.0)),
    "where zero": dense(lambda x: jnp.where(x < 0, 0.0, x)),
    "where concave": dense(lambda x: jnp.where(x < 0, x, 0.25 * x)),
    "where prelu": dense(lambda x: jnp.where(x >= 0, x, C * x)),
    "where of another": dense(lambda x: jnp.where(-2.0 * x > 0, -2.0 * x, 0.5 * x)),
    "where minus": dense(lambda x: jnp.where(x >= 0, x, -x)),
    "clip": dense(lambda x: jnp.clip(x, -0.5, 0.25)), "clamp": dense(lambda x: jax.lax.clamp(-0.5, x, 0.25)),
    "one end": dense(lambda x: jnp.clip(x, None, 0.25)),
    "maxima": lambda x: jnp.maximum(x @ A, C) - jnp.minimum(x[0] * 2.0, x @ A / 3),
    "arithmetic": lambda x: (2 * x - 1) / 3 + (1 - x) * 0.1 - -x,
    "residual": lambda x: x + jax.nn.relu(x @ A) @ A.T, "jit": jax.jit(dense(jax.nn.relu)),
    "remat": jax.checkpoint(dense(jax.nn.relu)), "vjp": dense(own_vjp),
    "shared": lambda x: jax.nn.relu(jax.nn.relu(x @ A @ A.T) @ A @ A.T),
    "constants": lambda x: (x - C[:4]) / jnp.sqrt(C[:4] ** 2 + 1e-5) * jax.lax.rsqrt(C[:4] ** 2 + 0.1) * (C[0] > 0),
    "powers of constants": lambda x: x * (C[:4] / 3) ** 3 + (2 + C[:4] ** 2 / 7) ** -3,
    "outputs": lambda x: {"b": x @ A, "a": [jax.nn.relu(x[:2]), x.sum()]},
    "group sort": lambda x: jnp.stack([jnp.max(x.reshape(2, 2), 1), jnp.min(x.reshape(2, 2), 1)], 1).ravel(),
    "reduced": lambda x: jnp.stack([x.sum(), x.mean(), x.max(), x.min(), jnp.dot(x, C[:4])]),
    "indexed": lambda x: jnp.concatenate([x[::-1], x[1:3], x[jnp.array([3, 0, 0])], x[-1:], jnp.roll(x, 1)]),
    "filled": lambda x: x.at[jnp.array([0, 9, 3, -9])].get(mode="fill", fill_value=2.0),
    "clipped places": lambda x: jnp.take(x, jnp.array([0, 9]), mode="clip"),
    "added": lambda x: jnp.ones(5).at[jnp.array([0, 3, 9, 3])].add(jax.nn.relu(x)),
    "constants added": lambda x: x.at[jnp.array([1, 1])].add(C[:2]),
    "segments": lambda x: jax.ops.segment_sum(jnp.stack([x, 2 * x], 1), np.array([0, 2, 2, 0]), 3),
    "sums so far": lambda x: jnp.cumsum(jax.nn.relu(x)) + jax.lax.cumsum(x.reshape(2, 2), 0, reverse=True).ravel(),
    "constants' exponentials": lambda x: x * jnp.exp(jnp.asarray(C[:4])) + jnp.exp(0.3),
    "set": lambda x: x.at[1].set(2.0).at[jnp.array([0, 3])].set(jax.nn.relu(x[:2])) + x.at[2].set(x[0]),
    "padded": lambda x: jnp.pad(x, (1, 2), constant_values=0.5) + jax.lax.pad(x, 0.0, [(0, 0, 1)])[:7],
    "masked": lambda x: jnp.where(jnp.arange(4) % 2 == 0, x, jax.nn.relu(x)) * jnp.tril(jnp.ones((4, 4))),
    "einsum": lambda x: jnp.einsum("i,jik->kj", x, jnp.stack([A, A * 2.0])),
    "batched product": lambda x: jnp.einsum("bi,bij->bj", x.reshape(2, 2), A[:, :4].reshape(2, 2, 4)),
    "tiled": lambda x: jnp.tile(x, (2, 2)) + jnp.repeat(x, 2) + jnp.split(x, [1])[0],
    "stopped": lambda x: jax.lax.stop_gradient(x) + x.astype(float),
    "vmap": jax.vmap(lambda a: jax.nn.relu(a) - a),
    "dead": lambda x: (jnp.exp(x), x * 2.0)[1], "dynamic": lambda x: jax.lax.dynamic_slice(x, (1,), (2,)),
    "sorted": lambda x: jnp.sort(x.reshape(2, 2), 1), "not a number": lambda x: jnp.where(jnp.isnan(x), 0.0, x * 2),
    "constant maxima": lambda x: x / jnp.maximum(2.0, 3.0), "integers": lambda x: jnp.arange(8).reshape(2, 4) @ x,
    "scan": lambda x: jax.lax.scan(lambda c, a: (jax.nn.relu(c + a), c - a * C[0]), 0.5, x, reverse=True),
    "loop": lambda x: jax.lax.fori_loop(0, 3, lambda i, a: jax.nn.relu(a @ A @ A.T) - i, x),
    "map": lambda x: jax.lax.map(jax.nn.relu, x),
    "known branch": lambda x: jax.lax.cond(True, jnp.negative, jnp.abs, x),
    "updated": lambda x: jax.lax.dynamic_update_slice(x, x[:2] * 3.0, (2,)),
}  # fmt: skip
IMAGE = {
    "conv": lambda x: jax.nn.relu(conv(x)), "strides": lambda x: conv(x, window_strides=(2, 3), padding="VALID"),
    "dilated": lambda x: conv(x, rhs_dilation=(2, 1), padding=((1, 3), (0, -1))),
    "transposed": lambda x: jax.lax.conv_transpose(x, K, (2, 2), "SAME"),
    "base": lambda x: conv(x, lhs_dilation=(3, 2), padding=((1, 2), (0, 1))),
    "groups": lambda x: conv(x, K[:, :, :1], feature_group_count=2),
    "channels first": lambda x: conv(x.transpose(0, 3, 1, 2), dimension_numbers=("NCHW", "HWIO", "NCHW")),
    "max pool": lambda x: window(x, -jnp.inf, jax.lax.max), "min pool": lambda x: window(x, jnp.inf, jax.lax.min),
    "average pool": lambda x: window(x, 0.0, jax.lax.add) / window(jnp.ones_like(x), 0.0, jax.lax.add),
    "global": lambda x: jnp.concatenate([x.mean((1, 2)), x.max((1, 2))], -1), "flat": lambda x: x.reshape(1, -1) * 2,
    "resized": lambda x: jax.image.resize(x, (1, 12, 10, 2), "nearest"),
    "resized by a fraction": lambda x: jax.image.resize(x, (1, 7, 3, 2), "nearest"),
    "interpolated": lambda x: jax.image.resize(x, (1, 12, 10, 2), "linear"),
}  # fmt: skip


@pytest.mark.parametrize("name", VECTOR)
def test_functions(name):
    check(VECTOR[name], (4,))


@pytest.mark.parametrize("name", IMAGE)
def test_functions_of_images(name):
    check(IMAGE[name], (1, 6, 5, 2))


def test_a_chain_has_the_hash_of_its_arrays():
    for shape in ((4,), (1, 4)):
        net = hr2jax.as_network(dense(jax.nn.relu), example=np.zeros(shape))
        assert net.hash == hr2jax.Network([A.T, B.T], [C, np.zeros(3)]).hash


def test_numbers_of_a_float32_function_are_its_own():
    """0.01 in a function of float32 is the float32 next to it."""
    net = hr2jax.as_network(jax.nn.leaky_relu, example=np.zeros(3, "f4"))
    assert net.layers[0].parameters["negative_slope"] == float(np.float32(0.01))


SMOOTH = {
    "tanh": jnp.tanh, "sigmoid": jax.nn.sigmoid, "softplus": jax.nn.softplus, "elu": jax.nn.elu,
    "elu 2": lambda x: jax.nn.elu(x, 2.0), "selu": jax.nn.selu, "celu": lambda x: jax.nn.celu(x, 0.5),
    "silu": jax.nn.silu, "gelu": jax.nn.gelu, "gelu exact": lambda x: jax.nn.gelu(x, approximate=False),
    "mish": jax.nn.mish, "soft_sign": jax.nn.soft_sign, "hard_silu": jax.nn.hard_silu, "erf": jax.lax.erf,
    "gelu written out": lambda x: 0.5 * x * (1 + jnp.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "gelu with products": lambda x: x * (0.5 + 0.5 * jnp.tanh(x * np.sqrt(2 / np.pi) * (1 + 0.044715 * x * x))),
    "mish written out": lambda x: x * jnp.tanh(jax.nn.softplus(x)), "swish": lambda x: x * jax.nn.sigmoid(1.5 * x),
    "hard_silu written out": lambda x: x * jnp.clip(x + 3, 0, 6) / 6,
    "soft_sign written out": lambda x: x / (1 + jnp.abs(x)),
    "leaky by maximum": lambda x: jnp.maximum(x, 0.125 * x),
    "prelu written out": lambda x: jax.nn.relu(x) - 0.25 * jax.nn.relu(-x),
    "atan": jnp.arctan, "logaddexp": lambda x: jnp.logaddexp(x, 0.0),
}  # fmt: skip


@pytest.mark.parametrize("name", SMOOTH)
def test_smooth_activations_are_read_or_refused_by_name(name):
    try:
        check(dense(SMOOTH[name]), (1, 4))
    except ValueError as error:
        assert "smooth" in str(error)


@jax.jit
def leaky_relu(x):
    return jnp.where(x >= 0, x, 0.7 * x) + 1.0


@jax.jit
def softplus(x):
    return jnp.maximum(x, 0.0)


@jax.jit
def elu(x, alpha=1.0):
    return jnp.maximum(x, alpha)


def test_a_name_proves_nothing():
    """Functions of one's own that are called as jax.nn's are read as what they do."""
    for function in (leaky_relu, softplus, elu):
        check(dense(function), (4,))
    with pytest.raises(ValueError, match=r"'mul'.*GELU where a = sqrt"):
        hr2jax.as_network(lambda x: 0.5 * x * (1 + jnp.tanh(0.8 * (x + 0.045 * x**3))), example=np.zeros(4))


def test_logits():
    chain = hr2jax.as_network(dense(jax.nn.relu), example=np.zeros((1, 4)))
    for end in (jax.nn.softmax, jax.nn.log_softmax, jax.nn.sigmoid, lambda x: jax.nn.softmax(x, axis=1).reshape(-1)):
        function = lambda x, end=end: end(dense(jax.nn.relu)(x))  # noqa: E731
        with pytest.raises(ValueError, match="logits=True"):
            hr2jax.as_network(function, example=np.zeros((1, 4)))
        assert hr2jax.as_network(function, example=np.zeros((1, 4)), logits=True).hash == chain.hash


REFUSED = {
    "product": (lambda x: x * x, "multiplies"), "square": (lambda x: x**2, "multiplies"),
    "quotient": (lambda x: 1 / x, "divides by what the network computes"), "exp": (jnp.exp, "'exp'.*is not read"),
    "jump": (lambda x: jnp.where(x > 0, x, x + 1), "may jump"),
    "threshold": (lambda x: jnp.where(x > 1, x, 0.0), "jump"),
    "step": (lambda x: (x > 0) * x, "jumps"), "sign": (jnp.sign, "jumps"), "round": (jnp.round, "jumps"),
    "cast": (lambda x: x.astype(int) * 1.0, "jumps"), "argmax": (lambda x: x[jnp.argmax(x)], "jumps|multiple"),
    "argsort": (lambda x: x[jnp.argsort(x)], "one tensor by another"),
    "control": (lambda x: x if x[0] > 0 else -x, "cannot trace"),
    "while": (lambda x: jax.lax.while_loop(lambda a: a[0] < 9, lambda a: a + 1, x), "'while'.*unroll"),
    "cond": (lambda x: jax.lax.cond(x[0] > 0, lambda a: a, lambda a: -a, x), "jump"),
    "attention": (lambda x: jax.nn.softmax(x) @ x[:, None], "end of a network only|multiplies"),
    "norm": (lambda x: x / jnp.linalg.norm(x), "multiplies|root"), "constant": (lambda x: jnp.ones(3), "not computed"),
    "numpy": (lambda x: np.sin(np.asarray(x)), "cannot trace"), "nan": (lambda x: x + jnp.nan, "NaN|finite"),
    "complex": (lambda x: x * 1j, "complex128 of what"), "two": (lambda x, y: x + y, "cannot trace"),
    "random": (lambda x: x * jax.random.normal(jax.random.key(0), (4,)), "it is random"),
    "entries outside": (lambda x: x.at[jnp.array([0, 9])].get(mode="fill"), "outside its tensor"),
    "outside": (lambda x: jax.lax.pad(x, jnp.inf, [(1, 0, 0)]), "finite"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    function, message = REFUSED[name]
    with pytest.raises(ValueError, match=message) as caught:
        hr2jax.as_network(function, example=np.zeros(4))
    assert "\n" not in str(caught.value)


def test_examples_and_options():
    with pytest.raises(ValueError, match="give example="):
        hr2jax.as_network(jax.nn.relu)
    with pytest.raises(ValueError, match="its shape is"):
        hr2jax.as_network(jax.nn.relu, example=1.0)
    with pytest.raises(ValueError, match="says itself"):
        hr2jax.as_network(jax.nn.relu, example=np.zeros(3), activation="relu")
    with pytest.raises(ValueError, match=r"but a type was given"):
        hr2jax.as_network(dict)


# Flax and Equinox


def norms(variables):
    """Statistics and scales that are not 0 and 1."""
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda v: jnp.asarray(abs(rng.standard_normal(v.shape)) + 0.2), variables)


@pytest.mark.framework("flax")
def test_linen():
    from flax import linen as nn

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x, train=False):
            x = nn.relu(nn.BatchNorm(use_running_average=not train)(nn.Conv(3, (3, 3), strides=2)(x)))
            x = nn.avg_pool(nn.max_pool(x, (2, 2)), (2, 2), padding="SAME")
            x = nn.Dropout(0.5, deterministic=not train)(x.reshape((x.shape[0], -1)))
            x = nn.PReLU()(nn.Dense(5)(x))
            return nn.Dense(2, use_bias=False)(nn.leaky_relu(nn.WeightNorm(nn.Dense(4))(x)))

    net = Net()
    shape = (1, 9, 8, 2)
    variables = norms(net.init(jax.random.key(0), jnp.zeros(shape)))
    check((net, variables), shape, lambda x: net.apply(variables, x))
    check(net.bind(variables), shape)
    with pytest.raises(ValueError, match=r"module\.bind\(variables\) or lambda x: module\.apply\(variables, x\)"):
        hr2jax.as_network(net, example=np.zeros(shape))
    mlp = nn.Sequential([nn.Dense(5), nn.relu, nn.Dense(3)])
    held = mlp.init(jax.random.key(0), jnp.zeros((1, 4)))
    assert (
        check((mlp, held["params"]), (1, 4), lambda x: mlp.apply(held, x)).hash
        == hr2jax.as_network((mlp, held), example=np.zeros((1, 4))).hash
    )
    with pytest.raises(ValueError, match=r"cannot trace the module Sequential"):
        hr2jax.as_network((mlp, {"params": {}}), example=np.zeros((1, 4)))
    with pytest.raises(ValueError, match=r"\(module, variables\)"):
        hr2jax.as_network((mlp, 3), example=np.zeros((1, 4)))
    norm = nn.BatchNorm()
    with pytest.raises(ValueError, match="use_running_average"):
        hr2jax.as_network((norm, norm.init(jax.random.key(0), jnp.zeros((1, 4)), True)), example=np.zeros((1, 4)))
    training = nn.BatchNorm(use_running_average=False)
    with pytest.raises(ValueError, match="cannot trace"):
        hr2jax.as_network((training, training.init(jax.random.key(0), jnp.zeros((1, 4)))), example=np.zeros((1, 4)))


@pytest.mark.filterwarnings("ignore:jax.(array_ref|ArrayRef):DeprecationWarning")  # nnx's own, in older versions
@pytest.mark.framework("flax")
def test_nnx():
    from flax import nnx

    class Net(nnx.Module):
        def __init__(self, rngs):
            self.conv = nnx.Conv(2, 3, (3, 3), param_dtype=float, rngs=rngs)
            self.norm = nnx.BatchNorm(3, param_dtype=float, rngs=rngs)
            self.dropout = nnx.Dropout(0.5, rngs=rngs)
            self.dense = nnx.Linear(3 * 12, 4, param_dtype=float, rngs=rngs)

        def __call__(self, x):
            x = nnx.max_pool(nnx.relu(self.norm(self.conv(x))), (2, 2), strides=(2, 2))
            return self.dense(self.dropout(x.reshape((x.shape[0], -1))))

    net = Net(nnx.Rngs(0))
    net.norm.mean, net.norm.var = (nnx.BatchStat(jnp.array(v)) for v in ([1.0, -2.0, 0.5], [0.3, 2.0, 1.0]))
    with pytest.raises(ValueError, match=r"training mode.*\.eval\(\)"):
        hr2jax.as_network(net, example=np.zeros((1, 8, 6, 2)))
    net.eval()
    check(net, (1, 8, 6, 2))


@pytest.mark.framework("equinox")
def test_equinox():
    import equinox as eqx

    keys = jax.random.split(jax.random.key(0), 4)
    check(eqx.nn.MLP(4, 3, 6, 2, key=keys[0]), (4,))
    first, last = eqx.nn.Linear(4, 5, key=keys[0]), eqx.nn.Linear(5, 2, key=keys[1])
    check(eqx.nn.Sequential([first, eqx.nn.Lambda(eqx.nn.PReLU(0.3)), last]), (4,))
    cnn = eqx.nn.Sequential([
        eqx.nn.Conv2d(2, 4, 3, padding=1, stride=2, groups=2, key=keys[0]), eqx.nn.Lambda(jax.nn.relu),
        eqx.nn.MaxPool2d(2), eqx.nn.AvgPool2d(2, 1, padding=1), eqx.nn.ConvTranspose2d(4, 2, 2, key=keys[1]),
        eqx.nn.Lambda(jnp.ravel), eqx.nn.Linear(50, 2, key=keys[2]), eqx.nn.Dropout(0.5, inference=True),
    ])  # fmt: skip
    check(cnn, (2, 7, 7))
    with pytest.raises(ValueError, match="cannot trace"):
        hr2jax.as_network(eqx.nn.Dropout(0.5), example=np.zeros(4))
