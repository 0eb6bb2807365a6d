"""RhoSearch's runs trained as one population: those of one by one, to rounding; what it refuses."""

import json

import keras
import numpy as np
import pytest

from keras_sam import SAMModel, methods
from tuning import own_population
from tuning.fit_order import fit_order
from tuning.rho_search import RhoSearch

BACKEND = keras.backend.backend()
RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 4))
Y = (X[:, 0] > X[:, 1]).astype("int64")
TRAIN, VALIDATION, TEST = (X[:45], Y[:45]), (X[45:68], Y[45:68]), (X[68:], Y[68:])
WEIGHTS = np.linspace(0.5, 1.5, 45)
# PyTorch draws dropout without a seed from the random state that orders batches.
DROPOUT_SEED = 3 if BACKEND == "torch" else None


def build_model(rho, optimizer=None, **options):
    net = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(8, "relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.2, seed=DROPOUT_SEED),
            keras.layers.Dense(2),
        ]
    )
    return compiled(SAMModel(net, rho=rho, **options), optimizer)


def compiled(model, optimizer=None, **arguments):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = optimizer or keras.optimizers.SGD(0.3, momentum=0.5)
    model.compile(optimizer, loss, metrics=["accuracy"], **arguments)
    return model


def eagerly(rho):
    """The same: so few steps are sooner taken than traced."""
    model = build_model(rho)
    return compiled(model, run_eagerly=True) if BACKEND == "tensorflow" else model


def search(build=build_model, *, population=True, **options):
    options = {"rhos": (0.05, 0.3), "seeds": (2, 5), **options}
    return RhoSearch(build, population=population, **options)


def fit(search, **changes):
    arguments = {
        "validation_data": VALIDATION,
        "test_data": TEST,
        "epochs": 3,
        "batch_size": 16,  # The last is of 13.
        "verbose": 0,
        "sample_weight": WEIGHTS,
    }
    return search.fit(*TRAIN, **{**arguments, **changes})


def runs(folder):
    """Records by rho and seed."""
    lines = (folder / "records.jsonl").read_text().splitlines()
    found = {(run["rho"], run["seed"]): run for run in map(json.loads, lines)}
    assert len(found) == len(lines)
    return found


def assert_agree(ours, theirs):
    assert set(ours) == set(theirs)
    for key, run in ours.items():
        for name in ("epochs", "parameters", "score", "test", "train_loss"):
            assert run[name] == pytest.approx(theirs[key][name], rel=1e-4, nan_ok=True), (key, name)


@pytest.fixture(scope="module")
def one_by_one(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one_by_one")
    return fit(search(eagerly, population=False, objective="val_loss", directory=folder))


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    folder = tmp_path_factory.mktemp("together")
    return fit(search(objective="val_loss", directory=folder))


def test_records_table_and_best_rho_are_those_of_one_by_one(one_by_one, together):
    ours = runs(together.directory)
    assert_agree(ours, runs(one_by_one.directory))
    assert [run["population"] for run in ours.values()] == [2, 2, 4, 4, 4, 4]
    assert together.best_rho == one_by_one.best_rho
    assert together.table().splitlines()[0] == one_by_one.table().splitlines()[0]
    for result, other in zip(together.comparison.results, one_by_one.comparison.results):
        assert result.gain == pytest.approx(other.gain, abs=1e-4)


def test_the_best_model_has_the_weights_of_its_best_epoch(one_by_one, together):
    model, other = together.best_model(), one_by_one.best_model()
    assert model.rho == together.best_rho
    for ours, theirs in zip(model.model.get_weights(), other.model.get_weights()):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=2e-5)
    scores = together.comparison.at(together.best_rho).scores
    values = model.evaluate(*VALIDATION, verbose=0, return_dict=True)
    assert -values["loss"] == pytest.approx(max(scores.values()), rel=1e-5)
    # Of all epochs, not of the last: another process finds the same by training one run again.
    later = fit(search(objective="val_loss", directory=together.directory))
    for ours, theirs in zip(later.best_model().model.get_weights(), model.model.get_weights()):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=2e-5)


def test_the_epoch_that_counts_is_the_first_of_the_best(tmp_path, monkeypatch):
    """By hand: values of two runs in four epochs, the second of which is NaN once."""
    values = iter([[0.5, 0.5], [0.7, np.nan], [0.7, 0.9], [0.6, 0.4]])
    losses, kept = iter([[4.0, 4.0], [3.0, 3.0], [2.0, 2.0], [1.0, 1.0]]), []

    def epoch(self, population, runs, epoch, epochs):
        return {"loss": np.array(next(losses)), "val_accuracy": np.array(next(values))}

    monkeypatch.setattr(own_population.OwnPopulation, "_epoch", epoch)
    monkeypatch.setattr(own_population, "_keep", lambda *a: kept.append(a[2].tolist()))
    monkeypatch.setattr(own_population.Population, "set_states", lambda *a: None)
    together = search(seeds=(0, 1), directory=tmp_path)
    with pytest.raises(StopIteration):  # After the four epochs of rho 0.
        fit(together, test_data=None, epochs=4)
    assert kept == [[True, True], [True, False], [False, True], [False, False]]
    assert [run["score"] for run in runs(tmp_path).values()] == [0.7, None]
    assert [run["train_loss"] for run in runs(tmp_path).values()] == [1.0, None]


@pytest.mark.slow
def test_a_search_that_was_killed_goes_on_inside_of_an_epoch_count(together, tmp_path, monkeypatch):
    monkeypatch.setattr(own_population, "_CHECKPOINT_SECONDS", 0.0)
    whole = own_population.OwnPopulation._epoch
    seen = []

    def counted(self, population, runs, epoch, epochs):
        seen.append((len(runs), epoch))
        if len(seen) == 6:  # Rho 0 has ended; the others have two epochs, and end in the third.
            raise KeyboardInterrupt
        return whole(self, population, runs, epoch, epochs)

    monkeypatch.setattr(own_population.OwnPopulation, "_epoch", counted)
    with pytest.raises(KeyboardInterrupt):
        fit(search(objective="val_loss", directory=tmp_path))
    assert len(runs(tmp_path)) == 2
    resumed = fit(search(objective="val_loss", directory=tmp_path))
    assert seen == [(2, 0), (2, 1), (2, 2), (4, 0), (4, 1), (4, 2), (4, 2)]
    assert_agree(runs(tmp_path), runs(together.directory))
    for ours, theirs in zip(
        resumed.best_model().model.get_weights(), together.best_model().model.get_weights()
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert sorted(path.name for path in tmp_path.glob("*.npz*")) == []


@pytest.mark.slow
def test_it_goes_on_where_one_by_one_was_stopped(one_by_one, together, tmp_path):
    lines = (one_by_one.directory / "records.jsonl").read_text().splitlines()
    (tmp_path / "records.jsonl").write_text("\n".join(lines[:3]) + "\n")
    fit(search(objective="val_loss", directory=tmp_path))
    found = runs(tmp_path)
    assert [run.get("population") for run in found.values()] == [None, None, None, 3, 3, 3]
    assert_agree(found, runs(together.directory))


@pytest.mark.slow
def test_methods_masks_optimizers_and_data_without_an_order(tmp_path):
    """A rho at a time, whose members begin by the same programs."""

    def build(rho):
        model = build_model(
            rho, keras.optimizers.AdamW(0.02, weight_decay=0.1), method=methods.gsam(0.3)
        )
        kernel = model.model.layers[0].kernel
        rows = np.random.default_rng(0).random(tuple(kernel.shape)) > 0.3  # One mask for all.
        model.masks = {kernel.path: rows}
        return model

    options = {"strategy": "random", "trials": 2, "rhos": (0.05, 0.3)}
    changes = {"shuffle": False, "sample_weight": None, "test_data": None, "batch_size": 100}
    for name, population in (("alone", False), ("together", True)):
        fit(search(build, population=population, directory=tmp_path / name, **options), **changes)
    assert_agree(runs(tmp_path / "together"), runs(tmp_path / "alone"))


def test_a_run_that_diverges_is_recorded_and_progress_told_once_an_epoch(tmp_path, capsys):
    changes = {"epochs": 2, "verbose": 1, "batch_size": 45, "test_data": None}
    fit(search(rhos=(0.05, 1e30), seeds=1, directory=tmp_path), **changes)
    scores = {rho: run["score"] for (rho, _), run in runs(tmp_path).items()}
    assert list(scores) == [0.0, 0.05, 1e30]
    assert [rho for rho, score in scores.items() if score is None] == [1e30]
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Epoch")]
    assert [line.split(":")[0] for line in told] == [
        f"Epoch {epoch}/2, {count} runs" for count in (1, 2) for epoch in (1, 2)
    ]
    assert "val_accuracy" in told[0]


@pytest.mark.parametrize("validates", [False, True], ids=["", "validation"])
def test_the_order_is_that_of_fit(validates):
    seen = []

    class Rows(keras.layers.Layer):
        def call(self, x, training=False):
            if training and not isinstance(x, keras.KerasTensor):
                seen.append(np.asarray(keras.ops.convert_to_numpy(x))[:, 0])
            return x

    net = keras.Sequential([keras.Input((4,)), Rows(), keras.layers.Dense(2)])
    model = compiled(SAMModel(net, rho=0.0), run_eagerly=True)
    expected = fit_order(7, 45, 3, peeks=True, validates=validates)
    own_population.build(lambda rho: model, 0.0, 7)
    model.fit(*TRAIN, 16, 3, 0, validation_data=VALIDATION if validates else None)
    assert [len(batch) for batch in seen] == 3 * [16, 16, 13]
    rows = np.concatenate(seen).reshape(3, 45)
    np.testing.assert_array_equal(rows, TRAIN[0].astype("float32")[expected, 0])


class Other(SAMModel):
    """A step that may be any."""


def wrapped(**changes):
    """A maker of models that a population cannot train."""

    def build(rho):
        layers = [keras.Input((4,)), keras.layers.Dense(2, **changes.get("dense", {}))]
        layers += [keras.layers.Dropout(changes["dropout"])] if "dropout" in changes else []
        net = keras.Sequential(layers[changes.get("from_", 0) :])
        model = changes.get("of", SAMModel)(net, rho=rho)
        return compiled(model, changes.get("optimizer"), **changes.get("compile", {}))

    return build


def by_rho(what):
    """A maker of models that differ by more than rho."""

    def build(rho):
        if what == "optimizer":
            return build_model(rho, keras.optimizers.SGD(0.1 + rho))
        if what == "argument":
            return build_model(rho, adaptive=rho > 0.1)
        if what == "weight":
            model = build_model(rho)
            model.model.layers[-1].bias.assign([rho, rho])
            return model
        net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2 if rho < 0.1 else 3)])
        return compiled(SAMModel(net, rho))

    return build


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (wrapped(of=Other), "a SAMModel itself, of no subclass"),
        (wrapped(from_=1), "`build_model` must .*weights exist: begin it with a keras.Input"),
        (wrapped(compile={"run_eagerly": True}), "`build_model` must .*`run_eagerly=True`"),
        (wrapped(dense={"kernel_constraint": "max_norm"}), "`build_model` must .*constraints"),
        (wrapped(dense={"dtype": "float64"}), "`build_model` must .*float32.*weights in float64"),
        (wrapped(optimizer=keras.optimizers.SGD(clipnorm=1.0)), "`optimizer` must .*clipnorm"),
        (
            by_rho("optimizer"),
            "`build_model` must .*another optimizer, loss or metric for rho 0.05",
        ),
        (by_rho("argument"), "`build_model` must .*another argument of SAMModel for rho 0.3"),
        (by_rho("weight"), "`build_model` must .*another initial weight or mask for rho 0.05"),
        (by_rho("network"), "`build_model` must .*another network for rho 0.3"),
    ],
)
def test_models_that_it_cannot_train(build, message, monkeypatch):
    monkeypatch.setattr(own_population.OwnPopulation, "train", lambda *a: pytest.fail("trained"))
    with pytest.raises(ValueError, match=f"(?s){message}") as told:
        fit(search(build))
    assert "Received: " in str(told.value)


@pytest.mark.skipif(BACKEND != "torch", reason="PyTorch's own random state")
def test_dropout_without_a_seed_on_pytorch():
    with pytest.raises(ValueError, match="`build_model` must .*`seed`.*Received: .*dropout"):
        fit(search(wrapped(dropout=0.5)))


@pytest.mark.skipif(BACKEND != "tensorflow", reason="tf.distribute")
def test_a_model_of_several_devices(strategy):
    def build(rho):
        with strategy.scope():
            return build_model(rho)

    with pytest.raises(ValueError, match="`build_model` must .*one for one device"):
        fit(search(build))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"callbacks": [keras.callbacks.Callback()]}, "`callbacks` must be None.*one model"),
        ({"callbacks": lambda: []}, "`callbacks` must be None"),
        ({"class_weight": {0: 1.0, 1: 2.0}}, "`class_weight` must be None.*`sample_weight`"),
        ({"validation_split": 0.1}, "`validation_split` must be 0.0.*`validation_data`"),
        ({"initial_epoch": 1}, "`initial_epoch` must be 0"),
        ({"steps_per_epoch": 2}, "`steps_per_epoch` must be None"),
        ({"validation_steps": 2}, "`validation_steps` must be None"),
        ({"validation_freq": 2}, "`validation_freq` must be 1"),
        ({"shuffle": "batch"}, "`shuffle` must be True or False"),
        ({"validation_data": lambda: VALIDATION}, "`validation_data` must be arrays"),
        ({"test_data": lambda: TEST}, "`test_data` must be arrays"),
        ({"sample_weight": WEIGHTS.astype(str)}, "`sample_weight` must be arrays of numbers"),
        ({"sample_weight": WEIGHTS[1:]}, "`sample_weight` must have one row for each example"),
        ({"validation_data": None}, "`objective` must be a metric.*pass `validation_data`"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_arguments_of_fit_that_it_has_not(changes, message, monkeypatch):
    monkeypatch.setattr(own_population.OwnPopulation, "train", lambda *a: pytest.fail("trained"))
    with pytest.raises(ValueError, match=f"(?s){message}.*Received: "):
        fit(search(), **changes)


def test_data_that_are_no_arrays():
    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            return TRAIN

    for data in (Batches(), lambda: TRAIN[0]):
        with pytest.raises(ValueError, match="(?s)`x` must be arrays.*one run after the other"):
            search().fit(data, validation_data=VALIDATION)
    with pytest.raises(TypeError, match="`population` must be True or False.*population=3"):
        search(population=3)
