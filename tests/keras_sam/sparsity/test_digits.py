"""A wide, 95 % sparse MLP learns real digits, and its zeros stay zeros bit for bit."""

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

from keras_sam import SAMModel, sparsity
from keras_sam.optimizers import SGD
from tests.keras_sam.sparsity.nets import dense_net


class ZerosAtEachStep(keras.callbacks.Callback):
    def __init__(self, masks):
        super().__init__()
        self.masks = masks
        self.steps = 0

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        assert_zero_bits(self.model.model, self.masks)


def assert_zero_bits(net, masks):
    weights = {weight.path: weight for weight in net.weights}
    for path, mask in masks.items():
        assert not np.array(weights[path]).view(np.uint32)[~mask].any()


@pytest.mark.parametrize(
    ("score", "rho"),
    [
        pytest.param("random", 0, id="random-SGD"),
        pytest.param("snip", 0.05, id="snip-SAM"),
        pytest.param("random", 0.05, id="random-SAM", marks=pytest.mark.slow),
        pytest.param("snip", 0, id="snip-SGD", marks=pytest.mark.slow),
    ],
)
def test_sparse_training_on_digits(score, rho, tmp_path):
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype("float32")
    net = dense_net(800, 200, 10, inputs=64, activation="relu", kernel_initializer="he_normal")
    net.layers[-1].activation = keras.activations.linear
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    masks = sparsity.prune(net, 0.95, score, data=(x[:128], y[:128]), loss=loss)
    sam = SAMModel(net, rho=rho, masks=masks)
    sam.compile(SGD(0.1, momentum=0.9, weight_decay=1e-4), loss, metrics=["accuracy"])
    zeros = ZerosAtEachStep(masks)
    sam.fit(x, y, batch_size=64, epochs=8, verbose=0, callbacks=[zeros])
    assert zeros.steps == 8 * 29
    assert sam.evaluate(x, y, verbose=0)[1] > 0.85
    summary = sparsity.summary(sam)
    assert summary.kept == round(0.05 * (64 * 800 + 800 * 200 + 200 * 10)) + 1010
    assert summary.kept == sparsity.summary(net).kept  # No kept weight became zero.

    sam.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    # Keras gives the layers of a loaded Sequential shorter paths; their order is the same.
    for mask, expected in zip(loaded.masks.values(), masks.values(), strict=True):
        np.testing.assert_array_equal(mask, expected)
    again = ZerosAtEachStep(loaded.masks)
    loaded.fit(x, y, batch_size=64, verbose=0, callbacks=[again])
    assert again.steps == 29
    # A compressed file keeps less than a tenth.
    assert sparsity.strip(loaded).ratio > 10
