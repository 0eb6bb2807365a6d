"""num_batch_splits: losses that are no mean over examples, dtypes, what cannot be split."""

import importlib
from contextlib import contextmanager, nullcontext

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_sam import SAMModel

RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 4)).astype("float32")
Y = RNG.normal(size=(6, 3)).astype("float32")
TOKENS = np.array([[1, 2, 0, 0], [3, 0, 0, 0], [1, 2, 3, 1], [2, 2, 2, 0], [1, 0, 0, 0]])
LABELS = RNG.integers(0, 3, TOKENS.shape)


def tagger():
    return keras.Sequential(
        [keras.Input((4,)), layers.Embedding(4, 3, mask_zero=True), layers.Dense(3)]
    )


def linear():
    return keras.Sequential([keras.Input((4,)), layers.Dense(3)])


def entropy(**kwargs):
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True, **kwargs)


def step(build, loss, x, y, splits, **kwargs):
    keras.utils.set_random_seed(1)
    net = build()
    sam = SAMModel(net, rho=0, num_batch_splits=splits)
    sam.compile(keras.optimizers.SGD(0.1), loss, metrics=["accuracy"])
    logs = sam.train_on_batch(x, y, return_dict=True, **kwargs)
    return {k: float(v) for k, v in logs.items()}, [ops.convert_to_numpy(v) for v in net.variables]


WEIGHTS = np.array([0.0, 3.0, 1.0, 0.5, 2.0, 1.5])
CASES = {
    "masks": (tagger, entropy(), TOKENS, LABELS, {}),
    "ignored class": (tagger, entropy(ignore_class=1), TOKENS, LABELS, {}),
    "sum": (linear, keras.losses.MeanSquaredError(reduction="sum"), X, Y, {}),
    "sample weights": (linear, "mse", X, Y, {"sample_weight": WEIGHTS}),
    "mean of weights": (
        linear,
        keras.losses.MeanSquaredError(reduction="mean_with_sample_weight"),
        X,
        Y,
        {"sample_weight": WEIGHTS},
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_without_a_perturbation_splits_are_the_whole_batch(case):
    *arguments, kwargs = case
    whole_logs, whole = step(*arguments, None, **kwargs)
    logs, weights = step(*arguments, 3, **kwargs)
    assert logs == pytest.approx(whole_logs, rel=1e-5)
    for a, b in zip(whole, weights, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-6)


# Keras on torch computes `matmul`, `mean` and `divide_no_nan` in float32, whatever it is given, and
# with them Dense and the reduction of losses. These do without.


class Products(layers.Layer):
    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 3))

    def call(self, x):
        return ops.sum(ops.expand_dims(x, -1) * self.kernel, axis=1)


def squared_error(y_true, y_pred):
    return ops.sum(ops.square(y_true - y_pred)) / ops.cast(ops.shape(y_pred)[0], y_pred.dtype)


@contextmanager
def policy(dtype):
    # `jax.enable_x64`, as a user's JAX_ENABLE_X64.
    is_wide_jax = keras.backend.backend() == "jax" and dtype == "float64"
    with importlib.import_module("jax").enable_x64() if is_wide_jax else nullcontext():
        keras.config.set_floatx(dtype)
        keras.config.set_dtype_policy(dtype)
        try:
            yield
        finally:
            keras.config.set_floatx("float32")
            keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-14), ("bfloat16", 2e-2)])
def test_other_dtypes(dtype, tolerance):
    with policy(dtype):
        x, y = ops.cast(X[:5], dtype), ops.cast(Y[:5], dtype)
        whole, *others = (
            step(lambda: keras.Sequential([keras.Input((4,)), Products()]), squared_error, x, y, k)[
                1
            ]
            for k in (None, 3, 5)
        )
    for weights in others:
        for a, b in zip(whole, weights, strict=True):
            np.testing.assert_allclose(
                np.asarray(b, "float64"), np.asarray(a, "float64"), rtol=tolerance, atol=tolerance
            )


class Outputs(keras.Model):
    def __init__(self, extra):
        super().__init__()
        self.dense, self.extra = layers.Dense(3), extra

    def call(self, x):
        return {"y": self.dense(x), "extra": self.extra(x)}


def test_a_scalar_among_outputs_is_refused():
    sam = SAMModel(Outputs(ops.mean), num_batch_splits=2)
    sam.compile("sgd", loss={"y": "mse", "extra": None})
    with pytest.raises(ValueError, match="`num_batch_splits` needs outputs.*one row for each"):
        sam.train_on_batch(X, {"y": Y, "extra": Y})


def test_inputs_whose_rows_differ_are_refused():
    class Packed(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(3)

        def call(self, x):
            return self.dense(ops.reshape(x["nodes"], (-1, 8)))

    sam = SAMModel(Packed(), num_batch_splits=2)
    sam.compile("sgd", "mse")
    with pytest.raises(ValueError, match="`num_batch_splits` needs inputs.*Received: a batch of"):
        sam.train_on_batch({"nodes": np.ones((12, 4), "float32")}, Y)


def batches_of(kind):
    """A tf.data set of sparse or ragged inputs."""
    import tensorflow as tf

    dense = np.tile([[0, 2, 0, 1]], (6, 1)).astype("float32")
    make = {"sparse": tf.sparse.from_dense, "ragged": tf.RaggedTensor.from_tensor}[kind]
    return tf.data.Dataset.from_tensor_slices((make(dense), Y)).batch(6)


def densified(x):
    return x.to_tensor(shape=(None, 4)) if hasattr(x, "to_tensor") else ops.reshape(x, (-1, 4))


@pytest.mark.parametrize("kind", ["sparse", "ragged"])
def test_sparse_and_ragged_inputs_are_refused(kind):
    if keras.backend.backend() == "torch" or (kind, keras.backend.backend()) == ("ragged", "jax"):
        pytest.skip("Keras itself has none there")
    if kind == "sparse":
        net = keras.Sequential([keras.Input((4,), sparse=True), layers.Dense(3)])
    else:
        net = keras.Sequential(
            [keras.Input((None,), ragged=True), layers.Lambda(densified), layers.Dense(3)]
        )
    plain = SAMModel(net, rho=0.1)
    plain.compile("sgd", "mse")
    plain.fit(batches_of(kind), verbose=0)  # Without splits it trains.
    sam = SAMModel(net, rho=0.1, num_batch_splits=2)
    sam.compile("sgd", "mse")
    before = [np.array(ops.convert_to_numpy(v)) for v in net.variables]
    with pytest.raises(ValueError, match="`num_batch_splits` needs inputs.*that are dense"):
        sam.fit(batches_of(kind), verbose=0)
    for a, b in zip(before, net.variables, strict=True):
        np.testing.assert_array_equal(a, ops.convert_to_numpy(b))


def test_a_stateful_layer_is_refused_before_training():
    hidden = layers.Bidirectional(layers.SimpleRNN(2, stateful=True, name="keeps"))
    net = keras.Sequential([keras.Input(batch_shape=(6, 2, 4)), hidden, layers.Dense(3)])
    sam = SAMModel(net, num_batch_splits=2)
    sam.compile("sgd", "mse")
    x = np.ones((6, 2, 4), "float32")
    for train in (sam.train_on_batch, lambda x, y: sam.fit(x, y, batch_size=6, verbose=0)):
        with pytest.raises(ValueError, match=r"`num_batch_splits` needs .*stateful.*bidirectional"):
            train(x, Y)
    assert int(sam.optimizer.iterations) == 0


# What else of `fit` is as in plain Keras.


def test_losses_and_metrics_by_the_names_of_a_functional_models_outputs():
    inputs = keras.Input((4,))
    heads = [layers.Dense(3, name=name)(inputs) for name in ("cls", "reg")]
    net = keras.Model(inputs, heads)
    y = {"cls": Y, "reg": 2 * Y}
    kwargs = {"loss": {"cls": "mse", "reg": "mse"}, "metrics": {"cls": "mae"}}
    net.compile("sgd", **kwargs)
    plain = net.evaluate(X, y, verbose=0, return_dict=True)
    sam = SAMModel(net)
    sam.compile("sgd", **kwargs)
    assert sam.evaluate(X, y, verbose=0, return_dict=True) == plain
    assert set(plain) == {"loss", "cls_loss", "reg_loss", "cls_mae"}
    assert sam.output_names == ["cls", "reg"]
    assert sam.input_shape == (None, 4)
    assert sam.outputs is net.outputs
    assert not hasattr(SAMModel(linear()), "output_names")


def test_a_metric_that_is_called_loss_is_left_alone():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(3)
            self.own = keras.metrics.Mean(name="loss")

        def call(self, x):
            return self.dense(x)

    net = Net()
    sam = SAMModel(net, rho=0)
    sam.compile("sgd", "mse")
    sam.train_on_batch(X, Y)
    assert float(ops.convert_to_numpy(net.own.count)) == 0.0


def test_arguments_of_another_compile_are_named():
    with pytest.raises(TypeError, match="Received: `d_optimizer='adam'`"):
        SAMModel(linear()).compile(d_optimizer="adam")


def test_nothing_is_drawn_from_data_to_learn_the_batch_size():
    import tensorflow as tf

    from keras_sam.batches import examples_per_batch

    def shuffled():
        return tf.data.Dataset.range(32).shuffle(32, seed=1).batch(4).prefetch(1)

    asked = shuffled()
    assert examples_per_batch(asked, None) == 4
    for a, b in zip(asked, shuffled(), strict=True):
        np.testing.assert_array_equal(a, b)

    class Draws(keras.utils.PyDataset):
        def __getitem__(self, index):
            raise AssertionError("drawn")

    assert examples_per_batch(Draws(), None) is None
