"""Every method under MirroredStrategy, with two logical CPU devices. TensorFlow only."""

import itertools

import keras
import numpy as np
import pytest
from keras import layers

from keras_sam import Every, SAMModel
from keras_sam.methods import ae_sam
from tests.keras_sam.methods import models
from tests.keras_sam.methods.models import METHODS, RATE, SIZE, X, Y, build, expected, flat

if keras.backend.backend() != "tensorflow":
    pytest.skip("tf.distribute is TensorFlow's", allow_module_level=True)

# A descent that projects, a direction that averages, a branch on each replica's own gradient.
CASES = [
    (name, sync, jit)
    for name in METHODS
    for sync in (True, False)
    for jit in (False, True)
    # A further gradient in the branch would have to be averaged there: refused.
    if not (sync and name == "two steps")
]
DEFAULT = [("all together", True, False), ("looksam", True, True), ("all together", False, False)]


def three_steps(strategy, name, sync, jit):
    with strategy.scope():
        sam = build(name, sync_perturbation=sync, jit_compile=jit)
    rows = slice(0, 3 * SIZE)
    sam.fit(X[rows], Y[rows], batch_size=SIZE, shuffle=False, verbose=0)
    return sam


def states_on_each(strategy, sam):
    return [
        [replica.numpy() for replica in strategy.experimental_local_results(v.value)]
        for of_rule in sam.method_variables
        for v in of_rule
    ]


@pytest.mark.parametrize(
    ("name", "sync", "jit"),
    [case if case in DEFAULT else pytest.param(*case, marks=pytest.mark.slow) for case in CASES],
)
def test_replicas(strategy, name, sync, jit):
    """Synchronised they equal one device on the whole batch; else the mean of what each does."""
    sam = three_steps(strategy, name, sync, jit)
    weights = expected(name, 3, parts=1 if sync else 2)[-1]
    np.testing.assert_allclose(flat(sam), weights, rtol=1e-3, atol=2e-5)
    if name != "msam":
        other = expected(name, 3, parts=2 if sync else 1)[-1]
        assert np.abs(weights - other).max() > 1e-3
    for first, second in states_on_each(strategy, sam):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", ["looksam"])
def test_an_overflow_on_one_replica_reaches_no_state(strategy, name):
    """In a step whose second pass stands in a branch; the overflow is on the second replica."""
    policy = keras.dtype_policies.DTypePolicy("mixed_float16")
    with strategy.scope():
        net = keras.Sequential([keras.Input((4,)), layers.Dense(3, dtype=policy)])
        optimizer = keras.optimizers.LossScaleOptimizer(
            keras.optimizers.SGD(RATE), initial_scale=256.0
        )
        sam = SAMModel(net, **{"rho": 0.5, **METHODS[name][0]})
        sam.compile(optimizer, "mse", jit_compile=False)
    good = X[:8].copy()
    bad = np.concatenate([X[:4], np.full((4, 4), 6e4, "float32")])
    seen = []
    for x in (good, bad):
        sam.fit(x, Y[:8], batch_size=8, shuffle=False, verbose=0)
        seen.append([flat(sam), *itertools.chain(*states_on_each(strategy, sam))])
    for before, after in zip(*seen, strict=True):
        np.testing.assert_array_equal(before, after)
    assert optimizer.iterations.numpy() == 1
    assert np.abs(seen[0][1]).max() > 0


def test_synchronised_layers_and_a_rho_that_switches(strategy):
    def make(**options):
        net = keras.Sequential(
            [keras.Input((4,)), layers.BatchNormalization(synchronized=True), layers.Dense(3)]
        )
        sam = SAMModel(net, **options)
        sam.compile("sgd", "mse", jit_compile=False)
        return sam

    with strategy.scope():
        for options in ({"rho": Every(0.1, 2)}, {"method": ae_sam()}):
            with pytest.raises(ValueError, match=r"`rho` must be a number.*\['batch_norm"):
                make(**options)
        sam = make(method="gsam")
        with pytest.raises(ValueError, match=r"`rho` must be a number.*Every\(0.1, 2\)"):
            sam.rho = Every(0.1, 2)
        assert sam.rho == 0.05
    assert isinstance(make(rho=Every(0.1, 2)), SAMModel)  # One device has nobody to wait for.


def test_logs_of_the_ascent_are_those_of_the_replicas(strategy):
    """Without the 1/R that Keras puts on each replica's loss."""
    with strategy.scope():
        sam = build("gsam", log_ascent=True, jit_compile=False)
    logs = sam.fit(X[:8], Y[:8], batch_size=8, shuffle=False, verbose=0).history
    start = np.concatenate([models.KERNEL.ravel(), np.zeros(3)])
    norms, rises = [], []
    for rows in (slice(0, 4), slice(4, 8)):
        x, y = X[rows], Y[rows]
        g = models.slope(start, x, y)
        norms.append(np.linalg.norm(g))
        up = start + 0.5 * g / norms[-1]
        rises.append(models.loss(up, x, y) - models.loss(start, x, y))
    np.testing.assert_allclose(logs["gradient_norm"], [np.mean(norms)], rtol=1e-5)
    np.testing.assert_allclose(logs["perturbation_norm"], [0.5], rtol=1e-5)
    np.testing.assert_allclose(logs["ascent"], [np.mean(rises)], rtol=1e-4)
