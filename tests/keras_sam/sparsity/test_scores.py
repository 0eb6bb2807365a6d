"""Scores against computations that know nothing of Keras: NumPy, finite differences, by hand."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_sam import SAMModel, sparsity
from keras_sam.sparsity.objective import Objective, batches
from keras_sam.sparsity.scores import SCORES
from tests.keras_sam.sparsity.nets import dense_net, many_layers

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(7, 3)), RNG.normal(size=(7, 2))


@pytest.fixture
def float64():
    """Everything in float64, losses too, so that finite differences are accurate."""
    policy = keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy(policy)


def tanh_net():
    """3 -> 4 -> 2 in float64, with biases that are not zero."""
    net = dense_net(4, 2, inputs=3, activation="tanh")
    net.set_weights([np.random.default_rng(1).normal(size=w.shape) for w in net.get_weights()])
    return net


def kernel_paths(net):
    return [v.path for v in net.trainable_variables if v.name == "kernel"]


def loss_of_kernels(net, x, y):
    """L as a NumPy function of both kernels, one flat vector."""
    w1, b1, w2, b2 = (w.astype(float) for w in net.get_weights())

    def loss(flat):
        k1, k2 = flat[: w1.size].reshape(w1.shape), flat[w1.size :].reshape(w2.shape)
        return np.mean((np.tanh(np.tanh(x @ k1 + b1) @ k2 + b2) - y) ** 2)

    return loss, np.concatenate([w1.ravel(), w2.ravel()])


def finite_differences(function, at, step=1e-5):
    columns = []
    for i in range(at.size):
        e = np.zeros_like(at)
        e[i] = step
        columns.append((function(at + e) - function(at - e)) / (2 * step))
    return np.stack(columns, axis=-1)


def assert_close(found, expected, error):
    """Up to `error` in float64, or to float32 where Keras computes in that all the same.

    On JAX unless JAX is told otherwise, and on PyTorch in matrix products.
    """
    rtol = error if keras.backend.backend() == "tensorflow" else max(error, 2e-4)
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol * 1e-2)


def score(name, net, data=None, loss=None, model=None):
    weights = {v.path: np.asarray(v) for v in net.trainable_variables if v.name == "kernel"}
    objective = Objective(model or net, data, loss)
    found = SCORES[name].function(net, weights, objective, np.random.default_rng(0))
    assert list(found) == list(weights)
    return np.concatenate([np.asarray(ops.convert_to_numpy(s)).ravel() for s in found.values()])


def state_of(model):
    """All that a score could have changed."""
    values = [np.array(v) for v in [*model.variables, *model.metrics_variables]]
    policies = [
        (layer.dtype_policy.name, getattr(layer, "activation", None))
        for layer in [model, *model.layers]
    ]
    return values, policies


def assert_untouched(model, before):
    values, policies = state_of(model)
    assert policies == before[1]
    for value, old in zip(values, before[0], strict=True):
        np.testing.assert_array_equal(value, old)


@pytest.mark.usefixtures("float64")
def test_snip_equals_finite_differences():
    net = tanh_net()
    loss, w = loss_of_kernels(net, X, Y)
    expected = np.abs(w * finite_differences(loss, w))
    assert_close(score("snip", net, (X, Y), "mse"), expected, 1e-7)


def test_snip_of_a_linear_layer_by_hand():
    # L = (2 * 3 - 1)^2 / 2 + (-1 * 3 - 0)^2 / 2;  dL/dw1 = 5 * 3, dL/dw2 = -3 * 3.
    net = dense_net(2, inputs=1, use_bias=False)
    net.set_weights([np.array([[2.0, -1.0]])])
    data = (np.array([[3.0]]), np.array([[1.0, 0.0]]))
    np.testing.assert_allclose(score("snip", net, data, "mse"), [30.0, 9.0])


@pytest.mark.usefixtures("float64")
def test_several_batches_are_averaged_over_their_examples():
    net = tanh_net()
    parts = [(X[:4], Y[:4]), (X[4:], Y[4:])]
    for name in ("snip", "grasp"):
        whole = score(name, net, (X, Y), "mse")
        assert_close(score(name, net, parts, "mse"), whole, 1e-10)
        assert_close(score(name, net, iter(parts), "mse"), whole, 1e-10)


@pytest.mark.usefixtures("float64")
def test_grasp_equals_the_dense_hessian():
    net = tanh_net()
    loss, w = loss_of_kernels(net, X, Y)

    def gradient(at):
        return finite_differences(loss, at, 1e-4)

    expected = w * (finite_differences(gradient, w, 1e-4) @ gradient(w))
    assert (expected > 0).any()
    assert (expected < 0).any()
    assert_close(score("grasp", net, (X, Y), "mse"), expected, 1e-5)


def test_grasp_of_a_quadratic_by_hand():
    # One weight: L = (x w - y)^2, H = 2 x^2, g = 2 x (x w - y); x = 3, w = 2, y = 1.
    net = dense_net(1, inputs=1, use_bias=False)
    net.set_weights([np.array([[2.0]])])
    data = (np.array([[3.0]]), np.array([[1.0]]))
    np.testing.assert_allclose(score("grasp", net, data, "mse"), [2.0 * 18.0 * 30.0])


@pytest.mark.usefixtures("float64")
def test_hessian_vector_product_is_that_of_the_given_vector():
    net = tanh_net()
    loss, w = loss_of_kernels(net, X, Y)
    v = RNG.normal(size=w.shape)
    weights = {path: np.asarray(k) for path, k in zip(kernel_paths(net), net.get_weights()[::2])}
    vector = dict(zip(weights, [v[:12].reshape(3, 4), v[12:].reshape(4, 2)]))
    product = Objective(net, (X, Y), "mse").hessian_vector_product(weights, vector)
    hessian = finite_differences(lambda at: finite_differences(loss, at, 1e-4), w, 1e-4)
    found = np.concatenate([ops.convert_to_numpy(p).ravel() for p in product.values()])
    assert_close(found, hessian @ v, 1e-5)


@pytest.mark.usefixtures("float64")
def test_the_loss_is_the_whole_compiled_one():
    """Regularisation, loss weights and sample weights of a model with two outputs."""
    inputs = keras.Input((3,))
    first = layers.Dense(1, use_bias=False, name="a", kernel_regularizer=keras.regularizers.L2(0.5))
    second = layers.Dense(1, use_bias=False, name="b")
    net = keras.Model(inputs, {"a": first(inputs), "b": second(inputs)})
    net.compile(
        loss={"a": "mse", "b": "mse"}, loss_weights={"a": 2.0, "b": 3.0}, metrics={"a": "mae"}
    )
    y = {"a": Y[:, :1], "b": Y[:, 1:]}
    s = np.arange(1.0, 8.0)
    a, b = net.get_weights()

    def gradient(w, target):
        return 2 * X.T @ (s[:, None] * (X @ w - target)) / 7

    expected = np.concatenate(
        [
            np.abs(a * (2 * gradient(a, y["a"]) + 2 * 0.5 * a)).ravel(),
            np.abs(b * 3 * gradient(b, y["b"])).ravel(),
        ]
    )
    data = (X, y, {"a": s, "b": s})
    net.test_on_batch(*data)  # So that metrics have something to lose.
    before = state_of(net)
    assert_close(score("snip", net, data), expected, 1e-7)
    assert_untouched(net, before)


def test_loss_argument_comes_before_the_compiled_loss():
    net = tanh_net()
    expected = score("snip", net, (X, Y), "mse")
    net.compile(loss="mae")
    compiled = net.loss
    np.testing.assert_array_equal(score("snip", net, (X, Y), "mse"), expected)
    assert net.loss is compiled
    assert not np.allclose(score("snip", net, (X, Y)), expected)


@pytest.mark.usefixtures("float64")
def test_sam_model_scores_all_weights_whatever_its_masks():
    net = tanh_net()
    sam = SAMModel(net)
    sam.compile(loss="mse")
    sam.masks = sparsity.prune(net, 0.5)
    weights = {v.path: np.asarray(v) for v in net.trainable_variables if v.name == "kernel"}
    loss, w = loss_of_kernels(net, X, Y)
    gradient = Objective(sam, (X, Y)).gradient(weights)
    found = np.concatenate([ops.convert_to_numpy(g).ravel() for g in gradient.values()])
    assert_close(found, finite_differences(loss, w), 1e-7)
    assert np.all(found[w == 0] != 0)


def stateful_net():
    net = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            layers.Conv2D(3, 3, name="conv"),
            layers.BatchNormalization(name="bn"),
            layers.Activation("relu"),
            layers.Dropout(0.5, seed=1),
            layers.Flatten(),
            layers.Dense(2, activation="softmax", name="top"),
        ]
    )
    net.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return net


IMAGES, LABELS = RNG.normal(size=(5, 6, 6, 2)), np.array([0, 1, 0, 1, 1])


@pytest.mark.parametrize("name", sorted(SCORES))
def test_no_score_changes_the_model(name):
    net = stateful_net()
    net.fit(IMAGES, LABELS, verbose=0)
    before = state_of(net)
    optimizer = [np.array(v) for v in net.optimizer.variables]
    masks = sparsity.prune(net, 0.5, name, data=(IMAGES, LABELS), rounds=2)
    assert sum(int(m.sum()) for m in masks.values()) == sparsity.summary(net, masks).kept - 11
    assert_untouched(net, before)
    for variable, old in zip(net.optimizer.variables, optimizer, strict=True):
        np.testing.assert_array_equal(np.array(variable), old)


@pytest.mark.parametrize("name", ["snip", "grasp", "synflow"])
def test_no_score_changes_the_model_on_an_error(name):
    class Faulty(layers.Layer):
        faulty = False

        def call(self, inputs):
            if self.faulty:
                raise RuntimeError("on purpose")
            return inputs

    fault = Faulty()
    net = keras.Sequential([keras.Input((6, 6, 2)), *stateful_net().layers, fault])
    net.compile("sgd", "sparse_categorical_crossentropy")
    net.fit(IMAGES, LABELS, verbose=0)
    before = state_of(net)
    fault.faulty = True
    with pytest.raises(RuntimeError, match="on purpose"):
        sparsity.prune(net, 0.5, name, data=(IMAGES, LABELS))
    assert_untouched(net, before)


def test_dropout_is_that_of_the_models_own_seed_state():
    net = stateful_net()
    first = score("snip", net, (IMAGES, LABELS))
    np.testing.assert_array_equal(score("snip", net, (IMAGES, LABELS)), first)


def test_weights_the_loss_does_not_depend_on_score_zero():
    class Unused(keras.Model):
        def __init__(self):
            super().__init__()
            self.used = layers.Dense(1, name="used")
            self.unused = layers.Dense(1, name="unused")

        def call(self, inputs):
            self.unused(inputs)
            return self.used(inputs)

    net = Unused()
    net(np.ones((1, 3), "float32"))
    found = score("snip", net, (X, Y[:, :1]), "mse")
    assert np.all(found[:3] != 0)
    np.testing.assert_array_equal(found[3:], 0)


# SynFlow


def test_synflow_of_a_linear_net_by_hand():
    # R = 1^T |W1| |W2| 1; the score of W1[i, j] is |W1[i, j]| * sum_k |W2[j, k]|,
    # that of W2[j, k] is |W2[j, k]| * sum_i |W1[i, j]|.
    net = dense_net(2, 2, inputs=2)
    net.set_weights(
        [
            np.array([[1.0, -2.0], [3.0, 4.0]]),
            np.zeros(2),
            np.array([[-5.0, 6.0], [7.0, -8.0]]),
            np.zeros(2),
        ]
    )
    w1 = [[1 * 11, 2 * 15], [3 * 11, 4 * 15]]
    w2 = [[5 * 4, 6 * 4], [7 * 6, 8 * 6]]
    np.testing.assert_allclose(score("synflow", net), np.ravel([w1, w2]))


@pytest.mark.parametrize("activation", ["softmax", "tanh", "relu6"])
def test_synflow_ignores_activations(activation):
    net = dense_net(5, 4, activation=activation)
    linear = dense_net(5, 4)
    linear.set_weights(net.get_weights())
    np.testing.assert_allclose(score("synflow", net), score("synflow", linear), rtol=1e-6)
    assert net.layers[0].activation is keras.activations.get(activation)


def test_synflow_ignores_the_cap_of_relu6_layers():
    cap = layers.ReLU(6.0)
    net = keras.Sequential([keras.Input((3,)), layers.Dense(2), cap])
    net.set_weights([np.full((3, 2), 10.0), np.zeros(2)])
    np.testing.assert_allclose(score("synflow", net), np.full(6, 10.0))
    assert cap.max_value == 6.0


def test_synflow_uses_absolute_biases_and_batch_norm_in_inference_mode():
    # f(1) = gamma * (|w| + |b| - mean) / sqrt(variance + epsilon) with |.| of every variable.
    norm = layers.BatchNormalization(epsilon=0.0, name="bn")
    net = keras.Sequential([keras.Input((1,)), layers.Dense(1, name="d"), norm])
    net.set_weights([np.array([[-3.0]]), *map(np.array, ([-1.0], [-2.0], [0.5], [0.0], [4.0]))])
    np.testing.assert_allclose(score("synflow", net), [3.0 * 2.0 / 2.0])


def test_synflow_in_mixed_precision_equals_float32():
    net = dense_net(64, 64, 4, inputs=64)
    mixed = dense_net(64, 64, 4, inputs=64, dtype="mixed_float16")
    mixed.set_weights(net.get_weights())
    np.testing.assert_allclose(score("synflow", mixed), score("synflow", net), rtol=1e-6)


def test_synflow_conserves_flow():
    """The sums of scores over layers are equal: the property that the method is built on."""
    net = dense_net(5, 4, 3, use_bias=False)
    found = np.split(score("synflow", net), [30, 50])
    np.testing.assert_allclose([part.sum() for part in found], found[0].sum(), rtol=1e-5)


def test_synflow_rounds_avoid_layer_collapse():
    """One round empties a layer where a hundred do not, although both keep as many weights."""
    net = dense_net(100, 4, 100, 2, inputs=100, use_bias=False)
    with pytest.warns(UserWarning, match="leaves no weight"):
        once = sparsity.prune(net, 0.999, "synflow", rounds=1)
    often = sparsity.prune(net, 0.999, "synflow")
    assert sum(m.sum() for m in once.values()) == sum(m.sum() for m in often.values())
    assert min(m.sum() for m in often.values()) > 0


def test_synflow_of_several_inputs_and_integer_inputs():
    # Attention and recurrent gates let through nothing that grows with all their kernels.
    with pytest.warns(UserWarning, match="lstm_cell/recurrent_kernel"):
        masks = sparsity.prune(many_layers(), 0.5, "synflow", rounds=3)
    assert sum(m.sum() for m in masks.values()) == round(sum(m.size for m in masks.values()) / 2)


def large_net(size, **kwargs):
    net = dense_net(*[3] * 5, inputs=3, **kwargs)
    rng = np.random.default_rng(0)
    net.set_weights([size * rng.uniform(-1, 1, w.shape) for w in net.get_weights()])
    return net


def test_synflow_beyond_float32_equals_numpy_in_float64():
    net = large_net(1e10)  # With biases; a flow of about 1e50.
    weights = [np.abs(w.astype(float)) for w in net.get_weights()]
    kernels, biases = weights[::2], weights[1::2]
    forward, backward = [np.ones(3)], [np.ones(3)]
    for kernel, bias in zip(kernels, biases, strict=True):
        forward.append(forward[-1] @ kernel + bias)
    for kernel in reversed(kernels):
        backward.insert(0, kernel @ backward[0])
    assert forward[-1].sum() > 1e45
    expected = np.concatenate(
        [(k * np.outer(forward[i], backward[i + 1])).ravel() for i, k in enumerate(kernels)]
    )
    found = score("synflow", net)
    np.testing.assert_allclose(found / found.max(), expected / expected.max(), rtol=1e-5)


def test_synflow_beyond_all_scales():
    net = large_net(1e16)
    with pytest.raises(ValueError, match='dtype="float64"'):
        sparsity.prune(net, 0.5, "synflow")
    if keras.backend.backend() == "tensorflow":  # Keras has no full float64 elsewhere.
        twin = large_net(1e16, dtype="float64")
        masks = sparsity.prune(twin, 0.5, "synflow")
        assert SAMModel(net, masks=masks).masks.keys() == masks.keys()


def test_synflow_beyond_float32_must_be_proportional_to_inputs():
    """A sigmoid's output does not halve with its input."""
    inputs = keras.Input((3,))
    x = ops.sigmoid(layers.Dense(3)(inputs))
    for _ in range(5):
        x = layers.Dense(3)(x)
    net = keras.Model(inputs, x)
    net.set_weights([w + 1e10 for w in net.get_weights()])
    with pytest.raises(ValueError, match="overflows the precision"):
        sparsity.prune(net, 0.5, "synflow")


def test_synflow_needs_a_shape():
    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.top = layers.Dense(4, name="top")

        def call(self, inputs):
            return self.top(inputs)

    net = Subclassed()
    net(np.ones((1, 3), "float32"))
    with pytest.raises(ValueError, match=r"`data` must be a batch, for the shape"):
        sparsity.prune(net, 0.5, "synflow")
    np.testing.assert_allclose(
        score("synflow", net, (X, None)), np.abs(net.get_weights()[0]).ravel()
    )
    net = keras.Sequential([keras.Input((None, 3)), layers.Dense(2)])
    with pytest.raises(ValueError, match=r"an input of shape \(None, None, 3\)"):
        sparsity.prune(net, 0.5, "synflow")


# data and loss


@pytest.mark.parametrize("name", ["snip", "grasp"])
def test_data_is_needed(name):
    net = tanh_net()
    net.compile(loss="mse")
    with pytest.raises(ValueError, match=f"`data` must be a batch .*`score='{name}'`"):
        sparsity.prune(net, 0.5, name)


def test_loss_is_needed():
    with pytest.raises(ValueError, match="`loss` must be given"):
        sparsity.prune(tanh_net(), 0.5, "snip", data=(X, Y))


@pytest.mark.parametrize("data", [X, [X, X], "xy", 3, [(X,)], {"x": X}])
def test_data_that_is_no_batch(data):
    with pytest.raises(TypeError, match="`data` must be a batch"):
        batches(data)


def test_no_batches():
    with pytest.raises(ValueError, match="at least one batch"):
        batches([])


class Batches(keras.utils.PyDataset):
    def __init__(self, count):
        super().__init__()
        self.count = count

    @property
    def num_batches(self):
        return self.count

    def __getitem__(self, index):
        return X[index : index + 2], Y[index : index + 2]


def test_py_dataset():
    assert [x.shape for x, _, _ in batches(Batches(3))] == [(2, 3)] * 3
    with pytest.raises(ValueError, match="finitely many"):
        batches(Batches(None))


def test_tf_dataset():
    tf = pytest.importorskip("tensorflow")
    dataset = tf.data.Dataset.from_tensor_slices((X, Y)).batch(3)
    assert [x.shape[0] for x, _, _ in batches(dataset)] == [3, 3, 1]
    with pytest.raises(ValueError, match=r"`data.take\(n\)`"):
        batches(dataset.repeat())
