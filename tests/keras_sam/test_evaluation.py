"""`evaluate` and `val_loss`: as in plain Keras, but that losses weigh by examples."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_sam import SAMModel

RNG = np.random.default_rng(0)
X = RNG.normal(size=(7, 4)).astype("float32")
Y = RNG.normal(size=(7, 3)).astype("float32")


class Graphs(keras.Model):
    """The mean over each graph's nodes, which are packed along the first axis."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(1, kernel_initializer="ones")

    def call(self, x):
        graphs = x["graph_of_node"]
        ones = ops.ones_like(x["nodes"][:, :1])
        one_hot = ops.transpose(ops.one_hot(graphs, 2))
        return ops.matmul(one_hot, self.dense(x["nodes"])) / ops.matmul(one_hot, ones)


def batch(sizes, y):
    """A batch of two graphs of so many nodes, all features of which are 0: predictions of 0."""
    graphs = np.repeat(np.arange(2), sizes).astype("int32")
    nodes = np.zeros((sum(sizes), 3), "float32")
    return {"nodes": nodes, "graph_of_node": graphs}, np.full((2, 1), y, "float32")


# Two graphs each; losses 1, 9, 0 whatever the number of nodes.
BATCHES = [batch((1, 2), 1.0), batch((5, 6), 3.0), batch((1, 1), 0.0)]


class Packed(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        return BATCHES[index]


def test_losses_of_packed_batches_weigh_by_the_examples_of_y():
    sam = SAMModel(Graphs())
    sam.compile("sgd", "mse", metrics=["mse"])
    logs = sam.evaluate(Packed(), verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx(10 / 3, rel=1e-6)
    assert logs["mse"] == pytest.approx(10 / 3, rel=1e-6)
    sam.compile(keras.optimizers.SGD(0.0), "mse")
    history = sam.fit(Packed(), validation_data=Packed(), verbose=0).history
    assert history["val_loss"] == history["loss"] == [pytest.approx(10 / 3, rel=1e-6)]


class Penalized(layers.Layer):
    def call(self, x):
        self.add_loss(0.1 * ops.mean(ops.square(x)))
        return x


def everything():
    inputs = keras.Input((4,))
    x = layers.Dense(5, kernel_regularizer="l2", activation="tanh")(inputs)
    x = layers.BatchNormalization()(Penalized()(layers.Dropout(0.5)(x)))
    heads = {"a": layers.Dense(3, name="a")(x), "b": layers.Dense(3, name="b")(x)}
    return keras.Model(inputs, heads)


def tagger():
    return keras.Sequential(
        [keras.Input((3,)), layers.Embedding(4, 3, mask_zero=True), layers.Dense(3)]
    )


class NoTraining(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3)

    def call(self, x):
        return self.dense(x)


TOKENS = np.array([[1, 2, 0], [3, 0, 0], [1, 1, 1], [2, 0, 0], [1, 2, 3]])
LABELS = RNG.integers(0, 3, TOKENS.shape)
ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
CASES = {
    "everything": (everything, {"a": "mse", "b": "mae"}, X, {"a": Y, "b": Y}),
    "masks": (tagger, ENTROPY, TOKENS, LABELS),
    "no training argument": (NoTraining, "mse", X, Y),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_evaluation_is_that_of_plain_keras(case):
    build, loss, x, y = case
    net = build()
    weights = None if build is tagger else np.arange(len(x)) % 3 + 0.5
    net.compile("sgd", loss, metrics=["accuracy"] if isinstance(loss, keras.Loss) else None)
    arguments = {"batch_size": 4, "verbose": 0, "sample_weight": weights, "return_dict": True}
    expected = net.evaluate(x, y, **arguments)
    sam = SAMModel(net)
    sam.compile("sgd", loss, metrics=["accuracy"] if isinstance(loss, keras.Loss) else None)
    before = [np.array(ops.convert_to_numpy(v)) for v in sam.variables]
    logs = sam.evaluate(x, y, **arguments)
    assert logs.keys() == expected.keys()
    assert logs == pytest.approx(expected, rel=1e-6)
    for old, variable in zip(before, sam.variables, strict=True):
        np.testing.assert_array_equal(old, ops.convert_to_numpy(variable))
