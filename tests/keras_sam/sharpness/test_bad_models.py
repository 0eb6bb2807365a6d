"""Models that cannot be measured are refused before anything is computed."""

import keras
import numpy as np
import pytest

from keras_sam import SAMModel
from keras_sam.sharpness import HessianOperator, LossSurface
from tests.keras_sam.sharpness import reference
from tests.keras_sam.sharpness.precision import assert_close

DATA = reference.examples()


def test_unbuilt():
    model = keras.Sequential([keras.layers.Dense(2)])
    model.compile(loss="mse")
    with pytest.raises(ValueError, match=r"`model` must be built.*Received: a model that is not"):
        LossSurface(model, DATA)


def test_not_compiled():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match=r"`model` must be compiled.*Received: a model that is"):
        HessianOperator(model, DATA)


@pytest.mark.parametrize("wrap", [lambda model: model, SAMModel])
def test_no_loss(wrap):
    model = wrap(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]))
    model.compile(optimizer="sgd")
    with pytest.raises(ValueError, match=r"`model` must have a loss.*Received: a model without"):
        LossSurface(model, DATA)


def test_added_losses_are_enough():
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(2, activity_regularizer=keras.regularizers.L2(1.0))]
    )
    model.set_weights([np.zeros((3, 2)), np.array([1.0, 2.0])])
    model.compile(optimizer="sgd")
    assert_close(LossSurface(model, (np.zeros((1, 3)),)).loss(), 5.0)


class OwnLoss(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1, use_bias=False)

    def call(self, x):
        return self.dense(x)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return keras.ops.mean(y_pred**4)


@pytest.mark.parametrize("wrap", [lambda model: model, SAMModel])
def test_own_compute_loss_is_enough(wrap):
    model = OwnLoss()
    model(np.ones((1, 1)))
    model.set_weights([np.array([[2.0]])])
    model = wrap(model)
    model(np.ones((1, 1)))
    model.compile(optimizer="sgd")
    surface = LossSurface(model, (np.ones((1, 1)),))
    assert_close(surface.loss(), 16.0)
    assert_close(surface.hessian_product(np.ones(1))[0], 12 * 2.0**2)


def test_losses_that_depend_on_the_batches():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile(loss=keras.losses.MeanSquaredError(reduction="sum"))
    with pytest.raises(ValueError, match=r"average over the examples.*Received.*'sum'"):
        LossSurface(model, DATA)


def test_nothing_to_train():
    model = reference.perceptron(reference.weights())
    model.trainable = False
    with pytest.raises(ValueError, match=r"`model` must have trainable weights.*Received"):
        LossSurface(model, DATA)


def test_no_model():
    with pytest.raises(TypeError, match=r"`model` must be a keras.Model. Received: `model=None`"):
        LossSurface(None, DATA)


@pytest.mark.parametrize("option", ["batch_size", "max_examples"])
@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (1.5, TypeError), (True, TypeError)])
def test_counts(option, value, error):
    model = reference.perceptron(reference.weights())
    with pytest.raises(error, match=rf"`{option}` must be.*Received: `{option}={value}`"):
        LossSurface(model, DATA, **{option: value})
