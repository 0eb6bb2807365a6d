"""Datasets of sentences and graphs: what is in a batch, on every backend."""

import itertools
import os
import pathlib

import keras
import numpy as np
import pytest

from recipes.datasets import buckets, graph_benchmarks, graphs, molecules, tagging
from recipes.datasets.batches import fed
from recipes.datasets.folder import VARIABLE
from recipes.datasets.members import members
from recipes.datasets.ragged import Ragged
from recipes.datasets.sequences import Sentences, sequences
from recipes.datasets.split import Split
from recipes.datasets.sst2 import sst2
from recipes.datasets.vocabulary import Vocabulary
from tests.recipes.prepared import write_brown, write_molecules


def arrays(batch):
    return keras.tree.map_structure(keras.ops.convert_to_numpy, tuple(batch))


def epoch_of(data, epoch):
    return [arrays(batch) for batch in itertools.islice(data.train(epoch), data.steps_per_epoch)]


def assert_same(first, second):
    for a, b in zip(keras.tree.flatten(first), keras.tree.flatten(second), strict=True):
        np.testing.assert_array_equal(a, b)


# Rows of different lengths.

ROWS = [[1, 2, 3], [], [4], [5, 6]]
RAGGED = Ragged(np.array([1, 2, 3, 4, 5, 6]), np.array([3, 0, 1, 2]))


def test_ragged_rows():
    assert [RAGGED.row(index).tolist() for index in range(4)] == ROWS
    some = RAGGED.take(np.array([3, 1, 0]))
    assert [some.row(index).tolist() for index in range(3)] == [ROWS[3], ROWS[1], ROWS[0]]
    padded = RAGGED.padded(np.array([2, 1, 3]), width=3, fill=-1)
    assert padded.tolist() == [[4, -1, -1], [-1, -1, -1], [5, 6, -1]]
    pairs = Ragged.of([np.array([[1, 2]]), np.zeros((0, 2), int)])
    assert pairs.padded(np.array([1, 0]), 2).tolist() == [[[0, 0], [0, 0]], [[1, 2], [0, 0]]]
    empty = Ragged(np.zeros((0, 2)), np.array([0, 0]))
    assert empty.padded(np.array([0, 1]), 3).shape == (2, 3, 2)


def test_ragged_lengths_must_fit():
    with pytest.raises(ValueError, match="must add up to the number of values. Received: 2 for 3"):
        Ragged(np.arange(3), np.array([1, 1]))
    with pytest.raises(ValueError, match="must be >= 0. Received: a length of -1"):
        Ragged(np.arange(3), np.array([4, -1]))


# Which examples.


def test_members_of_the_splits():
    split = Split(batch_size=4, validation_split=0.1, seed=3)
    training, validation = members(split, train=50)
    assert sorted([*training, *validation]) == list(range(50))
    assert len(validation) == 5
    # A source's own validation set: validation examples come from it alone.
    training, validation = members(split, train=40, validation=10)
    assert sorted(training) == list(range(40))
    assert len(set(validation)) == 5
    assert set(validation) <= set(range(40, 50))
    few, fewer = members(Split(batch_size=4, take=20), 40, 10)
    assert (len(few), len(fewer)) == (18, 2)
    again = members(Split(batch_size=4, validation_split=0.1, seed=9, data_seed=3), 40, 10)
    assert_same(again, (training, validation))
    other = members(Split(batch_size=4, validation_split=0.1, seed=4), 40, 10)
    assert not np.array_equal(other[0], training)
    with pytest.raises(ValueError, match="must be at most 0.2000 here.*10 of 50 examples"):
        members(Split(batch_size=4, validation_split=0.3), 40, 10)


# Which batches.


def test_widths_are_doublings_of_8():
    lengths = np.array([1, 8, 9, 16, 17, 33, 180])
    assert buckets.widths(lengths).tolist() == [8, 8, 16, 16, 32, 64, 256]


def test_an_epoch_is_a_function_of_seed_and_epoch():
    lengths = np.random.default_rng(0).integers(1, 60, size=103)
    plans = buckets.shuffled(lengths, 10, seed=1, epoch=2)
    assert len(plans) == 10
    rows = np.concatenate([plan.rows for plan in plans])
    assert len(rows) == len(set(rows)) == 100  # Three examples are left over.
    for plan in plans:
        assert plan.width == buckets.widths(lengths[plan.rows].max(keepdims=True))
    # Little is padding: with batches at random it is most of it.
    assert sum(10 * plan.width for plan in plans) < 1.6 * lengths.sum()
    widths = [plan.width for plan in plans]
    assert widths != sorted(widths)
    same = buckets.shuffled(lengths, 10, seed=1, epoch=2)
    assert_same([plan.rows for plan in same], [plan.rows for plan in plans])
    for other in (buckets.shuffled(lengths, 10, 1, 3), buckets.shuffled(lengths, 10, 2, 2)):
        assert not np.array_equal(np.concatenate([plan.rows for plan in other]), rows)


def test_one_pass_takes_every_example_once():
    lengths = np.random.default_rng(0).integers(1, 60, size=23)
    plans = buckets.in_order(lengths, 10)
    assert [len(plan.rows) for plan in plans] == [10, 10, 3]
    assert sorted(np.concatenate([plan.rows for plan in plans])) == list(range(23))
    assert [plan.width for plan in plans] == sorted(plan.width for plan in plans)


def test_batches_of_several_shapes_are_fed():
    def batch_at(index):
        return np.full((2, 1 + index % 3), index, "float32"), np.full(2, index, "int32")

    signature = (keras.KerasTensor((None, None)), keras.KerasTensor((None,), "int32"))
    once = fed(batch_at, 4, signature)
    for _ in range(2):
        assert_same([arrays(batch) for batch in once], [batch_at(i) for i in range(4)])
    endless = fed(batch_at, None, signature)
    found = [arrays(batch) for batch in itertools.islice(endless, 7)]
    assert_same(found, [batch_at(i) for i in range(7)])

    class Total(keras.Model):
        def __init__(self):
            super().__init__()
            self.seen = self.add_weight(shape=(), initializer="zeros", trainable=False)
            self.scale = self.add_weight(shape=(), initializer="ones")

        def call(self, x):
            self.seen.assign(self.seen + keras.ops.max(x))
            return self.scale * keras.ops.sum(x, axis=-1)

    model = Total()
    model.compile("sgd", "mse")
    model.fit(endless, steps_per_epoch=3, epochs=2, verbose=0)
    assert float(model.seen) == 0 + 1 + 2 + 3 + 4 + 5


# Sentences.


def test_vocabulary():
    sentences = [["the", "cat"], ["the", "dog", "cat", "the"]]
    vocabulary = Vocabulary.of(sentences)
    assert len(vocabulary) == 5
    assert vocabulary.numbers(["the", "cat", "dog", "cow"]).tolist() == [2, 3, 4, 1]
    small = Vocabulary.of(sentences, size=4)
    assert small.numbers(["the", "cat", "dog"]).tolist() == [2, 3, 1]
    assert len(Vocabulary.of(sentences, size=100)) == 5
    for size in (2, 0, True, 3.5):
        with pytest.raises(ValueError, match=f"`vocabulary` must be .*`vocabulary={size!r}`"):
            Vocabulary.of(sentences, size=size)


def some_sentences(count, tagged, seed=0, longest=20):
    random = np.random.default_rng(seed)
    lengths = random.integers(6, longest + 1, size=count)
    words = random.integers(2, 12, size=lengths.sum()).astype("int32")
    labels = Ragged(words % 3, lengths) if tagged else random.integers(3, size=count)
    return Sentences(Ragged(words, lengths), labels)


def text_data(tagged=False, word_dropout=0.0, own_validation=False, **split):
    return sequences(
        "some",
        some_sentences(70, tagged),
        some_sentences(20, tagged, seed=1) if own_validation else None,
        some_sentences(13, tagged, seed=2),
        Split(**{"batch_size": 8, **split}),
        classes=3,
        vocabulary=12,
        word_dropout=word_dropout,
    )


@pytest.mark.parametrize("tagged", [False, True])
def test_batches_of_sentences(tagged):
    data = text_data(tagged)
    assert (data.train_examples, data.validation_examples, data.test_examples) == (63, 7, 13)
    assert (data.steps_per_epoch, data.input_shape, data.vocabulary) == (7, (32,), 12)
    assert not data.one_shape
    source = some_sentences(70, tagged)
    known = {
        tuple(source.words.row(i)): source.labels.row(i) if tagged else source.labels[i]
        for i in range(70)
    }
    seen = []
    for words, labels, *weights in epoch_of(data, 0):
        assert words.dtype == labels.dtype == np.int32
        assert len(words) == 8
        for row, (sentence, label) in enumerate(zip(words, labels)):
            length = (sentence > 0).sum()
            assert (sentence[length:] == 0).all()
            seen.append(tuple(sentence[:length]))
            if tagged:
                np.testing.assert_array_equal(label[:length], known[seen[-1]])
                assert (label[length:] == -1).all()
                assert (weights[0][row, length:] == 0).all()
            else:
                assert label == known[seen[-1]]
        if tagged:
            # The sum over the batch's size is the mean over its words.
            assert weights[0].mean() == pytest.approx(1)
            assert len(np.unique(weights[0])) <= 2
    assert len(set(seen)) == 56
    if tagged:
        # In evaluation, the mean over batches, weighted by sentences, is the mean over all words.
        batches = [arrays(batch) for batch in data.test]
        means = [w.mean() * len(w) for _, _, w in batches]
        assert sum(means) / 13 == pytest.approx(1)
        per_word = {float(w.max() / w.shape[1]) for _, _, w in batches}
        assert max(per_word) == pytest.approx(min(per_word))
    assert sum(len(arrays(batch)[0]) for batch in data.test) == 13


def test_sentences_resume_and_change_from_epoch_to_epoch():
    data = text_data(word_dropout=0.3)
    stream = [arrays(b) for b in itertools.islice(data.train(0), 3 * data.steps_per_epoch)]
    assert_same(stream[14:], epoch_of(data, 2))
    assert not np.array_equal(epoch_of(data, 0)[0][0], epoch_of(data, 1)[0][0])
    assert_same(epoch_of(text_data(word_dropout=0.3), 1), epoch_of(data, 1))


def test_word_dropout_is_of_training_words_alone():
    def words(batches):
        return np.concatenate([arrays(batch)[0].ravel() for batch in batches])

    dropped, whole = text_data(word_dropout=0.3), text_data()
    some, all_words = words(epoch_of(dropped, 0)), words(epoch_of(whole, 0))
    there = all_words > 0
    assert 0.2 < (some[there] == 1).mean() < 0.4
    assert (some[~there] == 0).all()
    kept = some != 1
    np.testing.assert_array_equal(some[kept], all_words[kept])
    assert_same(list(map(arrays, dropped.validation)), list(map(arrays, whole.validation)))


@pytest.mark.parametrize("tagged", [False, True])
def test_noise_of_sentences_is_in_training_labels_alone(tagged):
    clean, noisy = text_data(tagged), text_data(tagged, label_noise=0.25)

    def labels(batches):
        flat = np.concatenate([arrays(batch)[1].ravel() for batch in batches])
        return flat[flat >= 0]

    wrong = (labels(epoch_of(clean, 0)) != labels(epoch_of(noisy, 0))).mean()
    assert 0.15 < wrong < 0.35
    for part in ("validation", "test"):
        assert_same(labels(getattr(clean, part)), labels(getattr(noisy, part)))


def test_validation_sentences_of_the_source():
    data = text_data(own_validation=True, validation_split=0.2)
    assert (data.train_examples, data.validation_examples) == (70, 18)
    source = some_sentences(20, tagged=False, seed=1).words
    own = {tuple(source.row(i)) for i in range(20)}
    for words, _ in map(arrays, data.validation):
        assert {tuple(sentence[sentence > 0]) for sentence in words} <= own


def sentences(words=(2, 3), lengths=(1, 1), labels=(0, 1)):
    return Sentences(Ragged(np.array(words), np.array(lengths)), np.array(labels))


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (sentences(lengths=(2, 0)), "at least one word.*2 sentences, 1 of them empty"),
        (sentences(words=(2, 12)), r"numbers of words must be in \[1, 12\). Received: 2 to 12"),
        (sentences(words=(0, 3)), r"numbers of words must be in \[1, 12\). Received: 0 to 3"),
        (sentences(labels=(0, 2)), r"numbers of labels must be in \[0, 2\). Received: 0 to 2"),
        (sentences(labels=(0, 1, 1)), "one label each"),
    ],
)
def test_bad_sentences(part, message):
    with pytest.raises(ValueError, match=message):
        sequences("x", part, None, part, Split(batch_size=1), classes=2, vocabulary=12)
    with pytest.raises(ValueError, match=r"`word_dropout` must be in \[0, 1\)"):
        text_data(word_dropout=1.0)


# Sources of sentences.


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    tagging._read_brown.cache_clear()
    molecules._read_molecules.cache_clear()
    return tmp_path


def test_brown(folder):
    source = write_brown(folder)
    data = tagging.brown(Split(batch_size=4))
    assert (data.vocabulary, data.classes, data.test_examples) == (32, 4, 10)
    assert (data.train_examples, data.validation_examples) == (60, 8)
    first = source["length"][80:].sum()
    words = np.concatenate([arrays(batch)[0].ravel() for batch in data.test])
    assert (words > 0).sum() == first
    assert sorted(words[words > 0]) == sorted(2 + source["word"][-first:].astype(int))

    small = tagging.brown(Split(batch_size=4), vocabulary=12, universal=True)
    assert (small.vocabulary, small.classes) == (12, 2)
    for words, tags, _ in map(arrays, small.test):
        # Words of rank 10 and above are unknown; a tag tells the word's parity.
        assert words.max() < 12
        known = words > 1
        np.testing.assert_array_equal(tags[known], words[known] % 2)


def test_a_file_that_is_missing_or_damaged(folder, monkeypatch):
    with pytest.raises(
        ValueError,
        match="Brown corpus must be prepared as text/brown_pos.npz, with the arrays word, tag, ",
    ):
        tagging.brown(Split())
    write_brown(folder)
    path = folder / "text" / "brown_pos.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=f"{path} cannot be read, prepare it anew"):
        tagging.brown(Split())
    np.savez(path, word=np.zeros(3))
    with pytest.raises(ValueError, match="must hold the arrays .*none named tag"):
        tagging.brown(Split())
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(ValueError, match=rf"{VARIABLE} or the flag --data-dir.*`{VARIABLE}=None`"):
        molecules.molecules(Split())


class Builder:
    """Stands for a TFDS builder whose data are on disk."""

    data_dir = "nowhere"

    def __init__(self, sets, features=None):
        self.sets = sets
        self.info = type("Info", (), {"features": features})

    def as_dataset(self, split, batch_size=None):
        import tensorflow as tf

        examples = self.sets[split]
        names = examples[0]
        if batch_size == -1:
            return {name: tf.constant([example[name] for example in examples]) for name in names}
        return tf.data.Dataset.from_generator(
            lambda: iter(examples),
            output_signature={
                name: tf.TensorSpec([None] * np.ndim(value), np.asarray(value).dtype.type)
                if np.asarray(value).dtype.kind != "S"
                else tf.TensorSpec([None], tf.string)
                for name, value in names.items()
            },
        )


@pytest.fixture
def stored(monkeypatch):
    """Lets TFDS find a builder of ours; needs TensorFlow, as TFDS does."""
    import tensorflow_datasets as tfds

    def store(module, builder):
        monkeypatch.setattr(module, "prepared_builder", lambda name, download: builder)
        monkeypatch.setattr(tfds, "builder_from_directory", lambda folder: builder)

    return store


def test_universal_dependencies(stored):
    import tensorflow_datasets as tfds

    def example(text, tags):
        return {"tokens": text.encode().split(), "upos": np.array(tags)}

    features = {"upos": tfds.features.Sequence(tfds.features.ClassLabel(num_classes=18))}
    train = [example("a cat", [1, 2]), example("a dog sleeps", [1, 2, 3])] * 10
    dev, test = [example("a cow", [1, 2])] * 4, [example("dog sleeps", [2, 3])] * 2
    stored(tagging, Builder({"train": train, "dev": dev, "test": test}, features))
    tagging._read_treebanks.cache_clear()
    data = tagging.universal_dependencies(Split(batch_size=4))
    assert (data.vocabulary, data.classes, data.train_examples) == (6, 18, 20)
    words, tags, _ = arrays(next(iter(data.test)))
    assert tags[:, :2].tolist() == [[2, 3]] * 2
    assert words[:, :2].tolist() == [[4, 5]] * 2  # By frequency, then by the alphabet.
    words, _, _ = arrays(next(iter(data.validation)))
    assert words[:, :2].tolist() == [[2, 1]] * 2
    tagging._read_treebanks.cache_clear()


def test_sst2(stored):
    from recipes.datasets import sst2 as module

    train = [{"sentence": b"a dull film", "label": 0}, {"sentence": b"a fine film", "label": 1}]
    test = [{"sentence": b"a fine bore", "label": 0}]
    stored(module, Builder({"train": train * 10, "validation": test}))
    module._read.cache_clear()
    data = sst2(Split(batch_size=4))
    assert (data.vocabulary, data.classes, data.test_examples) == (6, 2, 1)
    words, labels = arrays(next(iter(data.test)))
    assert words[0, :4].tolist() == [2, 5, 1, 0]
    assert labels.tolist() == [0]
    module._read.cache_clear()


@pytest.mark.slow
def test_sst2_as_tfds_has_it():
    folder = os.environ.get("TFDS_DATA_DIR")
    if not folder or not list(pathlib.Path(folder).glob("glue/sst2/*/dataset_info.json")):
        pytest.skip("TFDS_DATA_DIR names no folder with glue/sst2 in it")
    data = sst2(Split(batch_size=64))
    assert (data.vocabulary, data.test_examples, data.input_shape) == (14_819, 872, (64,))
    assert data.train_examples + data.validation_examples == 67_349
    positive = np.concatenate([arrays(batch)[1] for batch in data.test]).sum()
    assert positive == 444


# Graphs.


def some_graphs(count=30, seed=0, tasks=2):
    random = np.random.default_rng(seed)
    sizes = random.integers(1, 12, size=count)
    edges = [
        np.array([(i, j) for i in range(n) for j in range(i) if random.random() < 0.4]).reshape(
            -1, 2
        )
        for n in sizes
    ]
    labels = random.integers(2, size=(count, tasks)).astype("float32")
    labels[random.random(labels.shape) < 0.3] = np.nan
    nodes = random.normal(size=(sizes.sum(), 3)).astype("float32")
    return graphs.Graphs(Ragged(nodes, sizes), Ragged.of(edges), labels)


def test_normalised_adjacency():
    source = some_graphs()
    rows = np.array([4, 0, 7])
    found = graphs.adjacency(source.edges, source.nodes.lengths, rows, width=16)
    for matrix, row in zip(found, rows):
        n = source.nodes.lengths[row]
        joined = np.eye(n)
        for i, j in source.edges.row(row).astype(int):
            joined[i, j] = joined[j, i] = 1
        expected = np.zeros((16, 16))
        for i, j in itertools.product(range(n), range(n)):
            expected[i, j] = joined[i, j] / np.sqrt(joined[i].sum() * joined[j].sum())
        np.testing.assert_allclose(matrix, expected, rtol=1e-6)


def test_batches_of_graphs():
    source = some_graphs()
    data = graphs.graph_data("some", source, None, some_graphs(7, 1), Split(batch_size=4))
    assert (data.train_examples, data.validation_examples, data.test_examples) == (27, 3, 7)
    assert (data.steps_per_epoch, data.features, data.tasks) == (6, 3, 2)
    by_first = {float(source.nodes.row(i)[0, 0]): i for i in range(30)}
    seen = []
    for inputs, labels, weights in epoch_of(data, 0):
        assert inputs["nodes"].shape[0] == 4
        assert weights.mean() == pytest.approx(1)
        for nodes, pooling, label, weight in zip(
            inputs["nodes"], inputs["pooling"], labels, weights
        ):
            row = by_first[float(nodes[0, 0])]
            n = source.nodes.lengths[row]
            np.testing.assert_array_equal(nodes[:n], source.nodes.row(row))
            np.testing.assert_allclose(pooling, [1 / n] * n + [0] * (len(nodes) - n), rtol=1e-6)
            known = ~np.isnan(source.labels[row])
            np.testing.assert_array_equal(weight > 0, known)
            np.testing.assert_array_equal(label[known], source.labels[row][known])
            seen.append(row)
    assert len(set(seen)) == 24
    test = [arrays(batch)[2] for batch in data.test]
    assert sum(w.mean() * len(w) for w in test) / 7 == pytest.approx(1)
    assert_same(epoch_of(data, 1), [arrays(b) for b in itertools.islice(data.train(0), 6, 12)])


def test_noise_turns_known_labels_over():
    clean = graphs.graph_data("x", some_graphs(), None, some_graphs(), Split(batch_size=4))
    split = Split(batch_size=4, label_noise=0.5)
    noisy = graphs.graph_data("x", some_graphs(), None, some_graphs(), split)
    turned = known = 0
    for (_, a, weights), (_, b, _) in zip(epoch_of(clean, 0), epoch_of(noisy, 0)):
        turned += (a != b)[weights > 0].sum()
        known += (weights > 0).sum()
        assert (b[weights == 0] == 0).all()
    assert 0.3 < turned / known < 0.7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nodes": Ragged(np.zeros((1, 3)), np.array([1, 0]))}, "2 graphs, 1 of them without nod"),
        ({"edges": Ragged(np.array([[0, 1]]), np.array([1, 0]))}, "must join nodes of their graph"),
        ({"edges": Ragged(np.array([[0, -1]]), np.array([1, 0]))}, "must join nodes of their grap"),
        ({"labels": np.array([[2.0], [0.0]])}, "must be 0, 1 or NaN"),
        ({"labels": np.zeros((3, 1))}, "nodes, edges and labels each. Received: 2, 2 and 3"),
    ],
)
def test_bad_graphs(change, message):
    parts = {
        "nodes": Ragged(np.zeros((2, 3)), np.array([1, 1])),
        "edges": Ragged(np.zeros((0, 2), int), np.array([0, 0])),
        "labels": np.zeros((2, 1)),
    }
    bad = graphs.Graphs(**{**parts, **change})
    with pytest.raises(ValueError, match=message):
        graphs.graph_data("x", bad, None, bad, Split(batch_size=1))


def test_molecules(folder):
    source = write_molecules(folder)
    data = molecules.molecules(Split(batch_size=32))
    assert (data.tasks, data.features, data.test_examples) == (3, 9, 90)
    assert (data.train_examples, data.validation_examples) == (720, 81)
    known = source["y"][:720, 0]
    thresholds = np.quantile(known[~np.isnan(known)], (0.25, 0.5, 0.75))
    for inputs, labels, weights in map(arrays, data.test):
        sizes = (inputs["pooling"] > 0).sum(1)
        above = sizes[:, None] > thresholds
        np.testing.assert_array_equal(labels[weights > 0], above[weights > 0])
    other = molecules.molecules(Split(batch_size=32), scaffolds=False)
    assert other.test_examples == 90


def test_molecules_with_too_few_values():
    values = np.where(np.arange(700) < 599, 1.0, np.nan)[:, None]
    with pytest.raises(ValueError, match="at least 600 values .*Received: 1 properties"):
        molecules.above_quantiles(values, np.ones(700, bool))


def test_molpcba(stored):
    def example(atoms):
        return {
            "node_feat": np.full((atoms, 9), atoms, "float32"),
            "edge_index": np.array([[i, i + 1] for i in range(atoms - 1)]).reshape(-1, 2),
            "labels": np.array([atoms % 2, np.nan], "float32"),
        }

    sets = {
        "train": [example(1 + i % 5) for i in range(20)],
        "validation": [example(2)] * 4,
        "test": [example(3)] * 2,
    }
    stored(molecules, Builder(sets))
    molecules._read_molpcba.cache_clear()
    data = molecules.molpcba(Split(batch_size=4))
    assert (data.tasks, data.train_examples, data.validation_examples) == (2, 20, 2)
    inputs, labels, weights = arrays(next(iter(data.test)))
    assert labels.tolist() == [[1, 0]] * 2
    assert (weights[:, 1] == 0).all()
    assert inputs["nodes"][0, :, 0].tolist() == [3, 3, 3, 0, 0, 0, 0, 0]
    molecules._read_molpcba.cache_clear()


def test_small_benchmarks(folder):
    (folder / "graphs").mkdir()
    # A triangle and two pairs, whose edges come in any order.
    np.savez(
        folder / "graphs" / "mutag.npz",
        node_graph=np.array([0, 0, 0, 1, 1, 2, 2] * 1),
        node_label=np.array([0, 1, 2, 0, 1, 0, 0]),
        graph_label=np.array([1, 0, 1]),
        edge_index=np.array([[5, 0, 1, 3, 0], [6, 1, 2, 4, 2]]),
    )
    data = graph_benchmarks.mutag(Split(batch_size=1, validation_split=0.4))
    assert (data.features, data.tasks) == (3, 1)
    sizes = []
    for part in (*[epoch_of(data, 0)], list(data.validation), list(data.test)):
        for inputs, _, _ in map(arrays, part):
            for nodes, matrix in zip(inputs["nodes"], inputs["adjacency"]):
                n = int((nodes.sum(-1) > 0).sum())
                sizes.append(n)
                # Every two nodes of these graphs are joined.
                np.testing.assert_allclose(matrix[:n, :n], np.full((n, n), 1 / n), rtol=1e-6)
    assert set(sizes) <= {2, 3}
