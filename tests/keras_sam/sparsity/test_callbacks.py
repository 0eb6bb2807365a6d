import math

import keras
import numpy as np
import pytest

from keras_sam import SAMModel, sparsity
from keras_sam.sparsity.distributions import kept_count
from keras_sam.sparsity.regrowth import drop_and_grow
from tests.keras_sam.sparsity.nets import dense_net

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(48, 6)).astype("float32"), RNG.normal(size=(48, 3)).astype("float32")
SIZE = 6 * 10 + 10 * 3  # Weights of both kernels of `sam_model`.


class Recorder(keras.callbacks.Callback):
    """Masks and weights as they are after each batch, and how often the step was traced."""

    def __init__(self):
        super().__init__()
        self.masks, self.weights = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.masks.append(self.model.masks)
        self.weights.append({v.path: np.array(v) for v in self.model.model.weights})
        for path, mask in self.masks[-1].items():
            assert np.all(self.weights[-1][path][~mask] == 0.0)

    @property
    def kept(self):
        return [sum(int(m.sum()) for m in masks.values()) for masks in self.masks]


def sam_model(sparsity_=None, rho=0, optimizer="adam", seed=1, **compile_arguments):
    keras.utils.set_random_seed(seed)
    net = dense_net(10, 3)
    masks = None
    if sparsity_ is not None:
        masks = sparsity.prune(net, sparsity_, "random", distribution="erk")
    sam = SAMModel(net, rho=rho, masks=masks)
    sam.compile(optimizer, "mse", **compile_arguments)
    return sam


def fit(sam, *callbacks, epochs=2, **kwargs):
    """Twelve steps (six an epoch) unless told otherwise."""
    recorder = Recorder()
    sam.fit(
        X, Y, batch_size=8, epochs=epochs, verbose=0, shuffle=False,
        callbacks=[*callbacks, recorder], **kwargs,
    )  # fmt: skip
    return recorder


# Polynomial pruning


def polynomial(t, begin, end, initial, final, power=3.0):
    return final + (initial - final) * (1 - (t - begin) / (end - begin)) ** power


@pytest.mark.parametrize("rho", [0, 0.05])
def test_polynomial_counts_follow_the_schedule_step_by_step(rho):
    callback = sparsity.PolynomialPruning(0.9, begin_step=2, end_step=10, frequency=3)
    kept = fit(sam_model(rho=rho), callback).kept
    expected = []
    for step in range(1, 13):
        # Due after steps 2, 5, 8 and, at the end of the schedule, 10.
        due = max((t for t in (2, 5, 8, 10) if t <= step), default=None)
        s = 0.0 if due is None else polynomial(due, 2, 10, 0.0, 0.9)
        expected.append(kept_count(s, SIZE))
    assert kept == expected
    assert kept[-3:] == [9, 9, 9]
    assert kept[-4] > 9


def test_polynomial_of_other_power_and_initial_sparsity():
    callback = sparsity.PolynomialPruning(
        0.8, begin_step=0, end_step=10, frequency=1, initial_sparsity=0.5, power=1.0
    )
    kept = fit(sam_model(), callback).kept
    assert kept == [
        kept_count(polynomial(min(t, 10), 0, 10, 0.5, 0.8, 1), SIZE) for t in range(1, 13)
    ]


def test_polynomial_initial_sparsity_holds_from_the_first_step():
    class First(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 0:
                self.sparsity = sparsity.summary(self.model).sparsity

    first = First()
    callback = sparsity.PolynomialPruning(0.8, 0, 12, initial_sparsity=0.5)
    fit(sam_model(), callback, first, epochs=1)
    assert first.sparsity == 0.5


def test_polynomial_prunes_the_smallest_of_each_layer_for_good():
    callback = sparsity.PolynomialPruning(0.7, begin_step=1, end_step=12, frequency=1)
    # A learning rate of 0, so that weights change by pruning alone.
    recorder = fit(sam_model(optimizer=keras.optimizers.SGD(0.0)), callback)
    for before, masks in zip(recorder.masks, recorder.masks[1:], strict=False):
        density = sum(mask.sum() for mask in masks.values()) / SIZE
        for path, mask in masks.items():
            assert np.all(mask <= before[path])
            assert abs(mask.sum() - density * mask.size) < 1
            magnitude = np.abs(recorder.weights[0][path])
            assert magnitude[before[path] & ~mask].max(initial=0) < magnitude[mask].min()


def test_polynomial_global_distribution():
    callback = sparsity.PolynomialPruning(0.5, 1, 4, frequency=1, distribution="global")
    recorder = fit(sam_model(optimizer=keras.optimizers.SGD(0.0)), callback, epochs=1)
    net = sam_model().model
    expected = sparsity.prune(net, 0.5, distribution="global")
    for path, mask in recorder.masks[-1].items():
        np.testing.assert_array_equal(mask, expected[path])


def test_polynomial_keeps_masks_that_are_there_and_starts_from_them():
    sam = sam_model(0.6)
    initial = sam.masks
    recorder = fit(sam, sparsity.PolynomialPruning(0.8, 1, 10, frequency=1))
    assert recorder.kept[0] == kept_count(0.6, SIZE)
    assert recorder.kept[-1] == kept_count(0.8, SIZE)
    for masks in recorder.masks:
        assert all(np.all(masks[path] <= initial[path]) for path in masks)


def test_polynomial_filter_leaves_other_masks_alone():
    sam = sam_model()
    other = {"net/d1/kernel": np.eye(10, 3) > 0}
    sam.masks = other
    callback = sparsity.PolynomialPruning(0.5, 1, 4, frequency=1, filter=["net/d0/kernel"])
    masks = fit(sam, callback).masks[-1]
    np.testing.assert_array_equal(masks["net/d1/kernel"], other["net/d1/kernel"])
    assert masks["net/d0/kernel"].sum() == 30


def test_polynomial_goes_on_where_it_was():
    whole = sam_model()
    fit(whole, sparsity.PolynomialPruning(0.9, 1, 11, frequency=2))
    parts = sam_model()
    for epoch in range(2):
        callback = sparsity.PolynomialPruning(0.9, 1, 11, frequency=2)
        fit(parts, callback, epochs=epoch + 1, initial_epoch=epoch)
    for one, other in zip(whole.model.get_weights(), parts.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="Keras has none of it on PyTorch")
def test_polynomial_with_several_steps_per_execution():
    """Callbacks see every third step only: 3, 6, 9, 12."""
    callback = sparsity.PolynomialPruning(0.9, begin_step=1, end_step=11, frequency=2)
    kept = fit(sam_model(steps_per_execution=3), callback).kept
    assert kept == [kept_count(polynomial(t, 1, 11, 0, 0.9), SIZE) for t in (3, 5, 9, 11)]


def test_steps_are_those_of_the_optimizer():
    """With two batches a step, twelve batches are six steps."""
    optimizer = keras.optimizers.SGD(0.01, gradient_accumulation_steps=2)
    callback = sparsity.PolynomialPruning(0.9, begin_step=1, end_step=5, frequency=1)
    kept = fit(sam_model(optimizer=optimizer), callback).kept
    steps = [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 5]
    assert kept == [kept_count(polynomial(t, 1, 5, 0, 0.9) if t else 0, SIZE) for t in steps]


# SET and RigL


def moves(recorder, initial):
    """(step, how many weights were dropped in each layer) of each step that changed masks."""
    found = []
    for step, masks in enumerate(recorder.masks, start=1):
        if any((masks[path] != initial[path]).any() for path in masks):
            found.append((step, [int((initial[p] & ~masks[p]).sum()) for p in masks]))
        initial = masks
    return found


def rigl(**kwargs):
    return sparsity.RigL((X[:8], Y[:8]), **{"end_step": 9, "frequency": 3, **kwargs})


@pytest.mark.parametrize("make", [lambda: sparsity.SET(3), rigl], ids=["SET", "RigL"])
@pytest.mark.parametrize("rho", [0, 0.05])
def test_each_layer_keeps_its_number_of_weights(make, rho):
    sam = sam_model(0.7, rho=rho)
    initial = {path: int(mask.sum()) for path, mask in sam.masks.items()}
    before = sam.masks
    recorder = fit(sam, make())
    for masks in recorder.masks:
        assert {path: int(mask.sum()) for path, mask in masks.items()} == initial
    assert moves(recorder, before)


def test_set_moves_its_fraction_on_schedule():
    sam = sam_model(0.5)
    before = sam.masks
    callback = sparsity.SET(3, fraction=0.4, begin_step=1, end_step=10)
    found = moves(fit(sam, callback), before)
    assert [step for step, _ in found] == [4, 7, 10]
    # At most the fraction, since some of what was dropped grows again at once.
    for _, moved in found:
        assert all(
            0 < count <= math.floor(0.4 * mask.sum() + 0.5)
            for count, mask in zip(moved, before.values(), strict=True)
        )


@pytest.mark.parametrize(
    "make",
    [lambda: sparsity.SET(3, end_step=6), lambda: rigl(end_step=8, frequency=3, fraction=0.9)],
    ids=["SET", "RigL"],
)
def test_nothing_moves_after_the_last_step(make):
    """Of twelve steps 3 and 6 are due; 9 and 12 are multiples of 3, too."""
    sam = sam_model(0.5)
    before = sam.masks
    assert [step for step, _ in moves(fit(sam, make()), before)] == [3, 6]


def test_the_last_step_itself_is_one_of_the_schedule():
    sam = sam_model(0.5)
    before = sam.masks
    assert [s for s, _ in moves(fit(sam, sparsity.SET(5, end_step=10)), before)] == [5, 10]


def test_documented_defaults():
    assert sparsity.PolynomialPruning(0.5, 0, 1000).frequency == 100
    assert sparsity.PolynomialPruning(0.5, 0, 1000).power == 3.0
    assert sparsity.PolynomialPruning(0.5, 0, 1000).initial_sparsity == 0.0
    rigl_ = sparsity.RigL((X, Y), end_step=1000)
    assert (rigl_.frequency, rigl_.fraction, rigl_.begin_step) == (100, 0.3, 0)
    set_ = sparsity.SET(7)
    assert (set_.fraction, set_.begin_step, set_.end_step, set_.seed) == (0.3, 0, None, 0)


def spy_on(callback):
    """Makes the callback remember the pure move of each update."""
    callback.seen = []
    update = callback.update

    def recorded(step):
        model = callback.model
        before = {v.path: np.array(v) for v in model.model.weights if v.path in model.masks}
        masks = model.masks
        scores = callback.growth_scores(step, before)
        update(step)
        after = {
            path: np.array(v) for path in before for v in model.model.weights if v.path == path
        }
        callback.seen.append((step, masks, before, scores, model.masks, after))

    callback.update = recorded
    return callback


@pytest.mark.parametrize("make", [lambda: sparsity.SET(4), rigl], ids=["SET", "RigL"])
def test_dropped_are_the_smallest_and_grown_start_at_zero(make):
    callback = spy_on(make())
    fit(sam_model(0.5), callback)
    assert callback.seen
    for step, masks, before, scores, new, after in callback.seen:
        for path, mask in masks.items():
            count = math.floor(callback.fraction_at(step) * mask.sum() + 0.5)
            active = np.sort(np.abs(before[path][mask]))
            stays = new[path] & (after[path] != 0)
            # Weights that stay have not changed; they are the largest.
            assert stays.sum() == mask.sum() - count
            np.testing.assert_array_equal(after[path][stays], before[path][stays])
            assert np.abs(before[path][stays]).min() >= active[count - 1] if count else True
            # The grown ones have the highest scores of all that do not stay, and are 0.0.
            grown = new[path] & ~stays
            assert grown.sum() == count
            assert np.all(after[path][grown] == 0.0)
            if count:
                rest = ~stays & ~grown
                assert np.asarray(scores[path])[grown].min() > np.asarray(scores[path])[rest].max()


def test_rigl_fraction_falls_as_a_cosine():
    callback = sparsity.RigL((X, Y), end_step=100, fraction=0.3)
    found = [callback.fraction_at(step) for step in (0, 25, 50, 100)]
    np.testing.assert_allclose(found, [0.3, 0.15 * (1 + np.sqrt(0.5)), 0.15, 0.0], atol=1e-12)


def test_rigl_grows_by_the_dense_gradient_of_its_data():
    """Against NumPy: one linear layer, L = mean((x w - y)^2)."""
    net = dense_net(3, use_bias=False)
    sam = SAMModel(net, rho=0, masks=sparsity.prune(net, 0.5))
    sam.compile(keras.optimizers.SGD(0.01), "mse")
    batches = [(X[:8], Y[:8]), (X[8:20], Y[8:20])]
    callback = spy_on(sparsity.RigL(batches, end_step=12, frequency=2))
    fit(sam, callback)
    assert [step for step, *_ in callback.seen] == [2, 4, 6, 8, 10, 12]
    for update, (_, _, before, scores, _, _) in enumerate(callback.seen):
        x, y = batches[update % 2]
        w = before["net/d0/kernel"]
        expected = np.abs(x.T @ (2 * (x @ w - y) / y.size))
        np.testing.assert_allclose(scores["net/d0/kernel"], expected, rtol=1e-4, atol=1e-6)
        assert np.all(scores["net/d0/kernel"][w == 0] != 0)


def test_rigl_leaves_the_training_itself_alone():
    """The gradient is taken from batch norm and dropout as they are, and moves neither."""

    def run(*callbacks):
        keras.utils.set_random_seed(1)
        net = keras.Sequential(
            [
                keras.Input((6,)),
                keras.layers.Dense(8, name="a"),
                keras.layers.BatchNormalization(),
                keras.layers.Dropout(0.5, seed=2),
                keras.layers.Dense(3, name="b"),
            ],
            name="net",
        )
        sam = SAMModel(net, rho=0.05, masks=sparsity.prune(net, 0.5, "random"))
        sam.compile("adam", "mse")
        fit(sam, *callbacks)
        return net.get_weights()

    # A fraction of 0 takes the gradient and moves nothing.
    for one, other in zip(run(), run(rigl(fraction=0.0)), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "make", [lambda seed: sparsity.SET(3, seed=seed), lambda seed: rigl()], ids=["SET", "RigL"]
)
def test_same_seed_same_masks(make):
    first, second = (fit(sam_model(0.7), make(5)) for _ in range(2))
    for one, other in zip(first.masks, second.masks, strict=True):
        for path in one:
            np.testing.assert_array_equal(one[path], other[path])


def test_set_depends_on_its_seed():
    first, second = (fit(sam_model(0.7), sparsity.SET(3, seed=s)).masks[-1] for s in (0, 1))
    assert any((first[path] != second[path]).any() for path in first)


@pytest.mark.parametrize("make", [lambda: sparsity.SET(2), rigl], ids=["SET", "RigL"])
def test_dynamic_sparsity_goes_on_where_it_was(make):
    whole = sam_model(0.5)
    fit(whole, make())
    parts = sam_model(0.5)
    for epoch in range(2):
        fit(parts, make(), epochs=epoch + 1, initial_epoch=epoch)
    for path, mask in whole.masks.items():
        np.testing.assert_array_equal(mask, parts.masks[path])
    for one, other in zip(whole.model.get_weights(), parts.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_drop_and_grow_by_hand():
    mask = np.array([True, True, True, False, False])
    weight = np.array([0.3, -0.1, 0.2, 0.0, 0.0])
    score = np.array([0.0, 9.0, 5.0, 1.0, 2.0])
    dropped, grown = drop_and_grow(mask, weight, score, 2)
    np.testing.assert_array_equal(dropped, [True, False, False, False, False])
    np.testing.assert_array_equal(grown, [True, True, True, False, False])
    _, grown = drop_and_grow(mask, weight, score, 1)
    np.testing.assert_array_equal(grown, [True, True, True, False, False])
    _, grown = drop_and_grow(mask, weight, -score, 2)
    np.testing.assert_array_equal(grown, [True, False, False, True, True])


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.distribute")
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(
            lambda: sparsity.PolynomialPruning(0.8, 1, 9, frequency=2),
            id="polynomial",
            marks=pytest.mark.slow,
        ),
        pytest.param(lambda: sparsity.SET(2), id="SET", marks=pytest.mark.slow),
        pytest.param(rigl, id="RigL"),
    ],
)
def test_callbacks_on_two_replicas(strategy, make):
    with strategy.scope():
        sam = sam_model(0.5, rho=0.05)
    recorder = fit(sam, make())
    assert len({tuple(m["net/d0/kernel"].ravel()) for m in recorder.masks}) > 1
    for variable in sam.model.weights:
        first, second = strategy.experimental_local_results(variable.value)
        np.testing.assert_array_equal(np.array(first), np.array(second))


@pytest.mark.parametrize("score", ["snip", "grasp", "synflow"])
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.distribute")
def test_scores_of_a_mirrored_model(strategy, score):
    keras.utils.set_random_seed(1)
    plain = dense_net(10, 3)
    with strategy.scope():
        keras.utils.set_random_seed(1)
        mirrored = dense_net(10, 3)
    arguments = {"data": (X, Y), "loss": "mse"}
    expected = sparsity.prune(plain, 0.5, score, **arguments)
    for path, mask in sparsity.prune(mirrored, 0.5, score, **arguments).items():
        np.testing.assert_array_equal(mask, expected[path])


# Bad input


def test_callbacks_need_a_sam_model():
    net = dense_net(3)
    net.compile("sgd", "mse")
    for callback in (sparsity.SET(2), rigl(), sparsity.PolynomialPruning(0.5, 0, 2)):
        with pytest.raises(TypeError, match="needs a SAMModel"):
            net.fit(X, Y, verbose=0, callbacks=[callback])


@pytest.mark.parametrize("make", [lambda: sparsity.SET(2), rigl], ids=["SET", "RigL"])
def test_dynamic_sparsity_needs_masks(make):
    with pytest.raises(ValueError, match="needs a SAMModel with masks"):
        fit(sam_model(), make())


def test_weights_that_are_not_finite():
    sam = sam_model()
    sam.model.trainable_variables[0].assign(np.full((6, 10), np.nan))
    with pytest.raises(ValueError, match="must be finite"):
        fit(sam, sparsity.PolynomialPruning(0.5, 1, 4, frequency=1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sparsity.PolynomialPruning(1.0, 0, 2), r"`final_sparsity` must be in \[0, 1\)"),
        (lambda: sparsity.PolynomialPruning(0.5, 2, 2), "`end_step` must be >= 3"),
        (lambda: sparsity.PolynomialPruning(0.5, -1, 2), "`begin_step` must be >= 0"),
        (lambda: sparsity.PolynomialPruning(0.5, 0, 2, frequency=0), "`frequency` must be >= 1"),
        (lambda: sparsity.PolynomialPruning(0.5, 0, 2, power=0), "`power` must be .*> 0"),
        (lambda: sparsity.PolynomialPruning(0.5, 0, 2, power=math.inf), "`power` must be .*> 0"),
        (lambda: sparsity.PolynomialPruning(0.5, 0, 2, power=math.nan), "`power` must be .*> 0"),
        (
            lambda: sparsity.PolynomialPruning(0.5, 0, 2, initial_sparsity=0.6),
            "`initial_sparsity` must not be above",
        ),
        (lambda: sparsity.PolynomialPruning(0.5, 0, 2, distribution="all"), "'erk', 'global'"),
        (lambda: sparsity.SET(0), "`frequency` must be >= 1"),
        (lambda: sparsity.SET(1, fraction=1.0), "`fraction` must be in"),
        (lambda: sparsity.SET(1, seed=-1), "`seed` must be >= 0"),
        (lambda: rigl(end_step=0), "`end_step` must be >= 1"),
        (lambda: rigl(fraction=-0.1), "`fraction` must be in"),
        (lambda: sparsity.RigL([], end_step=3), "at least one batch"),
    ],
)
def test_arguments_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_arguments_of_the_wrong_type():
    with pytest.raises(TypeError, match="`frequency` must be an int"):
        sparsity.SET(1.5)
    with pytest.raises(TypeError, match="`data` must be a batch"):
        sparsity.RigL(X, end_step=3)
    with pytest.raises(TypeError, match="`filter` must be a function.*`filter=5`"):
        sparsity.PolynomialPruning(0.5, 0, 2, filter=5)
    with pytest.raises(TypeError, match="`power` must be a number"):
        sparsity.PolynomialPruning(0.5, 0, 2, power="3")
    for seed in (True, None, 0.5):
        with pytest.raises(TypeError, match="`seed` must be an int >= 0"):
            sparsity.SET(1, seed=seed)
