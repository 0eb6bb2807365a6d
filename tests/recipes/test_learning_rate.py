"""The learning rate against its formula."""

import math

import keras
import numpy as np
import pytest

from recipes.running.config import RunConfig
from recipes.running.learning_rate import LearningRate


def rates(schedule, steps):
    return [float(keras.ops.convert_to_numpy(schedule(step))) for step in steps]


def test_constant():
    assert rates(LearningRate(0.5, 10, "constant"), [0, 9]) == [0.5, 0.5]


def test_step_decays_at_each_milestone():
    schedule = LearningRate(0.8, 200, "step", (0.25, 0.5, 0.75), decay=0.5)
    steps = [0, 49, 50, 99, 100, 149, 150, 199]
    expected = [0.8, 0.8, 0.4, 0.4, 0.2, 0.2, 0.1, 0.1]
    np.testing.assert_allclose(rates(schedule, steps), expected, rtol=1e-6)


def test_cosine_falls_to_zero():
    expected = [0.1 * (1 + math.cos(math.pi * t / 100)) / 2 for t in (0, 10, 50, 99, 100)]
    got = rates(LearningRate(0.1, 100, "cosine"), [0, 10, 50, 99, 100])
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-9)


def test_warm_up_rises_from_zero_then_the_cosine_begins():
    schedule = LearningRate(0.2, 110, "cosine", warmup_steps=10)
    got = rates(schedule, [0, 5, 10, 60, 110])
    np.testing.assert_allclose(got, [0.0, 0.1, 0.2, 0.1, 0.0], rtol=1e-5, atol=1e-8)


def test_warm_up_of_a_step_schedule():
    schedule = LearningRate(0.2, 100, "step", (0.5,), 0.1, warmup_steps=4)
    np.testing.assert_allclose(rates(schedule, [1, 4, 49, 50]), [0.05, 0.2, 0.2, 0.02], rtol=1e-6)


def test_of_run_counts_steps_over_all_epochs():
    config = RunConfig(recipe="digits", epochs=4, milestones=(0.5,))
    schedule = LearningRate.of_run(config, steps_per_epoch=25)
    np.testing.assert_allclose(rates(schedule, [49, 50]), [0.1, 0.01], rtol=1e-6)


def test_serialisation():
    schedule = LearningRate(0.2, 110, "step", (0.5,), 0.3, warmup_steps=10)
    data = keras.saving.serialize_keras_object(schedule)
    again = keras.saving.deserialize_keras_object(data)
    assert again.get_config() == schedule.get_config()


def test_bad_arguments():
    with pytest.raises(ValueError, match="Received: `warmup_steps=10`"):
        LearningRate(0.1, 10, warmup_steps=10)
    with pytest.raises(ValueError, match="Received: `schedule='linear'`"):
        LearningRate(0.1, 10, "linear")
