"""SST-2, tagging and molecules as workloads: they train, go on after a crash, prune, split."""

import dataclasses
import math

import keras
import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from recipes import molecules_gcn, sst2_lstm, tagging_transformer
from recipes.datasets import molecules, sequences, tagging
from recipes.datasets.folder import VARIABLE
from recipes.networks import graph_convolution
from recipes.running import command_line
from recipes.running.recipe import find
from recipes.running.runtime import Runtime
from recipes.running.trainer import Trainer, train
from tests.recipes.prepared import write_brown, write_molecules
from tests.recipes.test_text_and_graphs import some_sentences
from tests.recipes.test_training import KillAt, KilledError, comparable

# Each trains a network or two: minutes in all.
pytestmark = pytest.mark.slow

QUIET = Runtime(progress=False)

SMALL = {
    "sst2_lstm": {"width": 2, "learning_rate": 0.01},
    "tagging_transformer": {"width": 8, "depth": 1, "heads": 2, "warmup_steps": 2},
    "molecules_gcn": {"width": 4},
}


def small(name, **changes):
    settings = {"rho": 0.05, "epochs": 2, "batch_size": 16, "take": 160}
    return find(name).config(**{**settings, **SMALL[name], **changes})


@pytest.fixture(autouse=True)
def prepared(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "data"))
    tagging._read_brown.cache_clear()
    molecules._read_molecules.cache_clear()
    write_brown(tmp_path / "data", sentences=(150, 20, 40))
    write_molecules(tmp_path / "data")

    def sst2(split, vocabulary, word_dropout):
        parts = [some_sentences(count, tagged=False, seed=count) for count in (160, 40)]
        parts = [dataclasses.replace(part, labels=part.labels % 2) for part in parts]
        return sequences.sequences(
            "sst2", parts[0], None, parts[1], split, classes=2, vocabulary=12, word_dropout=0.1
        )

    monkeypatch.setattr("recipes.datasets.sst2.sst2", sst2)


@pytest.mark.parametrize("name", SMALL)
def test_a_run_goes_on_after_a_crash(name, tmp_path):
    config = small(name)
    trainer = Trainer(QUIET)
    whole = trainer.train(config, tmp_path / "a" / "run")
    metric = find(name).metric.name
    for key in ("loss", f"val_{metric}", f"test_{metric}"):
        assert len(whole.curves[key]) == 2
        assert np.isfinite(whole.curves[key]).all()
    assert 0 <= whole.train[metric] <= 1
    with pytest.raises(KilledError):
        trainer.train(config, tmp_path / "b" / "run", callbacks=[KillAt(1)])
    resumed = trainer.train(config, tmp_path / "b" / "run")
    assert comparable(resumed) == comparable(whole)


@pytest.mark.parametrize("name", SMALL)
def test_pruned_split_noisy_and_in_mixed_precision(name, tmp_path):
    config = small(
        name,
        epochs=1,
        sparsity=0.5,
        pruner="snip",
        num_batch_splits=2,
        label_noise=0.2,
        mixed_precision="bfloat16",
    )
    record = train(config, tmp_path / "run", runtime=QUIET)
    assert math.isfinite(record.curves["loss"][0])
    assert record.kept_parameters < record.parameters


def test_the_paper_s_widths():
    for name in SMALL:
        recipe = find(name)
        assert recipe.widths == recipe.paper.widths
        assert len(recipe.paper.gains) == len(recipe.paper.parameters) == len(recipe.widths)


def test_splits_compute_the_batch_s_gradient(tmp_path):
    """Weights of words and labels are of the batch, so that the mean over splits is its mean."""
    for name in ("tagging_transformer", "molecules_gcn"):
        losses = []
        for splits in (None, 2):
            config = small(name, rho=0.0, epochs=1, dropout=0.0, num_batch_splits=splits)
            record = train(config, tmp_path / f"{name}{splits}" / "run", runtime=QUIET)
            losses.append([*record.curves["loss"], *record.curves["val_loss"]])
        np.testing.assert_allclose(*losses, rtol=1e-4)


def test_loss_and_accuracy_of_words():
    logits = np.log([[[0.7, 0.3], [0.2, 0.8], [0.5, 0.5]]]).astype("float32")
    tags = np.array([[0, 0, -1]], "int32")
    weights = np.array([[1.5, 1.5, 0]], "float32")
    loss = tagging_transformer.loss()(tags, logits, sample_weight=weights)
    assert float(loss) == pytest.approx(-(np.log(0.7) + np.log(0.2)) / 2, rel=1e-5)
    (accuracy,) = tagging_transformer.metrics()
    accuracy.update_state(tags, logits)
    assert float(accuracy.result()) == 0.5
    accuracy.update_state(np.array([[0, 1, 0]], "int32"), logits)
    assert float(accuracy.result()) == pytest.approx((1 + 3) / 5)


def test_accuracy_of_sentences():
    (accuracy,) = sst2_lstm.metrics()
    accuracy.update_state(
        np.array([1, 0, 1, 0], "int32"), np.array([[0.1], [0.2], [2.0], [-1.0]], "float32")
    )
    assert float(accuracy.result()) == 0.75


def test_mean_average_precision():
    labels = np.array([[1, 0, 1], [0, 0, 1], [1, 0, 0], [1, 0, 0]], "float32")
    weights = np.array([[1, 1, 1], [1, 1, 0], [1, 1, 1], [0, 1, 1]], "float32")
    logits = np.array([[0.2, 1, 0.3], [0.5, 1, 0.9], [0.9, 1, 0.8], [-3, 1, -0.1]], "float32")

    class Model:
        def predict(self, dataset, steps, verbose):
            return logits

    batches = [((), labels[:3], weights[:3]), ((), labels[3:], weights[3:])]
    found = molecules_gcn.evaluate(Model(), batches, None)
    # Task 0: 0.9 (right), 0.5 (wrong), 0.2 (right). Task 2: 0.8 (wrong), 0.3 (right), -0.1 (wrong).
    expected = ((1 + 2 / 3) / 2 + 1 / 2) / 2
    assert found["mean_average_precision"] == pytest.approx(expected)
    assert average_precision_score([1, 0, 1], [0.2, 0.5, 0.9]) == pytest.approx((1 + 2 / 3) / 2)
    p = 1 / (1 + np.exp(-logits.astype("float64")))
    losses = -np.where(labels, np.log(p), np.log(1 - p))
    assert found["loss"] == pytest.approx((losses * weights).mean())
    one_class = [((), np.zeros((2, 1)), np.ones((2, 1)))]
    logits = np.zeros((2, 1), "float32")
    assert math.isnan(molecules_gcn.evaluate(Model(), one_class, None)["mean_average_precision"])


def test_the_multi_task_loss():
    logits = np.array([[0.5, -1.0], [2.0, 0.0]], "float32")
    labels = np.array([[1, 0], [0, 0]], "float32")
    weights = np.array([[4 / 3, 4 / 3], [4 / 3, 0]], "float32")
    loss = molecules_gcn.loss()(labels, logits, sample_weight=weights)
    expected = (np.log1p(np.exp(-0.5)) + np.log1p(np.exp(-1.0)) + np.log1p(np.exp(2.0))) / 3
    assert float(loss) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["tagging_transformer", "molecules_gcn"])
def test_data_that_are_not_there(name, tmp_path, capsys):
    tagging._read_brown.cache_clear()
    molecules._read_molecules.cache_clear()
    nowhere = tmp_path / "nowhere"
    flags = ["--data-dir", str(nowhere), "--output", str(tmp_path / "runs"), "--no-progress"]
    with pytest.raises(SystemExit) as error:
        command_line.main(find(name), "text", flags)
    assert f"`{VARIABLE}={nowhere}`" in str(error.value)
    assert "must be prepared as" in str(error.value)


def test_the_graph_network_reads_its_neighbours():
    """Pairs of nodes, each of which has to say what the other one shows."""
    random = np.random.default_rng(0)
    nodes = random.choice([-1.0, 1.0], size=(200, 2, 1)).astype("float32")
    labels = (nodes[:, ::-1, 0] > 0).astype("int32")
    joined = np.full((200, 2, 2), 0.5, "float32")  # 1 / sqrt(2 * 2) at every entry.
    alone = np.tile(np.eye(2, dtype="float32"), (200, 1, 1))
    accuracies = []
    for adjacency in (joined, alone):
        model = graph_convolution(
            16, features=1, outputs=2, steps=2, dropout=0.0, pool=False, seed=0
        )
        model.compile(
            keras.optimizers.Adam(0.01),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        inputs = {"nodes": nodes, "adjacency": adjacency}
        model.fit(inputs, labels, epochs=30, batch_size=50, verbose=0)
        found = model.predict(inputs, verbose=0).argmax(-1)
        accuracies.append((found == labels).mean())
    assert accuracies[0] == 1
    assert accuracies[1] < 0.7
