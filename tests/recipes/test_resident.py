"""Several steps in one program: the same numbers as `fit` and `evaluate` over the same batches."""

import keras
import numpy as np
import pytest

from keras_sam import SAMModel
from recipes.datasets.augmentation import CropAndFlip
from recipes.datasets.in_memory import in_memory
from recipes.datasets.split import Split
from recipes.running import compiled, parts, resident
from recipes.running.config import RunConfig
from recipes.running.resident import ResidentModel
from recipes.running.runtime import Runtime

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def images(seed=0):
    """50 training examples of 4 x 4 pixels (6 batches of 8), 11 to validate on, 13 to test on."""
    random = np.random.default_rng(7)
    x, y = random.integers(0, 256, (74, 4, 4, 2), dtype=np.uint8), random.integers(0, 3, 74)
    return in_memory(
        "images",
        (x[:61], y[:61]),
        (x[61:], y[61:]),
        Split(batch_size=8, validation_split=11 / 61, seed=seed, data_seed=seed),
        classes=3,
        prepare=lambda x: keras.ops.cast(x, "float32") / 255.0,
        augment=CropAndFlip(padding=1),
    )


def network():
    return keras.Sequential(
        [
            keras.Input((4, 4, 2)),
            keras.layers.Flatten(),
            keras.layers.Dense(9, "tanh", kernel_initializer=keras.initializers.HeNormal(seed=1)),
            keras.layers.BatchNormalization(momentum=0.8),
            keras.layers.Dropout(0.3, seed=2),
            keras.layers.Dense(3, kernel_initializer=keras.initializers.HeNormal(seed=3)),
        ]
    )


def model_of(data, steps=None, **arguments):
    make = SAMModel if steps is None else lambda *a, **k: ResidentModel(data, *a, **k)
    model = make(network(), 0.1, **arguments)
    rate = keras.optimizers.schedules.CosineDecay(0.2, 12)
    model.compile(keras.optimizers.SGD(rate, 0.9), LOSS, metrics=["accuracy"], jit_compile="auto")
    if steps is not None:
        model.build_programs(steps)
    return model


def close(first, second):
    for a, b in zip(first, second, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("steps", [1, 2, 6])
@pytest.mark.parametrize("splits", [None, 2])
def test_programs_of_several_steps_train_as_fit_does(steps, splits):
    data = images()
    plain = model_of(data, num_batch_splits=splits)
    resident = model_of(data, steps, num_batch_splits=splits)
    arguments = {"initial_epoch": 1, "epochs": 3, "shuffle": False, "verbose": 0}
    expected = plain.fit(data.train(1), steps_per_epoch=6, **arguments).history
    plans = resident.plans(1)
    found = resident.fit(plans, steps_per_epoch=resident.plans_per_epoch, **arguments).history

    assert resident.plans_per_epoch == 6 // steps
    assert found.keys() == expected.keys() == {"loss", "accuracy"}
    close(found["loss"], expected["loss"])
    close(found["accuracy"], expected["accuracy"])
    close(resident.get_weights(), plain.get_weights())
    assert int(keras.ops.convert_to_numpy(resident.optimizer.iterations)) == 12


@pytest.mark.parametrize("one_batch", [0, 10**6], ids=["batches", "one batch"])
@pytest.mark.parametrize("steps", [1, 6])
def test_evaluations_are_those_of_keras(steps, one_batch, monkeypatch):
    monkeypatch.setattr(resident, "_ONE_BATCH", one_batch)
    data = images()
    model = model_of(data, steps)
    model.fit(model.plans(0), steps_per_epoch=model.plans_per_epoch, shuffle=False, verbose=0)
    for part in ("validation", "test", "validation"):
        expected = model.evaluate(getattr(data, part), verbose=0, return_dict=True)
        found = model.evaluation(part)
        assert found == pytest.approx(expected, rel=1e-5)
    # By hand: the metrics are means over examples, whatever the batches.
    x, y = data.arrays["test"]
    logits = model.predict(x / np.float32(255), verbose=0)
    loss = keras.ops.convert_to_numpy(LOSS(y, logits))
    assert model.evaluation("test") == pytest.approx(
        {"loss": float(loss), "accuracy": np.mean(logits.argmax(-1) == y)}, rel=1e-5
    )
    expected = model.evaluate(data.train(4), steps=6, verbose=0, return_dict=True)
    assert model.training_evaluation(4) == pytest.approx(expected, rel=1e-5)


def test_other_data_take_the_place_of_the_first():
    first, second = images(0), images(1)
    model, other = model_of(first, 6), model_of(second, 6)
    model.evaluation("test")
    model.feed.replace(second)
    assert model.evaluation("validation") == other.evaluation("validation")
    for m in (model, other):
        m.fit(m.plans(0), steps_per_epoch=1, shuffle=False, verbose=0)
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_data_are_no_variables_of_the_model():
    data = images()
    resident, plain = model_of(data, 6), model_of(data)
    assert len(resident.variables) == len(plain.variables)
    assert all(variable.shape != (50, 4, 4, 2) for variable in resident.variables)


def make_compiled(settings, strategy=None):
    data = parts.load_data(settings)
    return compiled.Compiled(settings, data, Runtime(progress=False), strategy)


def test_recipes_train_so_where_there_is_one_device():
    settings = RunConfig(recipe="digits", width=0.1, take=400, batch_size=64)
    found = make_compiled(settings)
    assert found.resident
    assert (found.sam.steps, found.sam.plans_per_epoch) == (5, 1)
    assert not any(variable.shape[:1] == (360,) for variable in found.variables)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="MirroredStrategy")
def test_replicas_are_fed_by_tf_data(strategy):
    settings = RunConfig(recipe="digits", width=0.1, take=400, batch_size=64)
    found = make_compiled(settings, strategy)
    assert not found.resident
    assert type(found.sam) is SAMModel


def test_convolutions_on_the_cpu_of_jax_take_one_step_a_program():
    convolution = keras.Sequential([keras.Input((4, 4, 2)), keras.layers.Conv2D(3, 2)])
    assert compiled._loops_well(network())
    assert compiled._loops_well(convolution) == (keras.backend.backend() != "jax")
