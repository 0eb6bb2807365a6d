"""Gradient passes of compiled programs, counted where they run: a skipped pass is really skipped.

A layer calls back to Python whenever its forward pass is carried out, once a gradient.
"""

import keras
import numpy as np
import pytest
from keras import layers

from keras_sam import Every, Late, SAMModel
from keras_sam.methods import ae_sam, looksam
from tests.keras_sam.methods.models import X, Y

BACKEND = keras.backend.backend()
RUNS = []


class Counting(layers.Layer):
    """Counts its runs, not its traces."""

    def call(self, x):
        if BACKEND == "tensorflow":
            import tensorflow as tf

            with tf.control_dependencies([tf.py_function(lambda: RUNS.append(1), [], [])]):
                return tf.identity(x)
        if BACKEND == "jax":
            import jax

            jax.debug.callback(lambda: RUNS.append(1))
        elif str(x.device) != "meta":
            RUNS.append(1)
        return x


def passes(steps=6, **options):
    sam = SAMModel(
        keras.Sequential([keras.Input((4,)), Counting(), layers.Dense(3)]),
        **{"rho": 0.1, **options},
    )
    sam.compile("sgd", "mse", jit_compile=BACKEND == "jax")
    sam.optimizer.build(sam.trainable_variables)
    sam.train_on_batch(X[:4], Y[:4])  # Builds what is not built, and is step 0.
    wait()
    RUNS.clear()
    for _ in range(steps - 1):
        sam.train_on_batch(X[:4], Y[:4])
    wait()
    return len(RUNS)


def wait():
    if BACKEND == "jax":
        import jax

        jax.effects_barrier()


CASES = {
    # Of steps 1 to 5; step 0 is not counted.
    "looksam every 3rd": ({"rho": Every(0.1, 3), "method": looksam()}, 1 + 1 + 2 + 1 + 1),
    "late": ({"rho": Late(0.1, 4)}, 1 + 1 + 1 + 2 + 2),
    "two ascent steps every 2nd": ({"rho": Every(0.1, 2), "ascent_steps": 2}, 1 + 3 + 1 + 3 + 1),
    "msam": ({"method": "msam"}, 5),
    "msam every 2nd": ({"method": "msam", "rho": Every(0.1, 2)}, 5),
    "ae_sam, never": ({"method": ae_sam(np.inf)}, 5),
    "sam": ({}, 10),
    "rho 0": ({"rho": 0.0, "method": "friendly"}, 5),
    "splits": ({"rho": Every(0.1, 2), "num_batch_splits": 2}, 2 * (1 + 2 + 1 + 2 + 1)),
}
DEFAULT = {"looksam every 3rd", "msam", "ae_sam, never"}


@pytest.mark.parametrize(
    "name",
    [name if name in DEFAULT else pytest.param(name, marks=pytest.mark.slow) for name in CASES],
)
def test_passes_that_run(name):
    options, expected = CASES[name]
    assert passes(**options) == expected


def test_sams_own_rules_average_the_ascent_gradient_alone():
    """With replicas each average is a communication: the descent gradient needs none here."""
    from keras_sam.sam_gradient import sam_gradient

    averaged = []

    def average(gradients):
        averaged.append([float(g[0]) for g in gradients])
        return gradients

    def parabola(w):
        return (w[0] ** 2, None), [2.0 * w[0]]

    sam_gradient(parabola, [keras.ops.ones(1)], 0.5, average=average)
    assert averaged == [[2.0]]
