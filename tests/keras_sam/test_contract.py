"""The step's contract, line by line, against independent numbers. Runs on every Keras backend."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_sam import SAMModel
from tests.keras_sam import reference

RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 4)).astype("float32")
Y = RNG.normal(size=(8, 3)).astype("float32")
VARIANTS = [
    {},
    {"normalize": False},
    {"adaptive": True},
    {"adaptive": True, "normalize": False},
]


def linear(**kwargs):
    return keras.Sequential([keras.Input((4,)), layers.Dense(3, **kwargs)])


def in_float64(model):
    return [np.asarray(w, "float64") for w in model.trainable_variables]


def one_step(model, x=X, y=Y, optimizer=None, loss="mse", **kwargs):
    model.compile(optimizer or keras.optimizers.SGD(0.1), loss)
    return model.train_on_batch(x, y, **kwargs)


def assert_weights(model, expected):
    for variable, array in zip(model.trainable_variables, expected, strict=True):
        np.testing.assert_allclose(variable, array, rtol=1e-5, atol=1e-6)


# 1. The perturbation.


@pytest.mark.parametrize("variant", VARIANTS)
def test_step_equals_numpy(variant):
    net = linear()
    w = in_float64(net)
    logged = one_step(SAMModel(net, rho=0.5, **variant))
    g = reference.sam_gradients(w, X, Y, 0.5, **variant)
    assert_weights(net, [a - 0.1 * b for a, b in zip(w, g)])
    np.testing.assert_allclose(logged, reference.loss(w, X, Y), rtol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_step_differs_from_the_plain_one(variant):
    """A SAM that silently equals SGD is the field's commonest bug."""
    net = linear()
    w = in_float64(net)
    plain = [a - 0.1 * b for a, b in zip(w, reference.gradients(w, X, Y))]
    one_step(SAMModel(net, rho=0.5, **variant))
    assert np.abs(np.asarray(net.trainable_variables[0]) - plain[0]).max() > 1e-3


def test_zero_gradient_gives_no_nan():
    net = linear(kernel_initializer="zeros")
    one_step(SAMModel(net), y=np.zeros_like(Y))
    assert_weights(net, [np.zeros((4, 3)), np.zeros(3)])


# 2. rho.


def build_deep():
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(8, kernel_regularizer="l2"),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.Dense(3),
        ]
    )


def fit(model, **kwargs):
    keras.utils.set_random_seed(2)
    model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
    return model.fit(X, Y, batch_size=3, epochs=3, verbose=0, **kwargs).history


def test_rho_zero_is_the_plain_model_bit_for_bit():
    plain, wrapped = build_deep(), build_deep()
    sam = SAMModel(wrapped, rho=0)
    assert fit(plain) == fit(sam)
    for a, b in zip(plain.variables, wrapped.variables, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(plain.optimizer.variables, sam.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a, b)


class Counting(layers.Layer):
    """Counts how often its forward pass is written down: once a pass in eager mode."""

    calls = 0

    def call(self, x):
        Counting.calls += 1
        return x


@pytest.mark.parametrize(("rho", "passes"), [(0.0, 1), (0.1, 2)])
def test_number_of_passes(rho, passes):
    net = keras.Sequential([keras.Input((4,)), Counting(), layers.Dense(3)])
    sam = SAMModel(net, rho=rho)
    sam.compile("sgd", "mse", run_eagerly=True, jit_compile=False)
    sam.train_on_batch(X, Y)
    Counting.calls = 0
    sam.train_on_batch(X, Y)
    if keras.backend.backend() == "jax":
        pytest.skip("JAX has no eager step to count in")
    assert Counting.calls == passes


def test_rho_may_be_a_schedule_of_the_iterations():
    net = linear()
    w = in_float64(net)
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([0], [0.5, 2.0])
    sam = SAMModel(net, rho=schedule)
    sam.compile(keras.optimizers.SGD(0.1), "mse")
    for rho in (0.5, 2.0, 2.0):  # iterations 0, 1, 2
        sam.train_on_batch(X, Y)
        w = [a - 0.1 * b for a, b in zip(w, reference.sam_gradients(w, X, Y, rho))]
        assert_weights(net, w)


def test_rho_can_be_set_between_steps():
    net = linear()
    w = in_float64(net)
    sam = SAMModel(net, rho=0.5)
    sam.compile(keras.optimizers.SGD(0.1), "mse")
    for rho in (0.5, 3.0, 0.0):
        sam.rho = rho
        sam.train_on_batch(X, Y)
        w = [a - 0.1 * b for a, b in zip(w, reference.sam_gradients(w, X, Y, rho))]
        assert_weights(net, w)


# 3. The weights are never perturbed outside the gradient computation.


class FailsInSecondPass(layers.Layer):
    calls = 0

    def call(self, x):
        FailsInSecondPass.calls += 1
        if FailsInSecondPass.calls == 2:
            raise ArithmeticError("second pass")
        return x


def test_a_second_pass_that_raises_changes_nothing():
    net = keras.Sequential(
        [keras.Input((4,)), layers.BatchNormalization(), layers.Dropout(0.5), layers.Dense(3)]
    )
    sam = SAMModel(net)
    sam.compile("adam", "mse", run_eagerly=True, jit_compile=False)
    sam.train_on_batch(X, Y)
    failing = keras.Sequential([keras.Input((4,)), net, FailsInSecondPass()])
    sam = SAMModel(failing)
    sam.compile("adam", "mse", run_eagerly=True, jit_compile=False)
    sam.optimizer.build(sam.trainable_variables)
    before = [np.asarray(v) for v in [*sam.variables, *sam.optimizer.variables]]
    FailsInSecondPass.calls = 0
    with pytest.raises(ArithmeticError, match="second pass"):
        sam.train_on_batch(X, Y)
    assert FailsInSecondPass.calls == 2
    for old, new in zip(before, [*sam.variables, *sam.optimizer.variables], strict=True):
        np.testing.assert_array_equal(old, new)


# 4. Loss, metrics, statistics from the clean pass, once; the same dropout in both passes.


def test_batch_statistics_are_updated_once_from_the_clean_pass():
    net = keras.Sequential(
        [keras.Input((4,)), layers.Dense(3), layers.BatchNormalization(momentum=0.9)]
    )
    w = in_float64(net)
    activations = X @ w[0] + w[1]
    one_step(SAMModel(net, rho=5.0))
    moving = {v.name: np.asarray(v) for v in net.non_trainable_variables}
    np.testing.assert_allclose(
        moving["moving_mean"], 0.1 * activations.mean(0), rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(moving["moving_variance"], 0.9 + 0.1 * activations.var(0), rtol=1e-4)


def test_logs_come_from_the_clean_pass():
    net = linear()
    w = in_float64(net)
    sam = SAMModel(net, rho=5.0)
    sam.compile(keras.optimizers.SGD(0.1), "mse", metrics=["mae"])
    logs = sam.train_on_batch(X, Y, return_dict=True)
    np.testing.assert_allclose(logs["loss"], reference.loss(w, X, Y), rtol=1e-5)
    np.testing.assert_allclose(logs["mae"], np.abs(X @ w[0] + w[1] - Y).mean(), rtol=1e-5)


def test_both_passes_see_the_same_dropout_and_the_next_step_another():
    def build(seed):
        return keras.Sequential(
            [keras.Input((4,)), layers.Dropout(0.5, seed=seed), layers.Dense(3)]
        )

    net, twin = build(7), layers.Dropout(0.5, seed=7)
    w = in_float64(net)
    sam = SAMModel(net, rho=2.0)
    sam.compile(keras.optimizers.SGD(0.1), "mse")
    seen = []
    for _ in range(2):
        dropped = np.asarray(twin(X, training=True), "float64")  # Draws as `net` will, in one pass.
        g = reference.sam_gradients(w, dropped, Y, 2.0)
        w = [a - 0.1 * b for a, b in zip(w, g)]
        sam.train_on_batch(X, Y)
        assert_weights(net, w)
        seen.append(dropped)
    assert not np.array_equal(*seen)


# 5. Everything that `fit` honours.


def test_regularisation_is_part_of_both_passes():
    net = linear(kernel_regularizer=keras.regularizers.L2(0.3))
    w = in_float64(net)
    logged = one_step(SAMModel(net, rho=0.5))
    g = reference.sam_gradients(w, X, Y, 0.5, l2=0.3)
    assert_weights(net, [a - 0.1 * b for a, b in zip(w, g)])
    np.testing.assert_allclose(logged, reference.loss(w, X, Y) + 0.3 * np.sum(w[0] ** 2), rtol=1e-5)


class ActivityPenalty(layers.Layer):
    def call(self, x):
        self.add_loss(0.5 * ops.mean(ops.square(x)))
        return x


def test_add_loss_is_part_of_both_passes():
    net = keras.Sequential([keras.Input((4,)), layers.Dense(3), ActivityPenalty()])
    w = in_float64(net)
    logged = one_step(SAMModel(net, rho=0.5))

    def gradients(at):
        return [
            a + 0.5 * b
            for a, b in zip(
                reference.gradients(at, X, Y), reference.gradients(at, X, np.zeros_like(Y))
            )
        ]

    e = reference.perturbation(w, gradients(w), 0.5)
    g = gradients([a + b for a, b in zip(w, e)])
    assert_weights(net, [a - 0.1 * b for a, b in zip(w, g)])
    expected = reference.loss(w, X, Y) + 0.5 * reference.loss(w, X, 0 * Y)
    np.testing.assert_allclose(logged, expected, rtol=1e-5)


def test_sample_weights():
    net = linear()
    w = in_float64(net)
    sample_weight = np.linspace(0.0, 2.0, 8)
    one_step(SAMModel(net, rho=0.5), sample_weight=sample_weight)
    g = reference.sam_gradients(w, X, Y, 0.5, sample_weight=sample_weight)
    assert_weights(net, [a - 0.1 * b for a, b in zip(w, g)])


def test_class_weights():
    labels = np.arange(8) % 3
    results = []
    for kwargs in (
        {"class_weight": {0: 1.0, 1: 2.0, 2: 0.5}},
        {"sample_weight": np.take([1.0, 2.0, 0.5], labels)},
    ):
        keras.utils.set_random_seed(1)
        net = linear(activation="softmax")
        one_step(SAMModel(net), y=labels, loss="sparse_categorical_crossentropy", **kwargs)
        results.append(np.asarray(net.trainable_variables[0]))
    np.testing.assert_array_equal(*results)


def test_dict_inputs_several_outputs_and_losses():
    def build():
        keras.utils.set_random_seed(1)
        a, b = keras.Input((2,), name="a"), keras.Input((2,), name="b")
        both = layers.Concatenate()([a, b])
        outputs = {"p": layers.Dense(3, name="p")(both), "q": layers.Dense(3, name="q")(both)}
        return keras.Model({"a": a, "b": b}, outputs)

    x, y = {"a": X[:, :2], "b": X[:, 2:]}, {"p": Y, "q": 2 * Y}
    net = build()
    kernels = {v.path: np.asarray(v, "float64") for v in net.trainable_variables}
    p = [kernels["p/kernel"], kernels["p/bias"]]
    q = [kernels["q/kernel"], kernels["q/bias"]]
    sam = SAMModel(net, rho=0.5)
    sam.compile(
        keras.optimizers.SGD(0.1),
        loss={"p": "mse", "q": "mse"},
        loss_weights={"p": 1.0, "q": 3.0},
        metrics={"p": "mae"},
    )
    logs = sam.train_on_batch(x, y, return_dict=True)

    def gradients(at):
        return [
            *reference.gradients(at[:2], X, Y),
            *[3 * g for g in reference.gradients(at[2:], X, 2 * Y)],
        ]

    e = reference.perturbation(p + q, gradients(p + q), 0.5)
    g = gradients([a + b for a, b in zip(p + q, e)])
    expected = dict(zip(["p/kernel", "p/bias", "q/kernel", "q/bias"], g))
    for v in net.trainable_variables:
        np.testing.assert_allclose(
            v, kernels[v.path] - 0.1 * expected[v.path], rtol=1e-4, atol=1e-6
        )
    p_loss, q_loss = reference.loss(p, X, Y), reference.loss(q, X, 2 * Y)
    np.testing.assert_allclose(logs["loss"], p_loss + 3 * q_loss, rtol=1e-5)
    np.testing.assert_allclose(logs["p_loss"], p_loss, rtol=1e-5)
    np.testing.assert_allclose(logs["q_loss"], q_loss, rtol=1e-5)
    np.testing.assert_allclose(logs["p_mae"], np.abs(X @ p[0] + p[1] - Y).mean(), rtol=1e-5)


def test_frozen_layers_stay_and_are_not_perturbed():
    net = keras.Sequential([keras.Input((4,)), layers.Dense(5, trainable=False), layers.Dense(3)])
    frozen = [np.asarray(v) for v in net.layers[0].variables]
    w = in_float64(net)
    hidden = X.astype("float64") @ frozen[0] + frozen[1]
    one_step(SAMModel(net, rho=0.5))
    g = reference.sam_gradients(w, hidden, Y, 0.5)
    assert_weights(net, [a - 0.1 * b for a, b in zip(w, g)])
    for old, new in zip(frozen, net.layers[0].variables, strict=True):
        np.testing.assert_array_equal(old, new)


class WithUnusedWeight(keras.Model):
    def __init__(self):
        super().__init__()
        self.used, self.unused = layers.Dense(3), layers.Dense(3)
        self.used.build((None, 4))
        self.unused.build((None, 4))

    def call(self, x):  # Takes no `training`.
        return self.used(x)


@pytest.mark.filterwarnings("ignore:Gradients do not exist", "ignore:The following variables")
def test_unused_weights_stay():
    net = WithUnusedWeight()
    unused = [np.asarray(v) for v in net.unused.variables]
    w = [np.asarray(v, "float64") for v in net.used.variables]
    one_step(SAMModel(net, rho=0.5))
    g = reference.sam_gradients(w, X, Y, 0.5)
    for v, a, b in zip(net.used.variables, w, g, strict=True):
        np.testing.assert_allclose(v, a - 0.1 * b, rtol=1e-5, atol=1e-6)
    for old, new in zip(unused, net.unused.variables, strict=True):
        np.testing.assert_array_equal(old, new)


def test_embedding_with_repeated_rows():
    """Rows that occur twice must be summed before the norm is taken."""
    tokens = np.array([[0], [2], [2], [2], [1], [0], [2], [1]])
    net = keras.Sequential(
        [keras.Input((1,), dtype="int32"), layers.Embedding(5, 3), layers.Flatten()]
    )
    table = in_float64(net)[0]
    one_hot = np.eye(5)[tokens[:, 0]]
    one_step(SAMModel(net, rho=0.5), x=tokens)
    g = reference.sam_gradients([table], one_hot, Y, 0.5)
    assert_weights(net, [table - 0.1 * g[0]])


# 8. num_batch_splits.


@pytest.mark.parametrize(("examples", "splits"), [(8, 1), (8, 4), (7, 3), (8, 8), (5, 2)])
def test_splits_are_averaged_by_size(examples, splits):
    net = linear()
    w = in_float64(net)
    x, y = X[:examples], Y[:examples]
    logged = one_step(SAMModel(net, rho=0.5, num_batch_splits=splits), x=x, y=y)
    bounds = [i * examples // splits for i in range(splits + 1)]
    total = [np.zeros_like(a) for a in w]
    for start, stop in zip(bounds, bounds[1:]):
        g = reference.sam_gradients(w, x[start:stop], y[start:stop], 0.5)
        total = [t + (stop - start) / examples * b for t, b in zip(total, g)]
    assert_weights(net, [a - 0.1 * t for a, t in zip(w, total)])
    np.testing.assert_allclose(logged, reference.loss(w, x, y), rtol=1e-5)


def test_last_batch_may_be_smaller_than_the_splits():
    net = linear()
    sam = SAMModel(net, rho=0.5, num_batch_splits=4)
    sam.compile(keras.optimizers.SGD(0.1), "mse", metrics=["mae"])
    x, y = X[:7], Y[:7]  # Batches of 6 and of 1.
    w = in_float64(net)
    history = sam.fit(x, y, batch_size=6, shuffle=False, verbose=0).history
    losses, errors = [], []
    for batch_x, batch_y, bounds in [(x[:6], y[:6], [0, 1, 3, 4, 6]), (x[6:], y[6:], [0, 1])]:
        losses.append(reference.loss(w, batch_x, batch_y) * len(batch_x))
        errors.append(np.abs(batch_x @ w[0] + w[1] - batch_y).mean() * len(batch_x))
        total = [np.zeros_like(a) for a in w]
        for start, stop in zip(bounds, bounds[1:]):
            g = reference.sam_gradients(w, batch_x[start:stop], batch_y[start:stop], 0.5)
            total = [t + (stop - start) / len(batch_x) * b for t, b in zip(total, g)]
        w = [a - 0.1 * t for a, t in zip(w, total)]
    assert_weights(net, w)
    np.testing.assert_allclose(history["loss"], [sum(losses) / 7], rtol=1e-5)
    np.testing.assert_allclose(history["mae"], [sum(errors) / 7], rtol=1e-5)


def test_splits_update_batch_statistics_once():
    net = keras.Sequential(
        [keras.Input((4,)), layers.BatchNormalization(momentum=0.9), layers.Dense(3)]
    )
    one_step(SAMModel(net, num_batch_splits=2))
    halves = X[:4], X[4:]
    moving = {v.name: np.asarray(v) for v in net.non_trainable_variables}
    mean = np.mean([h.mean(0) for h in halves], axis=0)
    variance = np.mean([h.var(0) for h in halves], axis=0)
    np.testing.assert_allclose(moving["moving_mean"], 0.1 * mean, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(moving["moving_variance"], 0.9 + 0.1 * variance, rtol=1e-5)


def test_splits_draw_different_dropout():
    """Each split goes on in the random sequence where the one before stopped."""
    net = keras.Sequential([keras.Input((4,)), layers.Dropout(0.5, seed=3), layers.Dense(3)])
    twin = layers.Dropout(0.5, seed=3)
    w = in_float64(net)
    one_step(SAMModel(net, rho=0.5, num_batch_splits=2))
    total = [np.zeros_like(a) for a in w]
    for half in (slice(0, 4), slice(4, 8)):
        g = reference.sam_gradients(w, np.asarray(twin(X[half], training=True)), Y[half], 0.5)
        total = [t + 0.5 * b for t, b in zip(total, g)]
    assert_weights(net, [a - 0.1 * t for a, t in zip(w, total)])


def test_splits_count_each_output_loss_once():
    a = keras.Input((4,))
    net = keras.Model(a, {"p": layers.Dense(3, name="p")(a), "q": layers.Dense(3, name="q")(a)})
    weights = {v.path: np.asarray(v, "float64") for v in net.variables}
    sam = SAMModel(net, num_batch_splits=2)
    sam.compile("sgd", {"p": "mse", "q": "mse"})
    logs = sam.train_on_batch(X, {"p": Y, "q": Y}, return_dict=True)
    p = reference.loss([weights["p/kernel"], weights["p/bias"]], X, Y)
    q = reference.loss([weights["q/kernel"], weights["q/bias"]], X, Y)
    np.testing.assert_allclose([logs["p_loss"], logs["q_loss"]], [p, q], rtol=1e-5)
    np.testing.assert_allclose(logs["loss"], p + q, rtol=1e-5)


# Masks.


@pytest.mark.parametrize("variant", VARIANTS)
def test_masks_hold_in_both_passes(variant):
    net = linear()
    mask = np.arange(12).reshape(4, 3) % 3 > 0
    path = net.trainable_variables[0].path
    sam = SAMModel(net, rho=0.5, masks={path: mask}, **variant)
    w = in_float64(net)
    assert (w[0][~mask] == 0).all()
    one_step(sam)
    g = reference.sam_gradients(w, X, Y, 0.5, masks=[mask, np.ones(3)], **variant)
    assert_weights(net, [a - 0.1 * b for a, b in zip(w, g)])
    kernel = np.asarray(net.trainable_variables[0])
    assert (kernel[~mask] == 0).all()
    assert not np.signbit(kernel[~mask]).any()
    np.testing.assert_array_equal(sam.masks[path], mask)


def test_masks_as_a_list():
    net = linear()
    mask = np.arange(12).reshape(4, 3) % 2
    sam = SAMModel(net, masks=[mask, None])
    assert list(sam.masks) == [net.trainable_variables[0].path]
    np.testing.assert_array_equal(np.asarray(net.trainable_variables[0]) != 0, mask.astype(bool))


OPTIMIZERS = {
    "momentum": lambda: keras.optimizers.SGD(0.1, momentum=0.9, weight_decay=0.1),
    "adamw": lambda: keras.optimizers.AdamW(0.1, weight_decay=0.1),
    "ema": lambda: keras.optimizers.Adam(0.1, use_ema=True, ema_overwrite_frequency=2),
    "ema at the end": lambda: keras.optimizers.SGD(0.1, use_ema=True),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("rho", [0.0, 0.1])
def test_masks_that_change_leave_exact_zeros_with_every_optimizer(optimizer, rho):
    net = linear()
    sam = SAMModel(net, rho=rho)
    sam.compile(optimizer(), "mse")
    sam.fit(X, Y, batch_size=4, epochs=2, verbose=0)
    kernel = net.trainable_variables[0]
    for seed in range(2):
        mask = np.random.default_rng(seed).random((4, 3)) > 0.5
        sam.masks = {kernel.path: mask}
        assert (np.asarray(kernel)[~mask] == 0).all()
        sam.fit(X, Y, batch_size=4, epochs=2, verbose=0)
        assert (np.asarray(kernel)[~mask] == 0).all()
        assert (np.asarray(kernel)[mask] != 0).sum() > 0
    sam.masks = {}
    sam.fit(X, Y, batch_size=4, epochs=1, verbose=0)
    assert (np.asarray(kernel) != 0).all()
