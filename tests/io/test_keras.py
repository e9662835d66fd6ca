"""Models of Keras, live and as files, are read as what they compute in float64."""

import io
import json
import os
import warnings
import zipfile

import numpy as np
import pytest

import hr2jax
from tests.reference.frameworks import framework

os.environ.setdefault("KERAS_BACKEND", "jax")
keras = framework("keras")

pytestmark = [
    pytest.mark.framework("keras"),  # whose variables warn of NumPy 2:
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
]
L = keras.layers


@pytest.fixture(autouse=True)
def double(monkeypatch):
    """Keras and its backend compute in float64, means and BatchNormalization too."""
    import jax
    from keras.src.backend.common import dtypes

    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")
    kept, before = keras.config.floatx(), jax.config.jax_enable_x64
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")  # it is kept, from the first layer on
    jax.config.update("jax_enable_x64", True)
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_floatx(kept)
    keras.config.set_dtype_policy(kept)
    jax.config.update("jax_enable_x64", before)


def shaken(model):
    """Every weight another number than its initializer's, variances positive."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if "seed" in weight.path:
            continue
        value = rng.standard_normal(weight.shape) * 0.6
        weight.assign(abs(value) + 0.2 if "variance" in weight.path else value)
    return model


def check(model, points=1000, expected=None, **options):
    """The network of a model at 1000 points, against the model in inference."""
    net = hr2jax.as_network(model, **options)
    shape = options["example"].shape[1:] if "example" in options else model.inputs[0].shape[1:]
    x = np.random.default_rng(1).standard_normal((points, *shape)) * 2.0
    found = (expected or model)(x)
    found = found if isinstance(found, list) else [found]
    expected = np.concatenate([np.asarray(v).reshape(points, -1) for v in found], axis=1)
    value = net(x.reshape(points, -1))
    assert value.shape == expected.shape
    assert abs(value - expected).max() <= 1e-9 * max(1.0, abs(expected).max())
    return net


def sequential(shape, *layers):
    return shaken(keras.Sequential([keras.Input(shape), *layers]))


IMG, ROW = (6, 5, 4), (7, 4)
SEQUENTIAL = {
    "dense": lambda: ((4,), L.Dense(6, activation="relu"), L.Dropout(0.5), L.Dense(3, use_bias=False)),
    "tokens": lambda: ((3, 4), L.Dense(6, activation="relu"), L.Dense(2)),
    "activations": lambda: ((4,), L.Dense(5, activation="leaky_relu"), L.Dense(5, activation="relu6"),
                            L.Dense(5, activation="hard_sigmoid"), L.Activation("hard_tanh"), L.Dense(2, "linear")),
    "activation objects": lambda: ((4,), L.Dense(5, activation=L.ReLU(max_value=0.7, negative_slope=0.1)),
                                   L.Dense(4, activation=keras.activations.relu), L.Activation(L.LeakyReLU())),
    "relus": lambda: ((4,), L.Dense(5), L.ReLU(), L.Dense(5), L.ReLU(max_value=0.5), L.Dense(5),
                      L.ReLU(negative_slope=0.25), L.Dense(4), L.LeakyReLU(negative_slope=0.05), L.Dense(2)),
    "prelu": lambda: ((6, 5, 2), L.PReLU(shared_axes=[1, 2]), L.Flatten(), L.Dense(4), L.PReLU()),
    "conv2d": lambda: (IMG, L.Conv2D(6, 3, padding="same", strides=2, activation="relu"),
                       L.Conv2D(4, (2, 1), groups=2, use_bias=False), L.Flatten(), L.Dense(3)),
    "dilation": lambda: (IMG, L.Conv2D(3, 2, dilation_rate=(2, 3)), L.ReLU(), L.Conv2D(2, (3, 2), padding="same",
                                                                                      dilation_rate=2)),
    "conv1d": lambda: (ROW, L.Conv1D(3, 3, padding="causal", dilation_rate=2), L.ReLU(), L.Conv1D(2, 2, strides=2)),
    "even kernel": lambda: (IMG, L.Conv2D(3, (4, 2), strides=(3, 1), padding="same"), L.ReLU()),
    "depthwise": lambda: (IMG, L.DepthwiseConv2D(3, padding="same", depth_multiplier=2, activation="relu"),
                          L.SeparableConv2D(3, 2, depth_multiplier=2), L.DepthwiseConv2D(2, strides=2, use_bias=False)),
    "transposed": lambda: (IMG, L.Conv2DTranspose(3, 3, 2, "same", activation="relu"), L.ReLU(),
                           L.Conv2DTranspose(2, (2, 4), (1, 3), use_bias=False)),
    "transposed 2": lambda: (IMG, L.Conv2DTranspose(2, (1, 2), (2, 3), "same"), L.ReLU(),
                             L.Conv2DTranspose(2, 3, dilation_rate=2, padding="same"), L.ReLU(),
                             L.Conv2DTranspose(2, 3, 2, "same", output_padding=1)),
    "transposed 1d": lambda: (ROW, L.Conv1DTranspose(3, 4, 3), L.ReLU(), L.Conv1DTranspose(2, 2, 3, "same"),
                              L.ReLU(), L.Conv1DTranspose(2, 3, 2, output_padding=1)),
    "batch norm": lambda: (IMG, L.BatchNormalization(), L.Conv2D(3, 2), L.BatchNormalization(scale=False), L.ReLU(),
                           L.BatchNormalization(axis=1, center=False, epsilon=0.1), L.Flatten(),
                           L.BatchNormalization(), L.Dense(3)),
    "max pool": lambda: (IMG, L.MaxPooling2D(2), L.MaxPooling2D((2, 3), strides=1, padding="same")),
    "average pool": lambda: (IMG, L.AveragePooling2D(2, padding="same"), L.ReLU(), L.AveragePooling2D((2, 1), 1)),
    "pools 1d": lambda: (ROW, L.MaxPooling1D(3, 2, "same"), L.AveragePooling1D(2), L.GlobalMaxPooling1D()),
    "global": lambda: (IMG, L.Conv2D(3, 2, activation="relu"), L.GlobalAveragePooling2D(), L.Dense(2)),
    "global max": lambda: (IMG, L.GlobalMaxPooling2D(keepdims=True), L.Flatten()),
    "moved": lambda: (IMG, L.Permute((3, 1, 2)), L.Reshape((2, -1)), L.ReLU(), L.Reshape((6, 10, 2)),
                      L.ZeroPadding2D(((1, 0), (2, 3))), L.Cropping2D(((0, 1), (1, 2))), L.UpSampling2D((2, 1))),
    "interpolated": lambda: (IMG, L.UpSampling2D((2, 3), interpolation="bilinear"), L.Activation("log_sigmoid")),
    "moved 1d": lambda: (ROW, L.ZeroPadding1D((1, 2)), L.Cropping1D(1), L.UpSampling1D(2), L.ReLU(), L.Flatten(),
                         L.RepeatVector(2)),
    "preprocessing": lambda: (IMG, L.Rescaling(1 / 3, offset=-0.5), L.Rescaling([0.1, 0.2, 0.3, 7.0]),
                              L.Normalization(mean=[0.1, 2.0, 3.0, -1.0], variance=[0.3, 0.0, 2.0, 1e-20]),
                              L.Normalization(mean=1.5, variance=0.3, invert=True, axis=None), L.Conv2D(2, 2)),
    "noise": lambda: ((4,), L.GaussianNoise(0.5), L.GaussianDropout(0.5), L.Dense(3), L.ActivityRegularization(0.1),
                      L.Identity(), L.ReLU()),
    "nested": lambda: ((4,), keras.Sequential([keras.Input((4,)), L.Dense(5, activation="relu")]), L.Dense(2)),
}  # fmt: skip


@pytest.mark.parametrize("name", SEQUENTIAL)
def test_sequential(name):
    check(sequential(*SEQUENTIAL[name]()))


def functional(function, shape=(4,)):
    x = keras.Input(shape)
    return shaken(keras.Model(x, function(x)))


def siamese(x):
    dense = L.Dense(4, activation="relu")
    return L.Concatenate()([dense(x), dense(dense(x))])


def submodel(x):
    inner_x = keras.Input((4,))
    inner = keras.Model(inner_x, [L.Dense(4, activation="relu")(inner_x), L.Dense(4)(inner_x)])
    a, b = inner(x)
    c, d = inner(a)
    return L.Add()([a, b, c, d])


FUNCTIONAL = {
    "residual": lambda x: L.Add()([x, L.Dense(4)(L.Dense(6, activation="relu")(x))]),
    "siamese": siamese,
    "submodel": submodel,
    "joins": lambda x: L.Concatenate()([L.Subtract()([x, L.Dense(4)(x)]),
                                        L.Maximum()([x, L.Dense(4)(x), L.Dense(4)(x)]),
                                        L.Minimum()([x, L.Dense(4)(x)]), L.Average()([x, L.Dense(4)(x), x])]),
    "outputs": lambda x: [L.Dense(3)(x), L.Dense(2, activation="relu")(x)],
    "operations": lambda x: keras.ops.maximum(x * 0.3 + 1.0, 2.0 - x / 3.0) - keras.ops.absolute(keras.ops.relu(-x)),
    "mask": lambda x: L.Dense(3)(x, training=False),
    "two inputs within": lambda x: keras.Model([a := keras.Input((4,)), b := keras.Input((3,))],
                                               L.Concatenate()([L.ReLU()(b), a]))([x, L.Dense(3)(x)]),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONAL)
def test_functional(name):
    check(functional(FUNCTIONAL[name]))


def test_channels_first():
    """Only the network is asked: XLA's CPU knows no such convolution, so the same weights are taken channels last."""
    last = sequential((6, 5, 2), L.Conv2D(3, 2, activation="relu"), L.MaxPooling2D(2), L.Permute((3, 1, 2)),
                      L.Flatten(), L.Dense(2))  # fmt: skip
    first = keras.Sequential([
        keras.Input((2, 6, 5)), L.Conv2D(3, 2, activation="relu", data_format="channels_first"),
        L.MaxPooling2D(2, data_format="channels_first"), L.Flatten(), L.Dense(2),
    ])  # fmt: skip
    first.set_weights(last.get_weights())
    net = hr2jax.as_network(first)
    x = np.random.default_rng(1).standard_normal((1000, 2, 6, 5))
    np.testing.assert_allclose(net(x.reshape(1000, -1)), np.asarray(last(x.transpose(0, 2, 3, 1))), atol=1e-9)


def test_a_chain_has_the_hash_of_its_arrays():
    model = sequential((4,), L.Dense(6, activation="relu"), L.Dense(3))
    weights = model.get_weights()
    assert hr2jax.as_network(model).hash == hr2jax.Network([w.T for w in weights[::2]], weights[1::2]).hash


def test_float32_and_mixed_precision_weights_are_exact_reals():
    keras.config.set_floatx("float32")
    for policy in ("float32", "mixed_bfloat16"):
        layers = [L.Dense(6, activation="relu", dtype=policy), L.Dense(3, dtype=policy)]
        model = sequential((4,), *layers)
        weights = model.get_weights()
        assert hr2jax.as_network(model).hash == hr2jax.Network([w.T for w in weights[::2]], weights[1::2]).hash


def test_an_input_whose_shape_is_not_said_needs_an_example():
    model = sequential((None, None, 2), L.Conv2D(3, 2, activation="relu"), L.GlobalAveragePooling2D())
    with pytest.raises(ValueError, match="give example="):
        hr2jax.as_network(model)
    check(model, example=np.zeros((1, 5, 4, 2)))
    with pytest.raises(ValueError, match=r"shape is \(1, 5, 4, 3\)"):
        hr2jax.as_network(model, example=np.zeros((1, 5, 4, 3)))


@pytest.mark.parametrize("end", ["softmax", "sigmoid", "log_softmax"])
def test_logits(end):
    model = sequential((4,), L.Dense(5, activation="relu"), L.Dense(3))
    ended = keras.Sequential([*model.layers, L.Activation(end)])
    ended(np.zeros((1, 4)))
    with pytest.raises(ValueError, match="logits=True"):
        hr2jax.as_network(ended)
    assert hr2jax.as_network(ended, logits=True).hash == hr2jax.as_network(model).hash


class Own(keras.Model):
    def call(self, x):
        return x * x


class OwnDense(L.Dense):
    def call(self, x):
        return super().call(x) ** 2


def pinned():
    model = sequential((4,), L.Dense(3))
    model.layers[0].call = lambda x: x * x
    return model


REFUSED = {
    "subclass": (Own, "call may compute anything"),
    "subclassed layer": (lambda: sequential((4,), OwnDense(3)), "OwnDense.*none of Keras's own"),
    "lambda": (lambda: sequential((4,), L.Lambda(lambda x: x * 2)), "Lambda.*Python code"),
    "function": (lambda: sequential((4,), L.Dense(3, activation=lambda x: x)), "none of keras.activations"),
    "jump": (lambda: sequential((4,), L.ReLU(threshold=1.0)), "threshold 1.0 makes it jump"),
    "layer norm": (lambda: sequential((4,), L.LayerNormalization()), "divides by what the network computes"),
    "product": (lambda: functional(lambda x: L.Multiply()([x, x])), "multiplies values"),
    "product op": (lambda: functional(lambda x: x * x), "multiplies two values"),
    "op": (lambda: functional(keras.ops.exp), "keras.ops that is not read"),
    "training": (lambda: functional(lambda x: L.BatchNormalization()(x, training=True)), "training=True"),
    "training dropout": (lambda: functional(lambda x: L.Dropout(0.5)(x, training=True)), "training=True"),
    "unbuilt": (lambda: keras.Sequential([L.Dense(3)]), "not built"),
    "two inputs": (lambda: keras.Model([a := keras.Input((2,)), b := keras.Input((2,))], L.Add()([a, b])), "2 tensors"),
    "integers": (lambda: sequential((4,), L.Embedding(5, 2)), "Embedding|floats"),
    "upsampling": (lambda: sequential(IMG, L.UpSampling2D(2, interpolation="bicubic")), "'bicubic' is not read"),
    "own call": (pinned, "call of its own"),
    "attention": (lambda: functional(lambda x: L.MultiHeadAttention(2, 4)(x, x), ROW), "HeadAttention.*multiplies"),
    "recurrent": (lambda: sequential(ROW, L.LSTM(2)), "LSTM.*not read"),
    "exponential": (lambda: sequential((4,), L.Dense(2, activation="exponential")), "'exponential' is not read"),
    "softmax inside": (lambda: sequential((4,), L.Softmax(), L.Dense(2)), "at the end of a network only"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    make, message = REFUSED[name]
    with pytest.raises(ValueError, match=message) as caught:
        hr2jax.as_network(make())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "softplus", "softsign", "elu", "selu", "celu", "silu",
                                        "gelu", "mish", "hard_silu"])  # fmt: skip
def test_smooth_activations_are_read_or_refused_by_name(activation):
    model = sequential((4,), L.Dense(5, activation=activation), L.Dense(3))
    try:
        check(model)
    except ValueError as error:
        assert "smooth" in str(error)


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".KERAS"])
def test_files(tmp_path, suffix):
    model = functional(lambda x: L.Dense(3)(L.Add()([x, L.Dense(4, activation="relu")(x)])))
    model.compile("adam", "mse")
    path = tmp_path / f"model{suffix.lower()}"
    model.save(path)
    path = path.rename(tmp_path / f"other{suffix}")
    assert hr2jax.load(path).hash == hr2jax.as_network(path).hash == hr2jax.as_network(model).hash


def test_a_convolutional_file(tmp_path):
    model = sequential(*SEQUENTIAL["batch norm"]())
    model.save(tmp_path / "model.keras")
    assert hr2jax.load(tmp_path / "model.keras").hash == hr2jax.as_network(model).hash


def test_files_that_hold_code_are_refused_before_keras_sees_them(tmp_path, monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError("Keras was given the file")

    monkeypatch.setattr(keras.saving, "load_model", never)
    for name, layer, what in (("lambda", L.Lambda(lambda x: x * 2), "Lambda"), ("own", OwnDense(3), "OwnDense"),
                              ("function", L.Dense(3, activation=lambda x: x), "lambda|function")):  # fmt: skip
        for suffix in (".keras", ".h5"):
            path = tmp_path / f"{name}{suffix}"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that a lambda is unsafe
                sequential((4,), layer).save(path)
            with pytest.raises(ValueError, match=what):
                hr2jax.load(path)


def test_objects_of_other_modules_are_refused(tmp_path):
    sequential((4,), L.Dense(3)).save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    for change in ({"module": "os", "class_name": "Dense"}, {"module": "builtins", "class_name": "function"},
                   {"registered_name": "Custom>Dense"}, {"class_name": "Unknown"}):  # fmt: skip
        config = json.loads(parts["config.json"])
        config["config"]["layers"][1].update(change)
        held = io.BytesIO()
        with zipfile.ZipFile(held, "w") as archive:
            for name, part in {**parts, "config.json": json.dumps(config).encode()}.items():
                archive.writestr(name, part)
        (tmp_path / "other.keras").write_bytes(held.getvalue())
        with pytest.raises(ValueError, match="none of the layers that are read"):
            hr2jax.load(tmp_path / "other.keras")


def test_what_is_no_whole_file(tmp_path):
    model = sequential((4,), L.Dense(3))
    model.save(tmp_path / "model.keras")
    whole = (tmp_path / "model.keras").read_bytes()
    model.save_weights(tmp_path / "only.weights.h5")
    for name, held, message in (("a.keras", whole[: len(whole) // 2], "no whole file"),
                                ("b.h5", whole, "no whole file"), ("c.h5", (tmp_path / "only.weights.h5").read_bytes(),
                                                                          "weights without")):  # fmt: skip
        (tmp_path / name).write_bytes(held)
        with pytest.raises(ValueError, match=message) as caught:
            hr2jax.load(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_what_keras_computes_otherwise_with_pytorch_is_refused(monkeypatch):
    """Its AveragePooling pads with the images' last entries, where padding is uneven, and averages these too."""
    even = sequential(IMG, L.AveragePooling2D((3, 1), 1, "same"), L.Flatten(), L.Dense(1))
    uneven = sequential(IMG, L.AveragePooling2D(3, (2, 1), "same"), L.Flatten(), L.Dense(1))
    turned = sequential(IMG, L.Conv2DTranspose(2, 3, 2, "same"), L.Flatten(), L.Dense(1))
    for model in (even, uneven, turned):
        check(model, 10)
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    hr2jax.as_network(even)
    for model in (uneven, turned):
        with pytest.raises(ValueError, match=r"with PyTorch .* other backends; load the model with KERAS_BACKEND=jax"):
            hr2jax.as_network(model)
