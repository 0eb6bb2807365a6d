"""`log_ascent`: what `fit` says of the perturbation."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_sam import Every, SAMModel
from tests.keras_sam.methods import models
from tests.keras_sam.methods.models import KERNEL, RHO, SIZE, X, Y, build

NAMES = ("gradient_norm", "perturbation_norm", "ascent")


def of_one_step(w, x, y, rho):
    g = models.slope(w, x, y)
    length = np.linalg.norm(g)
    return [length, rho, models.loss(w + rho * g / length, x, y) - models.loss(w, x, y)]


def start():
    return np.concatenate([KERNEL.ravel(), np.zeros(3)])


def test_means_over_the_steps_of_an_epoch_and_nothing_of_an_evaluation():
    sam = build("late", rho=Every(RHO, 2), log_ascent=True)
    rows = slice(0, 3 * SIZE)
    history = sam.fit(
        X[rows], Y[rows], batch_size=SIZE, shuffle=False, verbose=0, validation_data=(X, Y)
    ).history
    rhos = (RHO, 0.0, RHO)
    w, velocity, seen = start(), 0.0, []
    for step, rho in enumerate(rhos):
        x, y = models.batch(step)
        seen.append(of_one_step(w, x, y, rho))
        g = models.slope(w, x, y)
        velocity = 0.9 * velocity + models.slope(w + rho * g / np.linalg.norm(g), x, y)
        w = w - 0.1 * velocity
    logged = [history[name] for name in NAMES]
    np.testing.assert_allclose(np.ravel(logged), np.mean(seen, axis=0), rtol=1e-4)
    assert set(history) == {"loss", "val_loss", *NAMES}
    assert set(sam.evaluate(X, Y, verbose=0, return_dict=True)) == {"loss"}
    assert isinstance(sam.test_on_batch(X, Y), float | np.floating)
    again = sam.fit(X[:SIZE], Y[:SIZE], batch_size=SIZE, verbose=0, epochs=2).history
    assert again["perturbation_norm"][0] == 0.0  # Update 3, with no trace of the epoch before.
    np.testing.assert_allclose(again["perturbation_norm"][1], RHO, rtol=1e-5)


def test_splits_are_averaged_by_size():
    sam = build("late", rho=RHO, log_ascent=True, num_batch_splits=2)
    logs = sam.train_on_batch(X[:3], Y[:3], return_dict=True)
    one, two = (of_one_step(start(), X[s], Y[s], RHO) for s in (slice(0, 1), slice(1, 3)))
    expected = (np.array(one) + 2 * np.array(two)) / 3
    np.testing.assert_allclose([float(logs[name]) for name in NAMES], expected, rtol=1e-4)


@pytest.mark.slow
def test_of_a_loss_that_is_a_sum_the_norms_are_averaged_and_the_rise_is_summed():
    sam = build("late", rho=RHO, log_ascent=True, num_batch_splits=2, compiled=False)
    sam.compile(keras.optimizers.SGD(0.1), keras.losses.MeanSquaredError(reduction="sum"))
    logs = sam.train_on_batch(X[:4], Y[:4], return_dict=True)
    one, two = (of_one_step(start(), X[s], Y[s], RHO) for s in (slice(0, 2), slice(2, 4)))
    expected = [one[0] + two[0], RHO, 2 * (one[2] + two[2])]  # ||2 g||, averaged.
    np.testing.assert_allclose([float(logs[name]) for name in NAMES], expected, rtol=1e-4)


def test_without_a_perturbation():
    sam = build("gsam", rho=0.0, log_ascent=True)
    logs = sam.train_on_batch(*models.batch(0), return_dict=True)
    length = np.linalg.norm(models.slope(start(), *models.batch(0)))
    np.testing.assert_allclose([float(logs[n]) for n in NAMES], [length, 0.0, 0.0], rtol=1e-5)


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
def test_loss_scaling_cancels_out_and_an_overflow_counts_nothing():
    policy = keras.dtype_policies.DTypePolicy("mixed_float16")
    net = keras.Sequential([keras.Input((4,)), layers.Dense(3, dtype=policy)])
    net.set_weights([KERNEL, np.zeros(3)])
    sam = SAMModel(net, rho=RHO, log_ascent=True)
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), initial_scale=256.0)
    sam.compile(optimizer, "mse")
    x = np.concatenate([X[:SIZE], np.full((SIZE, 4), 6e4, "float32")])
    history = sam.fit(x, Y[: 2 * SIZE], batch_size=SIZE, shuffle=False, verbose=0).history
    assert int(optimizer.iterations) == 1
    expected = of_one_step(start(), X[:SIZE], Y[:SIZE], RHO)
    np.testing.assert_allclose(np.ravel([history[n] for n in NAMES]), expected, rtol=2e-2)


def test_not_asked_for_it_is_not_there():
    sam = build("gsam")
    assert set(sam.train_on_batch(*models.batch(0), return_dict=True)) == {"loss"}
    assert not sam.log_ascent


@pytest.mark.slow
def test_tensorboard_shows_it(tmp_path):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("needs TensorFlow")
    import tensorflow as tf

    sam = build("late", rho=RHO, log_ascent=True)
    callback = keras.callbacks.TensorBoard(tmp_path, write_graph=False)
    sam.fit(X, Y, verbose=0, callbacks=[callback])
    (file,) = (tmp_path / "train").glob("events*")
    tags = {v.tag for e in tf.compat.v1.train.summary_iterator(str(file)) for v in e.summary.value}
    assert {f"epoch_{name}" for name in NAMES} <= tags
