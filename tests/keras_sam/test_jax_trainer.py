"""What only JAX can get wrong: purity, donation, tracing, variables that are empty during `fit`."""

import keras
import numpy as np
import pytest
from keras import layers, ops

if keras.backend.backend() != "jax":
    pytest.skip("JAX's own", allow_module_level=True)

import jax

from keras_sam import SAMModel
from keras_sam.backend import compiled, hessian_vector_product, value_and_grad, vectorized_map
from tests.keras_sam import reference

RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 4)).astype("float32")
Y = RNG.normal(size=(8, 3)).astype("float32")


def built(rho=0.5, optimizer=None, **kwargs):
    net = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    net.set_weights([np.random.default_rng(1).normal(size=(4, 3)), np.zeros(3)])
    sam = SAMModel(net, rho=rho)
    sam.compile(optimizer or keras.optimizers.SGD(0.1), "mse", **kwargs)
    return sam


def arrays(sam):
    return [np.array(ops.convert_to_numpy(v)) for v in sam.trainable_variables]


def state_of(sam):
    groups = [
        sam.trainable_variables,
        sam.non_trainable_variables,
        sam.optimizer.variables,
        sam.metrics_variables,
    ]
    return tuple([v.value for v in group] for group in groups)


# The step.


def test_the_step_is_pure():
    sam = built()
    sam.train_on_batch(X, Y)
    before = [*arrays(sam), int(sam.optimizer.iterations)]
    state = state_of(sam)
    logs, new_state = jax.jit(sam.train_step)(state, (X, Y))
    for a, b in zip([*arrays(sam), int(sam.optimizer.iterations)], before, strict=True):
        np.testing.assert_array_equal(a, b)
    w = [a.astype("float64") for a in before[:-1]]
    expected = [a - 0.1 * g for a, g in zip(w, reference.sam_gradients(w, X, Y, 0.5))]
    for a, b in zip(new_state[0], expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert jax.tree.structure(new_state) == jax.tree.structure(state)
    assert set(logs) == {"loss"}


def test_the_state_is_donated():
    sam = built()
    sam.train_on_batch(X, Y)
    old = sam.trainable_variables[0].value
    sam.train_on_batch(X, Y)
    assert old.is_deleted()


def test_a_schedule_of_rho_is_traced_once():
    traces = []

    def loss(y, y_pred):
        traces.append(1)
        return ops.mean(ops.square(y - y_pred))

    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([1], [0.5, 2.0])
    sam = built(rho=schedule)
    sam.compile(keras.optimizers.SGD(0.1), loss)
    w = [a.astype("float64") for a in arrays(sam)]
    counts = []
    for step in range(4):
        sam.train_on_batch(X, Y)
        counts.append(len(traces))
        g = reference.sam_gradients(w, X, Y, 0.5 if step <= 1 else 2.0)
        w = [a - 0.1 * b for a, b in zip(w, g)]
    assert len(set(counts)) == 1
    for a, b in zip(arrays(sam), w, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_several_steps_per_execution():
    one, two = built(), built(steps_per_execution=2)
    for sam in (one, two):
        sam.fit(X, Y, batch_size=2, shuffle=False, verbose=0)
    for a, b in zip(arrays(one), arrays(two), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


# `fit`, during which the variables are empty and the values travel.


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_weights_survive_a_first_step_that_raises(run_eagerly):
    sam = built()
    raises = []

    def loss(y, y_pred):
        if raises:
            raise ArithmeticError
        return ops.mean(ops.square(y - y_pred))

    sam.compile("adam", loss, run_eagerly=run_eagerly)
    sam.evaluate(X, Y, verbose=0)  # Builds what `fit` would build before its first step.
    before = arrays(sam)
    raises.append(True)
    with pytest.raises(ArithmeticError):
        sam.fit(X, Y, verbose=0)
    for a, b in zip(arrays(sam), before, strict=True):
        np.testing.assert_array_equal(a, b)
    raises.clear()
    sam.fit(X, Y, verbose=0)
    assert (arrays(sam)[0] != before[0]).all()


def test_callbacks_may_change_masks_and_rho_in_the_middle():
    """As the same changes do between single steps; the second mask is a variable that is new."""
    sam, single = built(), built()
    kernels = [model.model.layers[0].kernel.path for model in (sam, single)]
    biases = [model.model.layers[0].bias.path for model in (sam, single)]
    rng = np.random.default_rng(2)
    masks = [rng.random((4, 3)) > 0.5 for _ in range(4)]
    bias_mask = np.array([True, False, True])
    read = []

    def change(model, step, kernel, bias):
        model.rho = 0.1 * (step + 1)
        model.masks = {kernel: masks[step], **({bias: bias_mask} if step >= 2 else {})}

    class Change(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            change(sam, batch, kernels[0], biases[0])
            read.append(sam.masks[kernels[0]])

    sam.fit(X, Y, batch_size=2, shuffle=False, verbose=0, callbacks=[Change()])
    for step in range(4):
        single.train_on_batch(X[2 * step : 2 * step + 2], Y[2 * step : 2 * step + 2])
        change(single, step, kernels[1], biases[1])
    for a, b in zip(arrays(sam), arrays(single), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    for a, b in zip(read, masks, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (arrays(sam)[0][~masks[3]] == 0).all()
    assert (arrays(sam)[0][masks[3]] != 0).any()


def test_averaged_weights_may_be_trained_again():
    """After `fit` they are the average's own arrays, and one array can be donated only once."""
    sam = built(optimizer=keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5))
    for _ in range(2):
        sam.fit(X, Y, verbose=0)
        sam.evaluate(X, Y, verbose=0)
        sam.train_on_batch(X, Y)
    assert np.isfinite(arrays(sam)[0]).all()


# The primitives.


def cubic(values, scale=1.0):
    """sum(scale * w^3), whose gradient is 3 scale w^2 and whose Hessian is diag(6 scale w)."""
    return scale * ops.sum(values[0] ** 3), values[0] * 2.0


W = np.array([1.0, 2.0], "float32")


def test_value_and_grad():
    (loss, aux), (slope, zero) = value_and_grad(cubic)([W, np.ones(2, "float32")], 2.0)
    assert float(loss) == 18.0
    assert aux.tolist() == [2.0, 4.0]
    assert slope.tolist() == [6.0, 24.0]
    assert zero.tolist() == [0.0, 0.0]


def test_hessian_vector_product():
    vector = np.array([1.0, 10.0])
    products = hessian_vector_product(cubic)([W, W], [vector, vector], 2.0)
    assert [p.tolist() for p in products] == [[12.0, 240.0], [0.0, 0.0]]


def test_compiled_map_of_products_is_traced_once():
    traces = []

    def of_element(scale):
        traces.append(1)
        return hessian_vector_product(cubic)([W], [np.ones(2)], scale)

    mapped = compiled(lambda elements: vectorized_map(of_element, elements))
    for factor in (1.0, 2.0):
        (products,) = mapped(factor * np.array([1.0, 2.0, 3.0], "float32"))
        np.testing.assert_allclose(products, factor * np.array([[6, 12], [12, 24], [18, 36]]))
    assert len(traces) == 1
