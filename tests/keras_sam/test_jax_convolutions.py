"""Convolutions inside branches of JAX's programs: the same numbers, in the order that CPUs like."""

import re

import keras
import numpy as np
import pytest
from keras import layers

if keras.backend.backend() != "jax":
    pytest.skip("JAX's own", allow_module_level=True)

import jax
import jax.numpy as jnp

from keras_sam import Every, Late, SAMModel
from keras_sam.backend import branch
from keras_sam.backend.jax_convolutions import channels_last
from keras_sam.methods import ae_sam, gsam, looksam

RNG = np.random.default_rng(0)
IMAGES = (2, 8, 8, 4)
# The kernel's shape, `jax.lax.conv_general_dilated`'s arguments, the images' shape if another.
CASES = {
    "plain": ((3, 3, 4, 6), {}),
    "strided": ((3, 3, 4, 6), {"window_strides": (2, 2)}),
    "valid": ((2, 3, 4, 6), {"padding": "VALID"}),
    "dilated": ((3, 3, 4, 6), {"rhs_dilation": (2, 1)}),
    "transposed": ((3, 3, 4, 6), {"lhs_dilation": (2, 2), "padding": ((2, 2), (2, 2))}),
    "grouped": ((3, 3, 2, 6), {"feature_group_count": 2}),
    "depthwise": ((3, 3, 1, 8), {"feature_group_count": 4}),
    "channels first": ((3, 3, 4, 6), {"dimension_numbers": ("NCHW", "HWIO", "NCHW")}, (2, 4, 8, 8)),
    "mixed orders": ((6, 4, 3, 2), {"dimension_numbers": ("HCNW", "OIWH", "CNHW")}, (7, 4, 2, 8)),
    "one dimension": ((3, 4, 6), {"dimension_numbers": ("NWC", "WIO", "NWC")}, (2, 8, 4)),
    "bfloat16": ((3, 3, 4, 6), {"dtype": "bfloat16"}),
    "float16": ((3, 3, 4, 6), {"dtype": "float16"}),
}
YES, NO = jnp.array(True), jnp.array(False)


def convolution(name):
    """`(kernel, images) -> loss, gradients`, and arguments for it."""
    shape, options, *images = CASES[name]
    options = {"window_strides": (1,) * (len(shape) - 2), "padding": "SAME", **options}
    options.setdefault("dimension_numbers", ("NHWC", "HWIO", "NHWC"))
    dtype = options.pop("dtype", "float32")

    def loss(kernel, images):
        return jnp.square(jax.lax.conv_general_dilated(images, kernel, **options)).sum()

    operands = [RNG.normal(size=size) for size in (shape, *(images or [IMAGES]))]
    return jax.value_and_grad(loss, (0, 1)), [jnp.asarray(array, dtype) for array in operands]


def nothing(*arrays):
    return jnp.zeros((), arrays[0].dtype), tuple(jnp.zeros_like(array) for array in arrays)


def orders(fn, *args):
    """The orders of axes of the convolutions in the compiled program."""
    return re.findall(r"dim_labels=(\S+?),?\s", jax.jit(fn).lower(*args).compile().as_text())


@pytest.mark.parametrize("name", CASES)
def test_a_branch_computes_what_stands_outside_of_one(name):
    gradients, arguments = convolution(name)

    def chosen(predicate, *arguments):
        return branch(predicate, lambda: gradients(*arguments), lambda: nothing(*arguments))

    expected = jax.tree.leaves(jax.jit(gradients)(*arguments))
    actual = jax.tree.leaves(jax.jit(chosen)(YES, *arguments))
    rounding = 1e-6 if arguments[0].dtype == "float32" else 2e-2
    for a, e in zip(actual, expected, strict=True):
        assert a.dtype == e.dtype
        a, e = np.asarray(a, "float64"), np.asarray(e, "float64")
        np.testing.assert_allclose(a, e, rtol=0, atol=rounding * abs(e).max())
    assert not any(np.any(a) for a in jax.tree.leaves(jax.jit(chosen)(NO, *arguments)))


@pytest.mark.parametrize("name", ["plain", "strided", "transposed", "mixed orders"])
def test_the_orders_in_branches_and_loops_are_those_outside(name):
    """XLA's passes for a CPU put the axes into the order that its library takes, there alone."""
    gradients, arguments = convolution(name)

    def loop(predicate, *arguments):
        def body(_, carry):
            return gradients(*carry)[1]

        return jax.lax.fori_loop(0, predicate.astype(int), body, arguments)

    def chosen(branch):
        return lambda predicate, *arguments: branch(
            predicate, lambda: gradients(*arguments), lambda: nothing(*arguments)
        )

    outside = orders(gradients, *arguments)
    for fn in (chosen(branch), channels_last(loop)):
        assert set(orders(fn, YES, *arguments)) <= set(outside)
    # Were it not for us. When this fails, jax_convolutions.py can go.
    for fn in (chosen(jax.lax.cond), loop):
        assert not set(orders(fn, YES, *arguments)) <= set(outside)


def test_what_else_is_in_a_program_stays():
    """Constants, nested programs, derivatives of one's own, effects, and nests with None."""
    seen = []

    @jax.custom_jvp
    def doubled(x):
        return 2 * x

    doubled.defjvp(lambda primals, tangents: (doubled(*primals), 7 * tangents[0]))

    def program(x, y):
        (_, total) = jax.lax.scan(lambda c, t: (c + t, doubled(c)), x, jnp.arange(3.0))
        jax.debug.callback(lambda value: seen.append(float(value)), x)
        return {"a": jax.jit(lambda t: doubled(t) + np.float32(5))(x), "b": (None, total.sum() * y)}

    x, y = jnp.array(1.5), jnp.array(2.0)
    actual, expected = channels_last(program)(x, y), program(x, y)
    jax.effects_barrier()
    assert actual == expected
    assert seen == [1.5, 1.5]
    slopes = [
        jax.grad(lambda x, fn=fn: fn(x, y)["a"])(x) for fn in (channels_last(program), program)
    ]
    assert [float(slope) for slope in slopes] == [7.0, 7.0]


def test_a_batch_of_branches():
    """Members of a population: each takes the branch that its own predicate says."""
    gradients, (kernel, images) = convolution("strided")
    kernels = jnp.stack([kernel, 2 * kernel])

    def of_one(predicate, kernel):
        return branch(predicate, lambda: gradients(kernel, images), lambda: nothing(kernel, images))

    for predicates, axis in ((jnp.array([True, False]), 0), (YES, None)):
        _, (actual, _) = jax.vmap(of_one, (axis, 0))(predicates, kernels)
        for i, predicate in enumerate(np.broadcast_to(predicates, 2)):
            _, (expected, _) = of_one(predicate, kernels[i])
            np.testing.assert_allclose(actual[i], expected, rtol=1e-4, atol=1e-3)


# The training step.

X = RNG.normal(size=(48, 6, 6, 2)).astype("float32")
Y = RNG.integers(0, 3, 48)
METHODS = {
    "every": {"rho": Every(0.5, 3)},
    "late": {"rho": Late(0.5, 5)},
    "looksam": {"rho": Every(0.5, 3), "method": looksam(0.7)},
    "gsam": {"rho": Every(0.5, 2), "method": gsam(0.4)},
    "ae_sam": {"method": ae_sam(0.2, 0.6), "rho": 0.5},
    "splits": {"rho": Every(0.5, 2), "num_batch_splits": 2},
    "logged": {"rho": Every(0.5, 2), "log_ascent": True},
    "set by a callback": {"rho": Every(0.5, 2)},
    "bfloat16": {"rho": Every(0.5, 2)},
}


class Setting(keras.callbacks.Callback):
    """Sets rho within an epoch, and the optimizer's iterations after it."""

    def on_train_batch_end(self, batch, logs=None):
        if batch == 2:
            self.model.rho = Late(0.3, 5)

    def on_epoch_end(self, epoch, logs=None):
        self.model.optimizer.iterations.assign(3)


def trained(name, **for_compile):
    """The variables and logs after 12 steps of a small convolutional network."""
    keras.utils.set_random_seed(0)
    policy = "mixed_bfloat16" if name == "bfloat16" else "float32"
    callbacks = [Setting()] if name == "set by a callback" else []
    net = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            layers.Conv2D(4, 3, strides=2, padding="same", use_bias=False, dtype=policy),
            layers.BatchNormalization(),
            layers.DepthwiseConv2D(2, activation="tanh"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3),
        ]
    )
    sam = SAMModel(net, **METHODS[name])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    sam.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss, **for_compile)
    logs = sam.fit(
        X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0, callbacks=callbacks
    ).history
    return [np.asarray(v) for v in sam.variables], logs


@pytest.mark.parametrize(
    ("name", "steps_per_execution"),
    [
        ("looksam", 1),
        *(pytest.param(name, 1, marks=pytest.mark.slow) for name in METHODS if name != "looksam"),
        *(pytest.param(name, 3, marks=pytest.mark.slow) for name in METHODS),
    ],
)
def test_training_is_that_of_the_plain_branch(name, steps_per_execution, monkeypatch):
    ours, logs = trained(name, steps_per_execution=steps_per_execution)
    monkeypatch.setattr("keras_sam.backend.jax.channels_last", lambda fn: fn)
    plain, plain_logs = trained(name, steps_per_execution=steps_per_execution)
    rounding = 0.02 if name == "bfloat16" else 1e-4
    for a, b in zip(ours, plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=rounding, atol=rounding / 10)
    for key in plain_logs:
        np.testing.assert_allclose(logs[key], plain_logs[key], rtol=rounding)
