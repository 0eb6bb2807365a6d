"""The step's contract, for every method: through `fit`, masks, splits, files, mixed precision."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_sam import Every, Late, SAMModel
from keras_sam.methods import looksam
from tests.keras_sam.methods import models
from tests.keras_sam.methods.models import METHODS, RATE, RHO, SIZE, X, Y, build, expected, flat

BACKEND = keras.backend.backend()
STATEFUL = ["looksam", "friendly", "vasso", "msam", "ae_sam", "all together"]


def some(names, default):
    """All of the names as parameters, those that are not among the default ones slow."""
    return pytest.mark.parametrize(
        "name", [n if n in default else pytest.param(n, marks=pytest.mark.slow) for n in names]
    )


def fit(sam, first, last, **kwargs):
    rows = slice(first * SIZE, last * SIZE)
    return sam.fit(X[rows], Y[rows], batch_size=SIZE, shuffle=False, verbose=0, **kwargs).history


def state(sam):
    return [ops.convert_to_numpy(v) for of_rule in sam.method_variables for v in of_rule]


def assert_equal(arrays, expected):
    for a, b in zip(arrays, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def assert_equal_states(a, b):
    for u, v in zip([*a.variables, *a.optimizer.variables], [*b.variables, *b.optimizer.variables]):
        np.testing.assert_array_equal(u, v)


@pytest.mark.parametrize("name", METHODS)
def test_fit_equals_numpy_and_weights_files_hold_the_state(name, tmp_path):
    """With masks; with several steps an execution, where Keras has them; from the file again."""
    together = {} if BACKEND == "torch" else {"steps_per_execution": 3}
    sam = build(name, masked=True, **together)
    fit(sam, 0, 3)
    sam.save_weights(tmp_path / "sam.weights.h5")
    velocity = [ops.convert_to_numpy(v) for v in sam.optimizer.variables]
    middle = [flat(sam), *state(sam)]
    fit(sam, 3, 6)
    end = [flat(sam), *state(sam)]
    np.testing.assert_allclose(end[0], expected(name, masked=True)[-1], rtol=1e-3, atol=2e-5)
    assert (end[0][:12].reshape(4, 3)[~models.MASK] == 0).all()
    assert bool(state(sam)) == (name in STATEFUL)

    sam.load_weights(tmp_path / "sam.weights.h5")
    assert_equal([flat(sam), *state(sam)], middle)
    for variable, value in zip(sam.optimizer.variables, velocity, strict=True):
        variable.assign(value)
    fit(sam, 3, 6)
    assert_equal([flat(sam), *state(sam)], end)


@some(
    [name for name in METHODS if name != "msam"],
    ["looksam", "all together"],
)
def test_splits_average_gradients_and_states(name):
    sam = build(name, num_batch_splits=2)
    for step in range(4):
        sam.train_on_batch(*models.batch(step))
    weights = expected(name, 4, parts=2)
    np.testing.assert_allclose(flat(sam), weights[-1], rtol=1e-3, atol=2e-5)
    assert np.abs(weights[-1] - expected(name, 4)[-1]).max() > 1e-3


# Files.


@some(METHODS, ["looksam", "ae_sam"])
def test_a_keras_file_goes_on_as_if_never_stopped(name, tmp_path):
    sam = build(name, masked=True)
    fit(sam, 0, 3)
    sam.save(tmp_path / "sam.keras")
    loaded = keras.saving.load_model(tmp_path / "sam.keras")
    assert loaded.method == sam.method
    assert_equal_states(sam, loaded)
    for model in (sam, loaded):
        fit(model, 3, 6)
    assert_equal_states(sam, loaded)


def test_a_file_of_another_method_makes_the_state_start_anew(tmp_path):
    plain, sam = build("late"), build("friendly")
    for variable in [*plain.trainable_variables, *sam.non_trainable_variables]:
        variable.assign(np.ones(variable.shape))
    plain.save_weights(tmp_path / "plain.weights.h5")
    sam.save_weights(tmp_path / "sam.weights.h5")
    sam.load_weights(tmp_path / "plain.weights.h5")
    np.testing.assert_array_equal(flat(sam), 1.0)
    assert [float(array.max()) for array in state(sam)] == [0.0, 0.0, 0.0]
    sam.load_weights(tmp_path / "sam.weights.h5")
    assert [float(array.min()) for array in state(sam)] == [1.0, 1.0, 1.0]
    plain.load_weights(tmp_path / "sam.weights.h5")  # It has no use for the state.
    np.testing.assert_array_equal(flat(plain)[:12], models.KERNEL.ravel())


def test_reset_method():
    sam = build("friendly")
    for variable in sam.non_trainable_variables:
        variable.assign(np.ones(variable.shape))
    sam.reset_method()
    assert [float(array.max()) for array in state(sam)] == [0.0, 0.0, 0.0]
    np.testing.assert_array_equal(flat(sam)[:12], models.KERNEL.ravel())


def test_the_state_is_no_weight():
    sam, plain = build("friendly"), build("late")
    assert len(sam.get_weights()) == len(sam.weights) == len(plain.weights) == 2
    assert sam.count_params() == plain.count_params() == 15
    assert len(sam.non_trainable_variables) == 3
    assert plain.non_trainable_variables == []
    assert len(plain.layers) == 1
    sam.set_weights(plain.get_weights())


@pytest.mark.slow
def test_backup_and_restore_goes_on_exactly(tmp_path):
    class KilledError(Exception):
        pass

    class Kill(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KilledError

    def run(folder, *callbacks):
        sam = build("looksam")
        backup = keras.callbacks.BackupAndRestore(tmp_path / folder)
        fit(sam, 0, 2, epochs=4, callbacks=[backup, *callbacks])
        return sam

    whole = run("whole")
    with pytest.raises(KilledError):
        run("cut", Kill())
    assert_equal_states(whole, run("cut"))


# What a step does, whatever the method.


def deep():
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(8, activation="tanh", kernel_regularizer="l2"),
            layers.BatchNormalization(),
            layers.Dropout(0.5, seed=1),
            layers.Dense(3),
        ]
    )


@pytest.mark.parametrize(
    ("switching", "steady"),
    [(Every(0.1, 1), 0.1), pytest.param(Late(0.1, 99), 0.0, marks=pytest.mark.slow)],
    ids=["on", "off"],
)
def test_a_branch_changes_no_number(switching, steady):
    """Statistics once a step, one dropout mask a step, as where there is no branch."""
    results = []
    for rho in (switching, steady):
        sam = SAMModel(deep(), rho=rho)
        sam.compile(keras.optimizers.SGD(0.1), "mse", metrics=["mae"])
        logs = fit(sam, 0, 4)
        results.append(([ops.convert_to_numpy(v) for v in sam.variables], logs))
    for a, b in zip(results[0][0], results[1][0], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    for key in results[0][1]:
        np.testing.assert_allclose(results[0][1][key], results[1][1][key], rtol=1e-5)


@pytest.mark.filterwarnings("ignore:Gradients do not exist", "ignore:The following variables")
def test_embeddings_and_unused_weights():
    """Sparse gradients and none at all, in a branch and in a rule that mixes."""

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.table, self.unused = layers.Embedding(5, 3), layers.Dense(3)
            self.table.build(None)
            self.unused.build((None, 3))

        def call(self, tokens):
            return self.table(tokens)[:, 0]

    tokens = np.array([[0], [2], [2], [2], [1], [0], [2], [1]])
    targets = models.Y[:8]
    net = Net()
    table = np.asarray(ops.convert_to_numpy(net.table.embeddings), "float64")
    sam = SAMModel(net, rho=Every(RHO, 2), method=looksam(0.5))
    sam.compile(keras.optimizers.SGD(RATE), "mse")
    unused = [ops.convert_to_numpy(v) for v in net.unused.variables]
    one_hot = np.eye(5)[tokens[:, 0]]

    def gradient(w):
        return (2 * one_hot.T @ (one_hot @ w.reshape(5, 3) - targets) / targets.size).ravel()

    rule, w = models.reference.LookSAM(0.5), table.ravel()
    for rho in (RHO, 0.0):
        w = w - RATE * rule.step(gradient, w, rho)
        sam.train_on_batch(tokens, targets)
    np.testing.assert_allclose(
        ops.convert_to_numpy(net.table.embeddings).ravel(), w, rtol=1e-4, atol=1e-6
    )
    for old, new in zip(unused, net.unused.variables, strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("name", ["looksam"])
def test_micro_batches_of_an_accumulation_are_treated_alike(name):
    """Every counts updates: with two batches an update, passes come in pairs."""
    optimizer = keras.optimizers.SGD(RATE, gradient_accumulation_steps=2)
    sam = build(name, optimizer, rho=Every(RHO, 2))
    rule, w, sums = METHODS[name][1](), flat(sam), []
    for step in range(6):
        x, y = models.batch(step)
        rho = RHO if step // 2 % 2 == 0 else 0.0
        sums.append(rule.step(lambda at, x=x, y=y: models.slope(at, x, y), w, rho))
        if step % 2:
            w = w - RATE * (sums[-2] + sums[-1]) / 2
        sam.train_on_batch(x, y)
    np.testing.assert_allclose(flat(sam), w, rtol=1e-3, atol=2e-5)


# Mixed precision.


def half(name, initial_scale):
    keras.utils.set_random_seed(1)
    policy = keras.dtype_policies.DTypePolicy("mixed_float16")
    net = keras.Sequential([keras.Input((4,)), layers.Dense(3, dtype=policy)])
    net.set_weights([models.KERNEL, np.zeros(3)])
    optimizer = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(RATE, momentum=models.MOMENTUM), initial_scale=initial_scale
    )
    sam = SAMModel(net, **{"rho": RHO, **METHODS[name][0]})
    sam.compile(optimizer, "mse")
    return sam


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
@some(METHODS, ["looksam", "msam"])
def test_an_overflow_never_reaches_a_state(name):
    """The first steps overflow, until the scale fits; then the training is that of float32."""
    sam = half(name, 2.0**20)
    sam.train_on_batch(*models.batch(0))
    assert int(sam.optimizer.iterations) == 0  # There was an overflow.
    np.testing.assert_array_equal(flat(sam)[:12], models.KERNEL.ravel())
    assert all((array == 0).all() for array in state(sam))
    for _ in range(20):
        if int(sam.optimizer.iterations) == 1:
            break
        sam.train_on_batch(*models.batch(0))
    for step in (1, 2, 3):
        sam.train_on_batch(*models.batch(step))
    assert int(sam.optimizer.iterations) == 4
    np.testing.assert_allclose(flat(sam), expected(name, 4)[-1], atol=2e-2)
    assert all(np.isfinite(array).all() for array in state(sam))


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
@some(METHODS, ["friendly"])
def test_an_overflow_in_the_middle_leaves_the_state_as_it_is(name):
    sam = half(name, 256.0)
    for step in range(2):
        sam.train_on_batch(*models.batch(step))
    before = [flat(sam), *state(sam)]
    sam.train_on_batch(np.full((SIZE, 4), 6e4, "float32"), Y[:SIZE])
    for old, new in zip(before, [flat(sam), *state(sam)], strict=True):
        np.testing.assert_array_equal(old, new)
    assert int(sam.optimizer.iterations) == 2


class SquareOrNothing(layers.Layer):
    """x^2; 0 where that is not finite, with zero gradient, which hides an overflow."""

    def call(self, x):
        x = ops.square(x)
        return ops.where(ops.isfinite(x), x, ops.zeros_like(x))


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
@pytest.mark.parametrize(
    "rho", [pytest.param(2.6, marks=pytest.mark.slow), Every(2.6, 2)], ids=["steady", "switching"]
)
def test_an_overflow_between_ascent_steps_is_seen(rho):
    """(100 w)^2 at w = 0.1, 1.4, 2.7: the second gradient overflows, the third is hidden."""
    policy = keras.dtype_policies.DTypePolicy("mixed_float16")
    net = keras.Sequential(
        [
            keras.Input((1,)),
            layers.Dense(1, dtype=policy, use_bias=False),
            SquareOrNothing(dtype=policy),
        ]
    )
    net.set_weights([np.array([[0.1]])])
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), initial_scale=16.0)
    sam = SAMModel(net, rho, ascent_steps=2, geometry="sign")
    sam.compile(optimizer, lambda y, y_pred: ops.mean(y_pred))
    sam.train_on_batch(np.array([[100.0]]), np.array([[0.0]]))
    assert float(flat(sam)[0]) == np.float32(0.1)
    assert int(optimizer.iterations) == 0
    optimizer.inner_optimizer.iterations.assign(1)  # A step at which a switching rho is 0.
    sam.train_on_batch(np.array([[100.0]]), np.array([[0.0]]))
    assert int(optimizer.iterations) == (1 if rho == 2.6 else 2)


# Which weights, in which geometry.


def test_changed_trainable_weights_make_a_new_state():
    net = keras.Sequential([keras.Input((4,)), layers.Dense(5), layers.Dense(3)])
    sam = SAMModel(net, method="friendly", perturb=lambda v: v.name == "kernel")
    assert len(state(sam)) == 5
    assert sam.perturbation.flags == (True, False, True, False)
    net.layers[0].trainable = False
    sam.compile("sgd", "mse")
    fit(sam, 0, 2)
    assert len(state(sam)) == 3
    assert np.abs(state(sam)[1]).max() > 0
    assert sam.perturbation.flags == (True, False)
    net.layers[0].trainable = True
    sam.fit_method()
    assert [array.max() for array in state(sam)] == [0.0] * 5


@pytest.mark.skipif(
    keras.backend.backend() == "jax", reason="Keras on JAX drops what a pass assigns to weights"
)
@pytest.mark.parametrize("name", ["msam"])
def test_weights_that_a_pass_assigns_are_refused_where_it_is_at_other_weights(name):
    net = keras.Sequential([keras.Input((4,)), layers.SpectralNormalization(layers.Dense(3))])
    sam = SAMModel(net, method=name)
    sam.compile("sgd", "mse")
    before = flat(sam)
    with pytest.raises(ValueError, match="assigns no trainable weight.*Received: .*kernel"):
        sam.train_on_batch(*models.batch(0))
    np.testing.assert_array_equal(flat(sam), before)


def test_a_net_that_is_built_by_its_first_batch():
    net = keras.Sequential([layers.Dense(3), layers.LayerNormalization()])
    sam = SAMModel(net, method="looksam", rho=Every(0.1, 2), perturb="normalization")
    sam.compile("sgd", "mse")
    fit(sam, 0, 2)
    assert sam.perturbation.flags == (False, False, True, True)
    assert np.abs(state(sam)[0]).max() > 0
