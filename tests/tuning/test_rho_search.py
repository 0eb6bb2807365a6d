"""RhoSearch on a network and data of one's own."""

import doctest

import keras
import keras_tuner
import numpy as np
import pytest
from keras_tuner.errors import FatalRuntimeError

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
        if len(built) == 4:
            raise KeyboardInterrupt
        return build_model(rho)

    whole = fit(RhoSearch(build_model, (0.05, 0.3), seeds=2, directory=tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        fit(RhoSearch(counting, (0.05, 0.3), seeds=2, directory=tmp_path / "stopped"))
    resumed = fit(RhoSearch(counting, (0.05, 0.3), seeds=2, directory=tmp_path / "stopped"))

    assert built == [0.0, 0.0, 0.05, 0.05, 0.05, 0.3, 0.3]  # The fourth was not finished.
    assert resumed.comparison == whole.comparison


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
    with pytest.raises(FatalRuntimeError, match="must return a compiled keras_sam.SAMModel"):
        fit(RhoSearch(lambda rho: build_model(rho).model, (0.1,)))
    with pytest.raises(FatalRuntimeError, match="must return a compiled keras_sam.SAMModel"):
        fit(RhoSearch(lambda rho: build_model(0.05), (0.1,)))
    with pytest.raises(FatalRuntimeError, match="`objective` must be a metric of a run"):
        fit(RhoSearch(build_model, (0.1,)), validation_data=None)
    fit(RhoSearch(build_model, (0.1,), seeds=1, directory=tmp_path))
    with pytest.raises(ValueError, match=r"fit\.epochs: 2 -> 3"):
        fit(RhoSearch(build_model, (0.1,), seeds=1, directory=tmp_path), epochs=3)
    with pytest.raises(ValueError, match="Nothing was searched yet"):
        _ = RhoSearch(build_model).comparison
    with pytest.raises(ValueError, match="`seeds` must be one or more"):
        RhoSearch(build_model, seeds=0)
