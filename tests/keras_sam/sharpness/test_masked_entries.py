"""Losses that leave entries out: the loss of all examples, however they are cut into batches."""

import keras
import numpy as np
import pytest

from keras_sam import SAMModel
from keras_sam.sharpness import LossSurface, MomentDeviation, sam_sharpness
from tests.keras_sam.sharpness.precision import assert_close

RANDOM = np.random.default_rng(0)
LENGTHS = np.array([4, 1, 3, 1, 2])  # Of 5 sequences of at most 4 steps.
KEPT = np.arange(4) < LENGTHS[:, None]
X = np.where(KEPT[..., None], RANDOM.normal(size=(5, 4, 3)), 0.0)
Y = RANDOM.normal(size=(5, 4, 2))
KERNEL = RANDOM.normal(size=(3, 2))


def masked_net(wrap=lambda model: model, loss="mse"):
    """Masking, then x w step by step: the mean over the steps that count is quadratic in w."""
    model = keras.Sequential(
        [
            keras.Input((4, 3)),
            keras.layers.Masking(0.0),
            keras.layers.Dense(2, use_bias=False),
        ]
    )
    model.set_weights([KERNEL])
    model = wrap(model)
    model.compile(loss=loss)
    return model


def entries(x, weights=None):
    """x, y and weights of the steps that count, one a row."""
    weights = np.ones(5) if weights is None else weights
    return X[KEPT], Y[KEPT], np.repeat(weights, LENGTHS)


def expected_loss(kernel, weights=None):
    x, y, share = entries(X, weights)
    return (share[:, None] * (x @ kernel - y) ** 2).mean()


def expected_hessian(weights=None):
    x, _, share = entries(X, weights)
    return np.kron(2 * (share[:, None] * x).T @ x / (2 * len(x)), np.eye(2))


@pytest.mark.parametrize("wrap", [lambda model: model, SAMModel])
@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_masked_steps_count_nothing_in_any_batch(wrap, batch_size):
    surface = LossSurface(masked_net(wrap), (X, Y), batch_size=batch_size)
    x, y, _ = entries(X)
    assert_close(surface.loss(), expected_loss(KERNEL))
    assert_close(surface.gradient()[1], (2 * x.T @ (x @ KERNEL - y) / y.size).ravel())
    v = RANDOM.normal(size=6)
    assert_close(surface.hessian_product(v), expected_hessian() @ v)


def test_as_keras_evaluates_one_batch():
    model = masked_net()
    keras_loss = model.evaluate(X, Y, batch_size=5, verbose=0)
    assert_close(LossSurface(model, (X, Y), batch_size=2).loss(), keras_loss, 1e-6)


def test_sample_weights_of_masked_examples():
    share = np.linspace(0.5, 2, 5)
    steps = np.repeat(share[:, None], 4, axis=1)
    surface = LossSurface(masked_net(), (X, Y, steps), batch_size=2)
    assert_close(surface.loss(), expected_loss(KERNEL, share))
    v = RANDOM.normal(size=6)
    assert_close(surface.hessian_product(v), expected_hessian(share) @ v)


def test_examples_of_more_steps_weigh_more():
    """So that the mean of the examples' Hessians is the Hessian of all."""
    surface = LossSurface(masked_net(), (X, Y), batch_size=2)
    v = RANDOM.normal(size=6)
    assert_close(surface.mean_example_power(v, 1), expected_hessian() @ v)
    each = [
        np.kron(x[kept].T @ x[kept] / kept.sum(), np.eye(2)) * kept.sum() / LENGTHS.mean()
        for x, kept in zip(X, KEPT)
    ]
    squares = np.mean([h @ h for h in each], axis=0)
    assert_close(surface.mean_example_power(v, 2), squares @ v, 1e-8)
    deviation = MomentDeviation(surface)
    assert_close(deviation @ v, (squares - expected_hessian() @ expected_hessian()) @ v, 1e-8)


def test_m_sharpness_is_the_mean_over_groups_by_what_counts():
    rho, expected = 0.1, 0.0
    for rows in (slice(0, 2), slice(2, 4), slice(4, 5)):
        x, y = X[rows][KEPT[rows]], Y[rows][KEPT[rows]]
        g = 2 * x.T @ (x @ KERNEL - y) / y.size
        e = rho * g / np.linalg.norm(g)
        rise = ((x @ (KERNEL + e) - y) ** 2).mean() - ((x @ KERNEL - y) ** 2).mean()
        expected += KEPT[rows].sum() / KEPT.sum() * rise
    assert_close(sam_sharpness(masked_net(), (X, Y), rho, m=2), expected, 1e-8)


def test_ignored_classes():
    labels = np.array([[0, 1, -1], [-1, -1, 1], [2, -1, -1], [-1, -1, -1]])
    x = RANDOM.normal(size=(4, 3, 2))
    kernel = RANDOM.normal(size=(2, 3))
    model = keras.Sequential([keras.Input((3, 2)), keras.layers.Dense(3, use_bias=False)])
    model.set_weights([kernel])
    model.compile(
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    )
    logits = (x @ kernel)[labels >= 0]
    picked = logits[np.arange(len(logits)), labels[labels >= 0]]
    expected = (np.log(np.exp(logits).sum(axis=1)) - picked).mean()
    for batch_size in (1, 2, 4):
        surface = LossSurface(model, (x, labels), batch_size=batch_size)
        assert_close(surface.loss(), expected, 1e-6)
    with pytest.raises(ValueError, match=r"`data` must hold entries that count for each loss"):
        LossSurface(model, (x, np.full((4, 3), -1)))


def two_outputs(same):
    """Two losses of masked steps; the second sees the mask as well, or counts every step."""
    inputs = keras.Input((4, 3))
    masked = keras.layers.Masking(0.0)(inputs)
    first = keras.layers.Dense(2, use_bias=False, name="first")(masked)
    second = keras.layers.Dense(2, use_bias=False, name="second")(masked if same else inputs)
    model = keras.Model(inputs, [first, second])
    model.set_weights([KERNEL, KERNEL])
    model.compile(loss=["mse", "mse"])
    return model


def test_two_losses_with_the_same_mask():
    surface = LossSurface(two_outputs(same=True), (X, (Y, Y)), batch_size=2)
    assert_close(surface.loss(), 2 * expected_loss(KERNEL))


def test_two_losses_with_different_masks_need_one_batch():
    model, data = two_outputs(same=False), (X, (Y, Y))
    expected = expected_loss(KERNEL) + ((X @ KERNEL - Y) ** 2).mean()
    assert_close(LossSurface(model, data, batch_size=5).loss(), expected)
    with pytest.raises(ValueError, match=r"`batch_size` must not be below.*5.*`batch_size=4`"):
        LossSurface(model, data, batch_size=4)
    with pytest.raises(ValueError, match=r"`model` must have one loss, or losses that leave"):
        sam_sharpness(model, data, m=2)


def test_activity_losses_count_examples_and_so_need_one_batch_with_masks():
    model = keras.Sequential(
        [
            keras.Input((4, 3)),
            keras.layers.Masking(0.0),
            keras.layers.Dense(2, use_bias=False, activity_regularizer="l2"),
        ]
    )
    model.compile(loss="mse")
    with pytest.raises(ValueError, match=r"`batch_size` must not be below"):
        LossSurface(model, (X, Y), batch_size=2)
    assert np.isfinite(LossSurface(model, (X, Y)).loss())
