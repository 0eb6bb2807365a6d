"""num_batch_splits: losses that are no mean over examples, dtypes, what cannot be split."""

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


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("bfloat16", 2e-2)])
def test_other_dtypes(dtype, tolerance):
    if keras.backend.backend() != "tensorflow" and dtype == "float64":
        pytest.skip("JAX has float64 only if it is told before it starts; open on PyTorch")
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    try:
        x, y = ops.cast(X[:5], dtype), ops.cast(Y[:5], dtype)
        (_, whole), (_, weights) = (step(linear, "mse", x, y, splits) for splits in (None, 3))
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")
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
