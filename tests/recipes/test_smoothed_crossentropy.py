"""Smoothed labels against NumPy, and who may have them."""

import keras
import numpy as np
import pytest

from recipes.running.config import RunConfig
from recipes.running.parts import build_loss
from recipes.running.smoothed_crossentropy import SmoothedCrossentropy

LOGITS = np.array([[1.0, -2.0, 0.5], [0.0, 3.0, 100.0], [0.2, 0.2, 0.2]], "float32")
LABELS = np.array([2, 0, 1])


@pytest.mark.parametrize("share", [0.0, 0.1, 0.9])
def test_the_loss_is_that_of_smoothed_one_hot_labels(share):
    logits = LOGITS.astype("float64")
    log_p = logits - np.log(np.exp(logits - 100.0).sum(-1, keepdims=True)) - 100.0
    smoothed = (1 - share) * np.eye(3)[LABELS] + share / 3
    expected = -(smoothed * log_p).sum(-1)
    loss = SmoothedCrossentropy(share, reduction=None)
    np.testing.assert_allclose(np.array(loss(LABELS, LOGITS)), expected, rtol=1e-6)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    np.testing.assert_array_equal(np.array(again(LABELS, LOGITS)), np.array(loss(LABELS, LOGITS)))


def test_a_run_has_them_where_its_loss_is_crossentropy():
    found = build_loss(RunConfig(recipe="digits", label_smoothing=0.2))
    assert isinstance(found, SmoothedCrossentropy)
    assert found.label_smoothing == 0.2
    plain = build_loss(RunConfig(recipe="digits"))
    assert type(plain) is keras.losses.SparseCategoricalCrossentropy


@pytest.mark.parametrize(
    "recipe", ["minatar_ppo", "molecules_gcn", "sst2_lstm", "tagging_transformer"]
)
def test_other_losses_refuse_them(recipe):
    config = RunConfig(recipe=recipe, label_smoothing=0.2)
    with pytest.raises(ValueError, match="`label_smoothing` must be 0 in the recipe .*Received"):
        build_loss(config)
