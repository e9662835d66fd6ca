"""Random functional models of Keras: some seven layers and operations, shared, residual and with several outputs."""

import keras
import numpy as np

L, ops = keras.layers, keras.ops
LARGEST = 200  # entries of a tensor
SHAPES = [(4,), (3, 4), (6, 2), (4, 5, 2), (5, 4, 4), (6,)]
ACTIVATIONS = ["relu", "relu", "leaky_relu", "relu6", "hard_sigmoid", "hard_tanh", "tanh", "softplus", "softsign",
               "elu", "selu", "celu", "silu", "gelu", "mish", "hard_silu", "linear", None]  # fmt: skip


class Draw:
    """A model that grows; `strange` holds the names of what may be refused."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        keras.utils.set_random_seed(seed)
        self.names, self.strange = [], []
        shape = SHAPES[self.rng.integers(len(SHAPES))]
        self.values = [keras.Input(shape)]
        for _ in range(int(self.rng.integers(2, 8))):
            self._grow()
        outputs = [self.values[-1]] + [v for v in self.values[1:-1] if self.rng.random() < 0.1]
        self.model = keras.Model(self.values[0], outputs if len(outputs) > 1 else outputs[0])

    def _grow(self):
        for _ in range(100):
            x = self.values[-1] if self.chance(0.7) else self.among(self.values)
            kind = KINDS[self.rng.integers(len(KINDS))]
            self.is_strange = False
            try:
                found = kind(self, x)
            except (ValueError, TypeError, AssertionError, ZeroDivisionError):
                continue
            if found is not None and None not in found.shape[1:] and 0 < np.prod(found.shape[1:]) <= LARGEST:
                self.values.append(found)
                self.names.append(kind.__name__)
                if self.is_strange:
                    self.strange.append(kind.__name__)
                return

    def chance(self, share):
        """True so often."""
        return bool(self.rng.random() < share)

    def among(self, options):
        """One of them."""
        return options[int(self.rng.integers(len(options)))]

    def sizes(self, dims, most=3):
        """One number a dimension."""
        return self.rng.integers(1, most + 1, dims).tolist()

    def same(self, x, count):
        """Tensors of the same shape, x among them."""
        found = [v for v in self.values if v.shape == x.shape]
        return [x, *(self.among(found) for _ in range(count))]


def dense(d, x):
    layer = L.Dense(int(d.rng.integers(1, 6)), activation=d.among(ACTIVATIONS), use_bias=d.chance(0.8))
    return layer(x)


def shared(d, x):
    layer = L.Dense(x.shape[-1], activation=d.among(ACTIVATIONS))
    return layer(layer(x))


def block(d, x):
    inner = L.Dense(x.shape[-1])(L.Dense(int(d.rng.integers(1, 5)), activation="relu")(x))
    return L.Activation("relu")(L.Add()([x, inner])) if d.chance(0.5) else L.Add()([x, inner])


def activation(d, x):
    kinds = [L.ReLU(), L.ReLU(max_value=0.75), L.ReLU(negative_slope=0.2), L.ReLU(max_value=2.0, negative_slope=0.1),
             L.LeakyReLU(negative_slope=0.3), L.PReLU(), L.ELU(), L.ELU(alpha=0.5), L.Dropout(0.3), L.Identity(),
             L.GaussianNoise(0.1), L.SpatialDropout1D(0.2) if len(x.shape) == 3 else L.AlphaDropout(0.1),
             L.PReLU(shared_axes=[1]), L.Activation(d.among(ACTIVATIONS[:-1]))]  # fmt: skip
    return d.among(kinds)(x)


def norm(d, x):
    axis = d.among([-1, *range(1, len(x.shape))])
    return L.BatchNormalization(axis=axis, center=d.chance(0.7), scale=d.chance(0.7), epsilon=d.among([1e-3, 0.1]))(x)


def joins(d, x):
    kind = d.among([L.Add, L.Average, L.Maximum, L.Minimum, L.Subtract])
    return kind()(d.same(x, 1 if kind is L.Subtract else int(d.rng.integers(1, 3))))


def concatenate(d, x):
    axis = int(d.rng.integers(1, len(x.shape)))
    fits = [v for v in d.values if len(v.shape) == len(x.shape) and
            v.shape[:axis] + v.shape[axis + 1 :] == x.shape[:axis] + x.shape[axis + 1 :]]  # fmt: skip
    return L.Concatenate(axis=axis)([x, d.among(fits)])


def _dims(x):
    return len(x.shape) - 2


def conv(d, x):
    dims = _dims(x)
    if dims not in (1, 2):
        return None
    groups = d.among([g for g in (1, 2) if x.shape[-1] % g == 0])
    given = {"padding": d.among(["same", "valid"] + ["causal"] * (dims == 1)), "activation": d.among(ACTIVATIONS),
             "use_bias": d.chance(0.7), "groups": groups}  # fmt: skip
    given |= {"dilation_rate": d.sizes(dims, 2)} if d.chance(0.3) else {"strides": d.sizes(dims, 2)}
    return (L.Conv1D, L.Conv2D)[dims - 1](groups * int(d.rng.integers(1, 3)), d.sizes(dims), **given)(x)


def other_conv(d, x):
    dims = _dims(x)
    if dims not in (1, 2):
        return None
    padding, strides = d.among(["same", "valid"]), int(d.rng.integers(1, 3))
    if d.chance(0.3):
        return (L.Conv1DTranspose, L.Conv2DTranspose)[dims - 1](2, d.sizes(dims), strides, padding)(x)
    if d.chance(0.5):
        kind = (L.DepthwiseConv1D, L.DepthwiseConv2D)[dims - 1]
        return kind(d.among([1, 2, 3]), strides, padding, depth_multiplier=int(d.rng.integers(1, 3)))(x)
    kind = (L.SeparableConv1D, L.SeparableConv2D)[dims - 1]
    return kind(int(d.rng.integers(1, 4)), d.among([1, 2, 3]), strides, padding)(x)


def pool(d, x):
    dims = _dims(x)
    if dims not in (1, 2):
        return None
    kinds = [(L.MaxPooling1D, L.MaxPooling2D), (L.AveragePooling1D, L.AveragePooling2D)]
    size = d.sizes(dims) if dims == 2 else int(d.rng.integers(1, 4))
    strides = d.sizes(dims, 2) if dims == 2 else int(d.rng.integers(1, 3))
    return d.among(kinds)[dims - 1](size, strides, d.among(["same", "valid"]))(x)


def global_pool(d, x):
    dims = _dims(x)
    if dims not in (1, 2):
        return None
    kinds = [(L.GlobalMaxPooling1D, L.GlobalMaxPooling2D), (L.GlobalAveragePooling1D, L.GlobalAveragePooling2D)]
    return d.among(kinds)[dims - 1](keepdims=d.chance(0.4))(x)


def moved(d, x):
    n = int(np.prod(x.shape[1:]))
    kinds = [L.Flatten(), L.Reshape((n, 1)), L.Reshape((-1,)), L.Permute([*(d.rng.permutation(len(x.shape) - 1) + 1)])]
    if len(x.shape) == 2:
        kinds += [L.RepeatVector(2)]
    if _dims(x) == 1:
        kinds += [L.ZeroPadding1D((1, 2)), L.Cropping1D(1), L.UpSampling1D(2)]
    if _dims(x) == 2:
        kinds += [L.ZeroPadding2D(((1, 0), (0, 2))), L.Cropping2D(((1, 0), (0, 1))), L.UpSampling2D((1, 2))]
    return d.among(kinds)(x)


def preprocessing(d, x):
    c = d.rng.standard_normal(x.shape[-1])
    return d.among([L.Rescaling(1 / 3, offset=-0.5), L.Normalization(mean=c, variance=abs(c) + 0.1),
                    L.Normalization(mean=0.5, variance=2.0, axis=None)])(x)  # fmt: skip


def operations(d, x):
    y = d.same(x, 1)[1]
    return d.among([lambda: ops.relu(x) - x, lambda: ops.maximum(x, 0.3 * y), lambda: ops.abs(x) + y / 3,
                    lambda: 2.0 - x, lambda: x * 0.25, lambda: -x, lambda: ops.minimum(x, y),
                    lambda: ops.maximum(x, 0.1)])()  # fmt: skip


def strange(d, x):
    """What may be refused, but must not be another function."""
    d.is_strange = True
    y = d.same(x, 1)[1]
    return d.among([
        lambda: L.Multiply()([x, y]), lambda: L.LayerNormalization()(x), lambda: L.Softmax()(x), lambda: x * y,
        lambda: ops.exp(x), lambda: L.Activation("sigmoid")(x), lambda: ops.sum(x, -1, keepdims=True),
        lambda: ops.mean(x, 1), lambda: ops.concatenate([x, y], -1), lambda: ops.reshape(x, (-1, x.shape[-1])),
        lambda: L.UpSampling2D(2, interpolation="bilinear")(x), lambda: ops.cast(x, "float16"), lambda: x[:, :1],
        lambda: L.Dense(2, activation="exponential")(x), lambda: L.Dot(1)([x, y]), lambda: ops.where(x > 0, x, y),
        lambda: L.UnitNormalization()(x), lambda: ops.clip(x, -0.5, 0.5), lambda: L.Activation("log_sigmoid")(x),
        lambda: L.Activation("tanh_shrink")(x), lambda: L.GroupNormalization(1)(x), lambda: ops.transpose(x),
    ])()  # fmt: skip


KINDS = [
    *[dense] * 3, shared, *[block] * 2, *[activation] * 2, norm, *[joins] * 2, concatenate, *[conv] * 4,
    *[other_conv] * 2, *[pool] * 2, global_pool, *[moved] * 2, preprocessing, *[operations] * 2, strange,
]  # fmt: skip
