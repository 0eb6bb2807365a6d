"""Seeds for whatever has none of its own."""

import random

import keras
import numpy as np

from recipes.seeding import set_seed


def drawn():
    numbers = [random.random(), np.random.random()]
    numbers += keras.ops.convert_to_numpy(keras.random.uniform((3,))).tolist()
    dense = keras.layers.Dense(2)
    dense.build((None, 3))
    numbers += keras.ops.convert_to_numpy(dense.kernel).ravel().tolist()
    if keras.backend.backend() == "torch":
        import torch

        numbers += torch.rand(2).tolist()
    return numbers


def test_the_seed_does_what_that_of_keras_does():
    keras.utils.set_random_seed(3)
    expected = drawn()
    set_seed(3)
    assert drawn() == expected
    set_seed(4)
    assert drawn() != expected
