"""SST-2: sentences and phrases of film reviews, negative or positive, through TFDS."""

from __future__ import annotations

import functools

from recipes.datasets.prepared import prepared_builder
from recipes.datasets.ragged import Ragged
from recipes.datasets.sequences import Sentences, TextData, sequences
from recipes.datasets.split import Split
from recipes.datasets.vocabulary import Vocabulary


def sst2(
    split: Split,
    *,
    vocabulary: int | None = None,
    word_dropout: float = 0.1,
    download: bool = True,
) -> TextData:
    """Loads SST-2: 67,349 phrases to train and validate on, 872 sentences to test on.

    The texts are tokenised as they come: words are what stands between spaces. The vocabulary is
    that of the whole training set, 14,817 words. The source's validation split is the test set,
    because the labels of its test split are not public.

    Args:
        split: how to split and batch them; the validation set is cut from the training set.
        vocabulary: how many of the most frequent words to keep at most, padding and unknown
            included; `None` for all, 14,819.
        word_dropout: share of the training words that become unknown, default 0.1.
        download: whether TFDS may download what is not prepared.

    Returns:
        The `TextData`; 0 is negative, 1 positive.

    Raises:
        ValueError: an argument is outside of its range; the data are not there.

    Example:

    ```python
    data = sst2(Split(batch_size=64, seed=0))
    ```

    Source: Socher et al., "Recursive Deep Models for Semantic Compositionality", EMNLP 2013; TFDS
    `glue/sst2`.
    """
    builder = prepared_builder("glue/sst2", download=download)
    train, test, words = _read(str(builder.data_dir), vocabulary)
    return sequences(
        "sst2",
        train,
        None,
        test,
        split,
        classes=2,
        vocabulary=words,
        word_dropout=word_dropout,
    )


@functools.lru_cache(maxsize=2)
def _read(folder: str, size: int | None) -> tuple[Sentences, Sentences, int]:
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(folder)
    texts, labels = [], []
    for name in ("train", "validation"):
        table = tfds.as_numpy(builder.as_dataset(split=name, batch_size=-1))
        texts.append([sentence.decode().split() for sentence in table["sentence"]])
        labels.append(table["label"])
    vocabulary = Vocabulary.of(texts[0], size)
    train, test = (
        Sentences(Ragged.of([vocabulary.numbers(sentence) for sentence in sentences]), label)
        for sentences, label in zip(texts, labels, strict=True)
    )
    return train, test, len(vocabulary)
