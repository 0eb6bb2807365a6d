"""Optimizers of stacked weights: exact where each entry is by itself, refused where it is not."""

import keras
import numpy as np
import pytest

from keras_sam.optimizers import SGD
from keras_sam.population.elementwise import ELEMENTWISE, optimizer_maker, own_rates

WEIGHTS = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
GRADIENTS = np.random.default_rng(1).normal(size=(3, 2, 3, 4)).astype("float32")


def stepped(optimizer, weights, gradients):
    variable = keras.Variable(weights)
    optimizer.build([variable])
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [variable])
    return keras.ops.convert_to_numpy(variable)


@pytest.mark.parametrize("kind", ELEMENTWISE, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_a_stack_is_stepped_as_each_of_its_members(kind):
    make = optimizer_maker(kind(0.1, weight_decay=0.01))
    stacked = stepped(make(), WEIGHTS, GRADIENTS)
    for i in range(2):
        single = stepped(make(), WEIGHTS[i], GRADIENTS[:, i])
        np.testing.assert_allclose(stacked[i], single, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "make",
    [
        lambda rate, decay: SGD(rate, momentum=0.9, weight_decay=decay),
        lambda rate, decay: keras.optimizers.SGD(rate, momentum=0.9, weight_decay=decay),
        lambda rate, decay: keras.optimizers.AdamW(rate, weight_decay=decay),
        lambda rate, decay: keras.optimizers.RMSprop(rate, weight_decay=decay),
    ],
    ids=["coupled", "decoupled", "adamw", "rmsprop"],
)
@pytest.mark.parametrize("which", ["rate", "decay", "both"])
def test_rates_of_each_members_own(make, which):
    rates = (0.2, 0.05) if which != "decay" else (0.1, 0.1)
    decays = (0.0, 0.3) if which != "rate" else (0.02, 0.02)
    optimizer = make(0.1, 0.02)
    factor = keras.Variable([rate / 0.1 for rate in rates]) if which != "decay" else None
    decay = keras.Variable(list(decays)) if which != "rate" else None
    own_rates(optimizer, factor, decay)
    stacked = stepped(optimizer, WEIGHTS, GRADIENTS)
    for i in range(2):
        single = stepped(make(rates[i], decays[i]), WEIGHTS[i], GRADIENTS[:, i])
        np.testing.assert_allclose(stacked[i], single, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: keras.optimizers.Lamb(), "norms"),
        (lambda: keras.optimizers.Adafactor(), "rows"),
        (lambda: keras.optimizers.Muon(), "matrix"),
        (lambda: keras.optimizers.SGD(clipnorm=1.0), "clipnorm"),
        (lambda: keras.optimizers.Adam(global_clipnorm=1.0), "global_clipnorm"),
        (lambda: keras.optimizers.Adam(use_ema=True), "averages"),
        (lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD()), "overflows"),
        (lambda: type("Own", (keras.optimizers.SGD,), {})(), "elementwise = True"),
    ],
)
def test_what_looks_across_a_weight_is_refused(make, reason):
    with pytest.raises(ValueError, match=reason):
        optimizer_maker(make())


def test_a_function_or_a_name_makes_optimizers():
    assert optimizer_maker("adam")() is not optimizer_maker("adam")()
    assert isinstance(optimizer_maker(lambda: SGD(0.1))(), SGD)
    with pytest.raises(TypeError, match="function that makes one"):
        optimizer_maker(lambda: 3)
    own = type("Own", (keras.optimizers.SGD,), {"elementwise": True})
    assert isinstance(optimizer_maker(own(0.1))(), own)
