"""A small network with batch statistics and dropout, and how its members are trained alone."""

import keras
import numpy as np
from keras import layers

from keras_sam import Member, Population, SAMModel
from keras_sam.optimizers import SGD
from keras_sam.population.data import own_order

RNG = np.random.default_rng(0)
X = RNG.normal(size=(22, 4)).astype("float32")
Y = RNG.integers(0, 3, size=22).astype("int32")
BATCH = 8  # Two whole batches, and one of 6.


def build(seed, units=5, rate=0.3, activation="tanh"):
    first, last = (keras.initializers.GlorotUniform(seed=seed + k) for k in (0, 1000))
    stack = [keras.Input((4,)), layers.Dense(units, activation, kernel_initializer=first)]
    stack += [layers.BatchNormalization()]
    stack += [layers.Dropout(rate, seed=seed)] if rate else []
    return keras.Sequential([*stack, layers.Dense(3, kernel_initializer=last)])


def plain(seed):
    """Without randomness: PyTorch vectorises it."""
    return build(seed, rate=0.0)


def optimizer():
    return SGD(0.1, momentum=0.9, weight_decay=0.01)


def compiled(model):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    if isinstance(model, Population):
        model.compile(optimizer(), loss, metrics=["accuracy"])
    else:
        # A few steps are sooner taken than traced.
        eagerly = keras.backend.backend() == "tensorflow"
        model.compile(optimizer(), loss, metrics=["accuracy"], run_eagerly=eagerly)
    return model


def alone(member, build=build, epochs=2, **options):
    """A member trained by SAMModel on the batches that it has in a population, and the logs."""
    if member.rho == 0:
        options = {k: v for k, v in options.items() if k == "log_ascent"}
    sam = compiled(SAMModel(build(member.seed), member.rho, masks=member.masks, **options))
    history = {}
    for epoch in range(epochs):
        order = own_order(member.seed, epoch, len(X), True)
        logs = sam.fit(
            X[order], Y[order], BATCH, shuffle=False, verbose=0, validation_data=(X[:9], Y[:9])
        ).history
        for name, values in logs.items():
            history.setdefault(name, []).extend(values)
    return sam, history


def trained(members, build=build, epochs=2, **options):
    """A population, and its history."""
    population = compiled(Population(build, members, **options))
    history = population.fit(X, Y, BATCH, epochs, validation_data=(X[:9], Y[:9]), verbose=0)
    return population, history


def assert_same(network, other, atol=2e-6):
    for ours, theirs in zip(network.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=atol)


MEMBERS = [Member(3, 0.2), Member(1), Member(3, 0.5)]
