"""From sentences in memory to a `Data` of batches of similar length."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import keras
import numpy as np

from recipes.datasets.batches import Batch, fed
from recipes.datasets.buckets import Plan, in_order, shuffled, widths
from recipes.datasets.data import Data
from recipes.datasets.label_noise import noisy_labels
from recipes.datasets.members import members
from recipes.datasets.ragged import Ragged
from recipes.datasets.split import Split, check_integer
from recipes.datasets.vocabulary import PADDING, UNKNOWN

# The label of a place that holds no word.
NO_LABEL = -1


@dataclasses.dataclass(frozen=True)
class Sentences:
    """Sentences with a label each, or a label for each word.

    Attributes:
        words: numbers of the words, see `Vocabulary`.
        labels: integers of shape (sentences,), or as many in each row as there are words.
    """

    words: Ragged
    labels: np.ndarray | Ragged

    def take(self, rows: np.ndarray) -> Sentences:
        """Some of the sentences."""
        labels = self.labels
        taken = labels.take(rows) if isinstance(labels, Ragged) else labels[rows]
        return Sentences(self.words.take(rows), taken)

    @property
    def tagged(self) -> bool:
        """Whether each word has a label."""
        return isinstance(self.labels, Ragged)


@dataclasses.dataclass(frozen=True)
class TextData(Data):
    """A `Data` of sentences.

    `train` and the other streams yield (words, labels), or (words, labels, weights) where each
    word has a label: int32 (batch, width), int32 (batch,) or (batch, width), float32 (batch,
    width). Width differs from batch to batch. Places without a word hold 0, the label -1 and the
    weight 0. Weights in training make `sum_over_batch_size` the mean over a batch's words, and in
    evaluation the mean over all words of the set.

    Attributes:
        vocabulary: how many numbers stand for words, padding and unknown included.
    """

    vocabulary: int = 0


def sequences(
    name: str,
    train: Sentences,
    validation: Sentences | None,
    test: Sentences,
    split: Split,
    *,
    classes: int,
    vocabulary: int,
    word_dropout: float = 0.0,
) -> TextData:
    """Splits and batches sentences.

    Order, and which words are dropped, are NumPy's, a function of (seed, epoch): the same on every
    backend and after every resume.

    Args:
        name: the dataset's name.
        train: the source's training set.
        validation: its validation set; `None` if one is to be cut from `train`.
        test: its test set.
        split: how to split and batch them.
        classes: number of labels.
        vocabulary: number of words, padding and unknown included.
        word_dropout: share of the words in training that become unknown, in [0, 1).

    Returns:
        The `TextData`.

    Raises:
        ValueError: If a word, a label or `word_dropout` is out of range, a sentence is empty, or
            the split is not possible.
    """
    if not 0.0 <= word_dropout < 1.0:
        raise ValueError(
            f"`word_dropout` must be in [0, 1). Received: `word_dropout={word_dropout!r}`"
        )
    parts = [train, test] if validation is None else [train, validation, test]
    for part in parts:
        _check(part, classes, vocabulary)
    training, held_out = members(
        split, len(train.words), 0 if validation is None else len(validation.words)
    )
    fitted = train.take(training)
    fitted = dataclasses.replace(fitted, labels=_noisy(fitted.labels, classes, split))
    selected = (
        train.take(held_out) if validation is None else validation.take(held_out - len(train.words))
    )
    steps = len(training) // split.batch_size
    signature = _signature(train.tagged)

    @functools.lru_cache(maxsize=2)
    def plans(epoch: int) -> list[Plan]:
        return shuffled(fitted.words.lengths, split.batch_size, split.seed, epoch)

    def stream(initial_epoch: int = 0) -> Any:
        check_integer("initial_epoch", initial_epoch, minimum=0)

        def batch_at(index: int) -> Batch:
            epoch, step = initial_epoch + index // steps, index % steps
            words, *rest = _batch(fitted, plans(epoch)[step])
            random = np.random.default_rng([split.seed, epoch, step])
            dropped = (random.random(words.shape) < word_dropout) & (words != PADDING)
            return (np.where(dropped, UNKNOWN, words).astype(np.int32), *rest)

        return fed(batch_at, None, signature)

    def one_pass(part: Sentences) -> Any:
        order = in_order(part.words.lengths, split.batch_size)
        words = part.words.lengths.mean()
        return fed(lambda index: _batch(part, order[index], words), len(order), signature)

    return TextData(
        name=name,
        train=stream,
        validation=one_pass(selected),
        test=one_pass(test),
        steps_per_epoch=steps,
        batch_size=split.batch_size,
        input_shape=(int(max(widths(part.words.lengths).max() for part in parts)),),
        classes=classes,
        train_examples=len(training),
        validation_examples=len(held_out),
        test_examples=len(test.words),
        one_shape=False,
        vocabulary=vocabulary,
    )


def _batch(part: Sentences, plan: Plan, words_per_sentence: float | None = None) -> Batch:
    words = part.words.padded(plan.rows, plan.width, fill=PADDING)
    if not isinstance(part.labels, Ragged):
        return words, part.labels[plan.rows].astype(np.int32)
    labels = part.labels.padded(plan.rows, plan.width, fill=NO_LABEL)
    there = labels != NO_LABEL
    places = plan.width / words_per_sentence if words_per_sentence else there.size / there.sum()
    return words, labels, (there * places).astype(np.float32)


def _noisy(labels: np.ndarray | Ragged, classes: int, split: Split) -> np.ndarray | Ragged:
    flat = labels.values if isinstance(labels, Ragged) else labels
    flat = noisy_labels(flat, classes, split.label_noise, split.noise_kind, split.fixed_by)
    return dataclasses.replace(labels, values=flat) if isinstance(labels, Ragged) else flat


def _signature(tagged: bool) -> Batch:
    words = keras.KerasTensor((None, None), "int32")
    if not tagged:
        return words, keras.KerasTensor((None,), "int32")
    return words, words, keras.KerasTensor((None, None), "float32")


def _check(part: Sentences, classes: int, vocabulary: int) -> None:
    words, labels = part.words, part.labels
    if not len(words) or words.lengths.min() < 1:
        raise ValueError(
            "Sentences must have at least one word, and there must be one. "
            f"Received: {len(words)} sentences, {(words.lengths < 1).sum()} of them empty"
        )
    lengths = labels.lengths if isinstance(labels, Ragged) else np.ones(len(labels), np.int64)
    expected = words.lengths if part.tagged else np.ones(len(words), np.int64)
    if not np.array_equal(lengths, expected):
        raise ValueError("Sentences must have one label each, or one for each of their words.")
    flat = labels.values if isinstance(labels, Ragged) else labels
    for name, values, first, limit in (
        ("words", words.values, UNKNOWN, vocabulary),
        ("labels", flat, 0, classes),
    ):
        if not first <= values.min() <= values.max() < limit:
            raise ValueError(
                f"The numbers of {name} must be in [{first}, {limit}). "
                f"Received: {values.min()} to {values.max()}"
            )
