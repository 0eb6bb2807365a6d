"""MirroredStrategy with two logical CPU devices, and XLA. TensorFlow only."""

import contextlib

import keras
import numpy as np
import pytest
from keras import layers

from keras_sam import SAMModel
from tests.keras_sam import reference

if keras.backend.backend() != "tensorflow":
    pytest.skip("tf.distribute is TensorFlow's", allow_module_level=True)

import tensorflow as tf

from keras_sam.trainers import tensorflow as tensorflow_trainer

RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 4)).astype("float32")
Y = RNG.normal(size=(8, 3)).astype("float32")
HALVES = [(X[:4], Y[:4]), (X[4:], Y[4:])]


def linear():
    return keras.Sequential([keras.Input((4,)), layers.Dense(3)])


def compiled(strategy, build=linear, optimizer=None, jit_compile=False, **kwargs):
    with strategy.scope() if strategy else contextlib.nullcontext():
        keras.utils.set_random_seed(1)
        sam = SAMModel(build(), **kwargs)
        sam.compile(
            optimizer() if optimizer else keras.optimizers.SGD(0.1),
            "mse",
            metrics=["mae"],
            jit_compile=jit_compile,
        )
    return sam


def in_float64(model):
    return [np.asarray(w, "float64") for w in model.trainable_variables]


def one_batch(sam, x=X, y=Y):
    return sam.fit(x, y, batch_size=8, shuffle=False, verbose=0).history


@pytest.mark.parametrize("variant", [{}, {"normalize": False}, {"adaptive": True}])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_each_replica_perturbs_with_its_own_gradient(strategy, variant, jit_compile):
    sam = compiled(strategy, rho=0.5, jit_compile=jit_compile, **variant)
    w = in_float64(sam)
    history = one_batch(sam)
    gradients = [reference.sam_gradients(w, x, y, 0.5, **variant) for x, y in HALVES]
    for variable, a, g0, g1 in zip(sam.trainable_variables, w, *gradients, strict=True):
        np.testing.assert_allclose(variable, a - 0.1 * (g0 + g1) / 2, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(history["loss"], [reference.loss(w, X, Y)], rtol=1e-5)


@pytest.mark.parametrize("variant", [{}, {"normalize": False}, {"adaptive": True}])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_synchronised_replicas_equal_one_device(strategy, variant, jit_compile):
    sam = compiled(strategy, rho=0.5, sync_perturbation=True, jit_compile=jit_compile, **variant)
    w = in_float64(sam)
    one_batch(sam)
    g = reference.sam_gradients(w, X, Y, 0.5, **variant)
    for variable, a, b in zip(sam.trainable_variables, w, g, strict=True):
        np.testing.assert_allclose(variable, a - 0.1 * b, rtol=1e-5, atol=1e-6)


def test_synchronisation_without_a_strategy_is_harmless():
    results = []
    for sync in (False, True):
        sam = compiled(None, sync_perturbation=sync)
        one_batch(sam)
        results.append(np.asarray(sam.trainable_variables[0]))
    np.testing.assert_array_equal(*results)


def test_splits_on_every_replica(strategy):
    sam = compiled(strategy, rho=0.5, num_batch_splits=2)
    w = in_float64(sam)
    one_batch(sam)
    quarters = [(X[i : i + 2], Y[i : i + 2]) for i in (0, 2, 4, 6)]
    gradients = [reference.sam_gradients(w, x, y, 0.5) for x, y in quarters]
    for i, variable in enumerate(sam.trainable_variables):
        mean = sum(g[i] for g in gradients) / 4
        np.testing.assert_allclose(variable, w[i] - 0.1 * mean, rtol=1e-5, atol=1e-6)


def test_splits_on_one_device_equal_replicas(strategy):
    results = []
    for kwargs in ({"num_batch_splits": 2}, {}):
        sam = compiled(None if kwargs else strategy, build_batch_normalised, rho=0.5, **kwargs)
        one_batch(sam)
        results.append(in_float64(sam))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def build_batch_normalised():
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(16, activation="relu", kernel_regularizer="l2"),
            layers.BatchNormalization(),
            layers.Dense(3),
        ]
    )


def test_replicas_may_have_unequal_shares(strategy):
    sam = compiled(strategy, rho=0.5)
    w = in_float64(sam)
    sam.fit(X[:3], Y[:3], batch_size=3, shuffle=False, verbose=0)
    gradients = [reference.sam_gradients(w, X[i], Y[i], 0.5) for i in (slice(0, 2), slice(2, 3))]
    for variable, a, g0, g1 in zip(sam.trainable_variables, w, *gradients, strict=True):
        np.testing.assert_allclose(variable, a - 0.1 * (g0 + g1) / 2, rtol=1e-5, atol=1e-6)


def test_rho_zero_equals_plain_keras(strategy):
    results = []
    for wrap in (lambda net: net, lambda net: SAMModel(net, rho=0)):
        with strategy.scope():
            keras.utils.set_random_seed(1)
            model = wrap(build_batch_normalised())
            model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
        # An odd batch would crash plain Keras, which averages the replicas' unequal shares.
        history = model.fit(X, Y, batch_size=4, epochs=2, shuffle=False, verbose=0).history
        results.append(([np.asarray(w) for w in model.weights], history))
    assert results[0][1] == results[1][1]
    for a, b in zip(results[0][0], results[1][0], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("replicas", "kwargs"),
    [
        (1, {"num_batch_splits": 2}),
        (2, {"sync_perturbation": True}),
        pytest.param(1, {}, marks=pytest.mark.slow),
        pytest.param(1, {"sync_perturbation": True}, marks=pytest.mark.slow),
        pytest.param(1, {"rho": 0.0}, marks=pytest.mark.slow),
        pytest.param(2, {}, marks=pytest.mark.slow),
        pytest.param(2, {"num_batch_splits": 2}, marks=pytest.mark.slow),
        pytest.param(2, {"rho": 0.0}, marks=pytest.mark.slow),
    ],
)
def test_xla_agrees_after_20_steps(strategy, replicas, kwargs):
    x = np.random.default_rng(1).normal(size=(64, 4)).astype("float32")
    y = np.random.default_rng(2).normal(size=(64, 3)).astype("float32")
    results = []
    for jit_compile in (False, True):
        sam = compiled(
            strategy if replicas == 2 else None,
            build_batch_normalised,
            lambda: keras.optimizers.SGD(0.05, momentum=0.9),
            jit_compile,
            **kwargs,
        )
        sam.fit(x, y, batch_size=16, epochs=5, shuffle=False, verbose=0)
        logs = sam.evaluate(x, y, batch_size=16, verbose=0, return_dict=True)
        results.append(([np.asarray(w) for w in sam.weights], logs, sam.predict(x, verbose=0)))
    for a, b in zip(results[0][0], results[1][0], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    np.testing.assert_allclose(results[0][2], results[1][2], atol=1e-4)
    assert results[0][1] == pytest.approx(results[1][1], abs=1e-5)


def test_xla_is_really_used_in_the_replica(strategy):
    sam = compiled(strategy, jit_compile=True)
    one_batch(sam)
    assert sam._jit_in_replica
    dataset = strategy.experimental_distribute_dataset(
        tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)
    )
    (batch,) = list(dataset)
    step = tf.function(lambda data: strategy.run(sam.train_step, args=(data,)))
    graph = step.get_concrete_function(batch).graph.as_graph_def()
    functions = [f for f in graph.library.function if "_XlaMustCompile" in f.attr]
    assert functions
    assert all(f.attr["_XlaMustCompile"].b for f in functions)


@pytest.mark.parametrize("accelerator", [False, True])
@pytest.mark.parametrize("distributed", [False, True])
def test_auto_is_xla_on_accelerators_only(strategy, monkeypatch, accelerator, distributed):
    monkeypatch.setattr(tensorflow_trainer, "on_accelerator", lambda: accelerator)
    sam = compiled(strategy if distributed else None, jit_compile="auto")
    assert (sam._jit_in_replica or sam.jit_compile) == accelerator
    assert sam._jit_in_replica == (accelerator and distributed)
    assert sam.get_compile_config()["jit_compile"] == "auto"


def test_auto_is_off_for_layers_without_xla(strategy, monkeypatch):
    class NoXla(layers.Layer):
        def __init__(self):
            super().__init__()
            self.supports_jit = False

        def call(self, x):
            return x

    monkeypatch.setattr(tensorflow_trainer, "on_accelerator", lambda: True)
    sam = compiled(
        strategy,
        lambda: keras.Sequential([keras.Input((4,)), NoXla(), layers.Dense(3)]),
        jit_compile="auto",
    )
    assert not sam._jit_in_replica


def test_accelerators_are_seen(monkeypatch):
    assert not tensorflow_trainer.on_accelerator()
    devices = [tf.config.PhysicalDevice("g", "GPU"), *tf.config.list_physical_devices("CPU")]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda *args: devices)
    assert tensorflow_trainer.on_accelerator()


def test_gradient_accumulation_under_a_strategy_is_refused(strategy):
    for optimizer in (
        lambda: keras.optimizers.SGD(gradient_accumulation_steps=2),
        lambda: keras.optimizers.LossScaleOptimizer(
            keras.optimizers.SGD(gradient_accumulation_steps=2)
        ),
    ):
        with pytest.raises(ValueError, match="gradient_accumulation_steps=2`"):
            compiled(strategy, optimizer=optimizer)


def test_gradient_accumulation_on_one_device_averages_sam_gradients():
    sam = compiled(
        None, rho=0.5, optimizer=lambda: keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
    )
    w = in_float64(sam)
    sam.fit(X, Y, batch_size=4, shuffle=False, verbose=0)
    gradients = [reference.sam_gradients(w, x, y, 0.5) for x, y in HALVES]
    for variable, a, g0, g1 in zip(sam.trainable_variables, w, *gradients, strict=True):
        np.testing.assert_allclose(variable, a - 0.1 * (g0 + g1) / 2, rtol=1e-5, atol=1e-6)


def test_synchronised_batch_normalisation(strategy):
    def build():
        return keras.Sequential(
            [keras.Input((4,)), layers.BatchNormalization(synchronized=True), layers.Dense(3)]
        )

    sam = compiled(strategy, build, sync_perturbation=True)
    one_batch(sam)
    alone = compiled(None, build)
    one_batch(alone)
    for a, b in zip(sam.weights, alone.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match=r"`jit_compile` must be False.*batch_normalization"):
        compiled(strategy, build, jit_compile=True)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_masks_stay_exact(strategy, jit_compile):
    mask = np.arange(12).reshape(4, 3) % 3 > 0
    sam = compiled(
        strategy,
        optimizer=lambda: keras.optimizers.AdamW(0.1),
        jit_compile=jit_compile,
        masks=None,
    )
    path = sam.trainable_variables[0].path
    one_batch(sam)
    sam.masks = {path: mask}
    sam.fit(X, Y, batch_size=4, epochs=3, verbose=0)
    for replica in strategy.experimental_local_results(sam.trainable_variables[0].value):
        assert (replica.numpy()[~mask] == 0).all()
        assert (replica.numpy()[mask] != 0).all()


def half(jit_compile, **kwargs):
    policy = keras.dtype_policies.DTypePolicy("mixed_float16")
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), **kwargs)
    net = keras.Sequential([keras.Input((4,)), layers.Dense(3, dtype=policy)])
    sam = SAMModel(net, rho=0.5)
    sam.compile(optimizer, "mse", jit_compile=jit_compile)
    return sam


def test_an_overflow_on_any_replica_skips_the_step_on_all(strategy):
    """Keras looks at the first replica alone; the overflow here is on the second."""
    with strategy.scope():
        sam = half(False, initial_scale=1024.0)
    x = np.concatenate([X[:4], np.full_like(X[:4], 6e4)])
    sam.optimizer.build(sam.trainable_variables)
    before = [np.asarray(v) for v in sam.trainable_variables]
    sam.fit(x, Y, batch_size=8, shuffle=False, verbose=0)
    for variable, old in zip(sam.trainable_variables, before, strict=True):
        for replica in strategy.experimental_local_results(variable.value):
            np.testing.assert_array_equal(replica, old)
    assert sam.optimizer.dynamic_scale.numpy() == 512.0
    assert sam.optimizer.iterations.numpy() == 0


def test_the_loss_scale_cancels_under_a_strategy(strategy):
    results = []
    for scale in (1.0, 2.0**10):
        with strategy.scope():
            keras.utils.set_random_seed(1)
            sam = half(False, initial_scale=scale)
        one_batch(sam)
        results.append(np.asarray(sam.trainable_variables[0]))
    np.testing.assert_allclose(*results, atol=2e-4)
