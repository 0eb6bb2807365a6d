"""RhoSearch on a network and data of one's own."""

import doctest

import keras
import keras_tuner
import numpy as np
import pytest

import tuning.rho_search
from keras_sam import SAMModel
from tuning.rho_search import RhoSearch

RNG = np.random.default_rng(0)
X = RNG.normal(size=(96, 4)).astype("float32")
Y = (X[:, 0] > X[:, 1]).astype("int64")
TRAIN, VALIDATION, TEST = (X[:48], Y[:48]), (X[48:72], Y[48:72]), (X[72:], Y[72:])


def build_model(rho):
    net = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(2)]
    )
    model = SAMModel(net, rho=rho)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # Eagerly: so few steps are not worth a trace.
    model.compile(keras.optimizers.SGD(0.3), loss, metrics=["accuracy"], run_eagerly=True)
    return model


def fit(search, **changes):
    arguments = {"validation_data": VALIDATION, "epochs": 2, "batch_size": 16, "verbose": 0}
    return search.fit(*TRAIN, **{**arguments, **changes})


def test_the_docstring_runs():
    failures, tried = doctest.testmod(tuning.rho_search, optionflags=doctest.ELLIPSIS)
    assert tried > 8
    assert failures == 0


def test_every_rho_at_every_seed_and_the_best_by_the_objective(tmp_path):
    search = fit(RhoSearch(build_model, (0.05, 0.3), seeds=2, directory=tmp_path), test_data=TEST)
    comparison = search.comparison
    assert [r.rho for r in comparison.results] == [0.0, 0.05, 0.3]
    assert all(list(r.scores) == [0, 1] for r in comparison.results)
    assert comparison.parameters == 4 * 8 + 8 + 8 * 2 + 2
    best = max(comparison.results[1:], key=lambda r: np.mean(list(r.scores.values())))
    assert search.best_rho == best.rho
    assert f"{best.gain:+.4f}" in search.table()


def test_runs_of_a_seed_start_alike_and_see_the_same_batches(tmp_path):
    starts, batches = {}, {}

    class Watched(SAMModel):
        def fit(self, *args, **kwargs):
            starts.setdefault(len(starts), (self.rho, self.get_weights()))
            return super().fit(*args, **kwargs)

    class Batches(keras.layers.Layer):
        def call(self, x, training=False):
            if training and not keras.tree.is_nested(x):
                batches.setdefault(len(starts) - 1, []).append(np.asarray(x))
            return x

    def with_watch(rho):
        net = keras.Sequential([keras.Input((4,)), Batches(), keras.layers.Dense(2)])
        model = Watched(net, rho=rho)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.3), loss, metrics=["accuracy"], run_eagerly=True)
        return model

    fit(RhoSearch(with_watch, (0.3,), seeds=(7, 8), directory=tmp_path))
    # The order of runs: rho 0 at seeds 7 and 8, then rho 0.3 at both.
    for plain, sam in ((0, 2), (1, 3)):
        assert (starts[plain][0], starts[sam][0]) == (0.0, 0.3)
        for a, b in zip(starts[plain][1], starts[sam][1], strict=True):
            np.testing.assert_array_equal(a, b)
        # SAM sees each batch twice.
        np.testing.assert_array_equal(batches[plain], batches[sam][::2])
    assert not np.array_equal(starts[0][1][0], starts[1][1][0])
    assert not np.array_equal(batches[0][0], batches[1][0])


def test_a_search_that_was_stopped_goes_on(tmp_path):
    built = []

    def counting(rho):
        built.append(rho)
        if len(built) == 5:
            raise KeyboardInterrupt
        return build_model(rho)

    whole = fit(RhoSearch(build_model, (0.05, 0.3), seeds=2, directory=tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        fit(RhoSearch(counting, (0.05, 0.3), seeds=2, directory=tmp_path / "stopped"))
    resumed = fit(RhoSearch(counting, (0.05, 0.3), seeds=2, directory=tmp_path / "stopped"))

    # Each search looks at one model first; the fifth was not finished.
    assert built == [0.0, 0.0, 0.0, 0.05, 0.05, 0.0, 0.05, 0.3, 0.3]
    assert resumed.comparison == whole.comparison


@pytest.mark.slow
def test_the_best_model_is_that_of_the_best_run(tmp_path):
    search = fit(RhoSearch(build_model, (0.05, 0.3), seeds=2, directory=tmp_path))
    model = search.best_model()
    result = search.comparison.at(search.best_rho)
    _, accuracy = model.evaluate(*VALIDATION, verbose=0)
    assert model.rho == search.best_rho
    assert accuracy == pytest.approx(max(result.scores.values()))
    assert search.best_model() is model

    # Another process has the records only, and trains the same weights again.
    later = fit(RhoSearch(build_model, (0.05, 0.3), seeds=2, directory=tmp_path))
    for a, b in zip(later.best_model().get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_a_loss_is_minimised(tmp_path):
    search = RhoSearch(build_model, (0.05, 5.0), seeds=2, objective="val_loss", directory=tmp_path)
    fit(search, epochs=4)
    assert search.best_rho == 0.05
    result = search.comparison.at(5.0)
    assert result.test == pytest.approx(-result.score)
    assert result.gain < 0


def test_an_objective_of_unknown_direction_needs_one(tmp_path):
    with pytest.raises(ValueError, match="objective"):
        RhoSearch(build_model, objective="val_quality")
    objective = keras_tuner.Objective("val_quality", "max")
    assert RhoSearch(build_model, objective=objective).objective.direction == "max"


def test_divergence(tmp_path):
    search = fit(RhoSearch(build_model, (0.1, 1e30), seeds=1, directory=tmp_path))
    assert search.comparison.at(1e30).diverged == 1
    assert search.best_rho == 0.1
    lost = fit(RhoSearch(build_model, (1e30,), seeds=1))
    with pytest.raises(ValueError, match="diverged at every one"):
        _ = lost.best_rho


def test_callbacks_are_not_shared_between_runs():
    class Counting(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.epochs = 0

        def on_epoch_end(self, epoch, logs=None):
            self.epochs += 1
            assert self.epochs == epoch + 1

    fit(RhoSearch(build_model, (0.1,), seeds=2), callbacks=[Counting()])


def test_mistakes_are_told(tmp_path):
    with pytest.raises(ValueError, match="must return a compiled keras_sam.SAMModel"):
        fit(RhoSearch(lambda rho: build_model(rho).model, (0.1,)))
    with pytest.raises(ValueError, match="must return a compiled keras_sam.SAMModel"):
        fit(RhoSearch(lambda rho: build_model(0.05), (0.1,)))
    with pytest.raises(ValueError, match="must return a compiled keras_sam.SAMModel"):
        fit(RhoSearch(lambda rho: SAMModel(build_model(rho).model, rho), (0.1,)))
    with pytest.raises(ValueError, match="`objective` must be a metric.*pass `validation_data`"):
        fit(RhoSearch(build_model, (0.1,)), validation_data=None)
    fit(RhoSearch(build_model, (0.1,), seeds=1, directory=tmp_path))
    with pytest.raises(ValueError, match=r"fit\.epochs: 2 -> 3"):
        fit(RhoSearch(build_model, (0.1,), seeds=1, directory=tmp_path), epochs=3)
    with pytest.raises(ValueError, match="Nothing was searched yet"):
        _ = RhoSearch(build_model).comparison
    with pytest.raises(ValueError, match="`seeds` must be one or more"):
        RhoSearch(build_model, seeds=0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"seeds": (0, True)}, ValueError, "`seeds` must be integers in"),
        ({"seeds": (2**32,)}, ValueError, "`seeds` must be integers in"),
        ({"seeds": (1, 1)}, ValueError, "`seeds` must be one or more different"),
        ({"seeds": None}, TypeError, "`seeds` must be a number or integers"),
        ({"directory": False}, TypeError, "`directory` must be a path"),
        ({"rhos": (True,)}, TypeError, "`rhos` must be numbers"),
        ({"rhos": b"0.1"}, TypeError, "`rhos` must be numbers"),
        ({"rhos": (0.1, 0.1 + 1e-9)}, ValueError, "`rhos` must differ within six significant"),
        ({"trials": 2.5}, ValueError, "`trials` must be an integer >= 1"),
        ({"trials": float("nan")}, ValueError, "`trials` must be an integer >= 1"),
        ({"build_model": None}, TypeError, "`build_model` must be a function"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=f"{message}.*Received: `{next(iter(arguments))}="):
        RhoSearch(**{"build_model": build_model, **arguments})


def test_a_folder_is_that_of_one_network_and_one_set_of_data(tmp_path):
    def other_net(rho):
        net = keras.Sequential(
            [keras.Input((4,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(2)]
        )
        model = SAMModel(net, rho=rho)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.3), loss, metrics=["accuracy"], run_eagerly=True)
        return model

    def other_rate(rho):
        model = build_model(rho)
        model.optimizer.learning_rate = 0.1
        return model

    def search(build):
        return RhoSearch(build, (0.1,), seeds=1, directory=tmp_path)

    first = fit(search(build_model), test_data=TEST)
    assert fit(search(build_model), test_data=TEST).comparison == first.comparison
    for build, name in ((other_net, "network.model"), (other_rate, "network.compile")):
        with pytest.raises(ValueError, match=name):
            fit(search(build), test_data=TEST)
    with pytest.raises(ValueError, match=r"fit\.test_data"):
        fit(search(build_model))
    flipped = (VALIDATION[0], 1 - VALIDATION[1])
    with pytest.raises(ValueError, match=r"fit\.validation_data"):
        fit(search(build_model), validation_data=flipped, test_data=TEST)
    with pytest.raises(ValueError, match=r"fit\.y"):
        search(build_model).fit(
            TRAIN[0], 1 - TRAIN[1], 16, 2, 0, validation_data=VALIDATION, test_data=TEST
        )


def test_arguments_by_position_are_those_by_name(tmp_path):
    named = fit(RhoSearch(build_model, (0.1,), seeds=1, directory=tmp_path / "a"))
    placed = RhoSearch(build_model, (0.1,), seeds=1, directory=tmp_path / "b")
    placed.fit(*TRAIN, 16, 2, 0, validation_data=VALIDATION)
    assert placed.comparison == named.comparison


def test_weighted_test_data_are_weighted():
    x, y = TEST
    weights = np.linspace(0, 1, len(x)).astype("float32")
    search = fit(
        RhoSearch(weighted_model, (0.1,), seeds=1, objective="val_loss"),
        test_data=[x, y, weights],
    )
    model = search.best_model()
    logits = model.predict(x, verbose=0)
    losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(len(y)), y]
    expected = np.mean(losses * weights)
    assert search.comparison.at(0.1).test == pytest.approx(expected, rel=1e-5)


def weighted_model(rho):
    model = build_model(rho)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.3), loss, run_eagerly=True)
    return model


def test_iterators_are_refused_before_anything_is_trained():
    def batches():
        while True:
            yield TRAIN

    search = RhoSearch(lambda rho: pytest.fail("built"), (0.1,))
    with pytest.raises(TypeError, match="`x` must not be an iterator.*pass a function"):
        search.fit(batches(), steps_per_epoch=2, validation_data=VALIDATION)
    with pytest.raises(TypeError, match="`test_data` must not be an iterator"):
        fit(search, test_data=batches())


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.data")
def test_shuffled_datasets_are_refused_or_made_anew_for_each_run():
    import tensorflow as tf

    seen = []

    class Batches(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            seen.append([])

    def watched():
        def note(x, y):
            seen[-1].append(x.numpy()[:, 0])
            return x, y

        data = tf.data.Dataset.from_tensor_slices(TRAIN).shuffle(48).batch(16)
        types = (tf.float32, tf.int64)

        def noted(x, y):
            x, y = tf.py_function(note, (x, y), types)
            return tf.ensure_shape(x, (None, 4)), tf.ensure_shape(y, (None,))

        return data.map(noted)

    shuffled = tf.data.Dataset.from_tensor_slices(TRAIN).shuffle(48).batch(16)
    with pytest.raises(ValueError, match="`x` must come in the same order.*pass a function"):
        RhoSearch(build_model, (0.1,)).fit(shuffled, validation_data=VALIDATION)
    fixed = tf.data.Dataset.from_tensor_slices(TRAIN).batch(16)
    RhoSearch(build_model, (0.1,), seeds=1).fit(fixed, validation_data=VALIDATION, verbose=0)

    search = RhoSearch(build_model, (0.1,), seeds=2)
    options = {"validation_data": VALIDATION, "epochs": 2, "verbose": 0}
    search.fit(watched, callbacks=lambda: [Batches()], **options)
    # Runs of one seed are paired: rho 0 and 0.1, each at seeds 0 and 1.
    orders = [np.concatenate(batches[:6]) for batches in seen]
    np.testing.assert_array_equal(orders[0], orders[2])
    np.testing.assert_array_equal(orders[1], orders[3])
    assert np.any(orders[0] != orders[1])


@pytest.mark.slow
def test_a_pydataset_is_copied_for_each_run():
    class Counting(keras.utils.PyDataset):
        used = 0

        def __len__(self):
            return 3

        def __getitem__(self, index):
            self.used += 1
            assert self.used <= 10  # Three batches, two epochs, and what Keras peeks at.
            return TRAIN[0][16 * index : 16 * index + 16], TRAIN[1][16 * index : 16 * index + 16]

    search = RhoSearch(build_model, (0.1,), seeds=2)
    search.fit(Counting(), validation_data=VALIDATION, epochs=2, verbose=0)
    assert [len(r.scores) for r in search.comparison.results] == [2, 2]


def test_callbacks_that_cannot_be_copied_are_made_by_a_function():
    import threading

    class Locked(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.lock = threading.Lock()

    with pytest.raises(TypeError, match="`callbacks` must be made anew.*pass a function"):
        fit(RhoSearch(build_model, (0.1,), seeds=1), callbacks=[Locked()])
    fit(RhoSearch(build_model, (0.1,), seeds=1), callbacks=lambda: [Locked()])


@pytest.mark.slow
def test_the_table_says_what_was_measured_on_what():
    untested = fit(RhoSearch(build_model, (0.05,), seeds=2))
    header = untested.table().splitlines()[0]
    assert "test" not in header
    assert "val_accuracy" in header
    tested = fit(RhoSearch(build_model, (0.05,), seeds=2), test_data=TEST)
    assert "test" in tested.table().splitlines()[0]
    worse = fit(RhoSearch(build_model, (5.0,), seeds=2, objective="val_loss"), epochs=4)
    assert worse.table().endswith("No rho beats the plain optimizer by val_loss.")
