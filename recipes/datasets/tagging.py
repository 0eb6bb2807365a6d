"""Part-of-speech tags: the Brown corpus, or Universal Dependencies through TFDS."""

from __future__ import annotations

import functools
import os
from typing import Any

import numpy as np

from recipes.datasets.folder import VARIABLE, prepared_arrays, strings
from recipes.datasets.prepared import prepared_builder
from recipes.datasets.ragged import Ragged
from recipes.datasets.sequences import Sentences, TextData, sequences
from recipes.datasets.split import Split
from recipes.datasets.vocabulary import RESERVED, UNKNOWN, Vocabulary, check_size

BROWN = "text/brown_pos.npz"
_BROWN_ARRAYS = (
    *("word", "tag", "universal", "length"),
    *("split", "vocabulary", "tags", "universal_tags"),
)

# Training, validation and test sentences, number of words, number of tags.
_Corpus = tuple[Sentences, Sentences, Sentences, int, int]


def brown(split: Split, *, vocabulary: int | None = 33_951, universal: bool = False) -> TextData:
    """Loads the Brown corpus: 57,340 sentences, split by document.

    The file is `text/brown_pos.npz` in the folder that KERAS_SAM_DATA names, an `np.savez` of

    - `word`, `tag`, `universal`: numbers of each word and its tags from 0 on, the most frequent
      words first, integers (all words,); one sentence after the other;
    - `length`, `split`: words of each sentence, int32, and 0 training, 1 validation, 2 test;
    - `vocabulary`, `tags`, `universal_tags`: what the numbers stand for, UTF-8 bytes joined by
      newlines, uint8.

    Args:
        split: how to split and batch them; validation sentences come from the documents that the
            file keeps for it.
        vocabulary: how many of the most frequent words to keep at most, padding and unknown
            included. Default 33,951: with the 109 tags the sizes are then those of the paper.
        universal: whether to learn the 12 universal tags rather than the 109 of the corpus.

    Returns:
        The `TextData`.

    Raises:
        ValueError: an argument is outside of its range; the file is not there or damaged.

    Example:

    ```python
    data = brown(Split(batch_size=64, seed=0))
    ```

    Source: Francis and Kucera, "Brown Corpus Manual", 1964, revised 1979.
    """
    corpus = _read_brown(os.environ.get(VARIABLE), vocabulary, universal)
    return _tagged("brown", corpus, split)


def universal_dependencies(
    split: Split,
    *,
    vocabulary: int | None = None,
    language: str = "en",
    download: bool = True,
) -> TextData:
    """Loads the treebanks of a language in Universal Dependencies 2.5, as XTREME uses them.

    Args:
        split: how to split and batch them; validation sentences come from the split "dev".
        vocabulary: how many of the most frequent words to keep at most, padding and unknown
            included; `None` for all of the training set.
        language: "en" or another of TFDS's codes.
        download: whether TFDS may download what is not prepared.

    Returns:
        The `TextData`.

    Raises:
        ValueError: an argument is outside of its range; the data are not there.

    Example:

    ```python
    data = universal_dependencies(Split(batch_size=64, seed=0))
    ```

    Source: Zeman et al., Universal Dependencies 2.5, 2019; TFDS `xtreme_pos`.
    """
    builder = prepared_builder(f"xtreme_pos/xtreme_pos_{language}", download=download)
    return _tagged("ud", _read_treebanks(str(builder.data_dir), vocabulary), split)


def _tagged(name: str, corpus: _Corpus, split: Split) -> TextData:
    train, validation, test, words, tags = corpus
    return sequences(name, train, validation, test, split, classes=tags, vocabulary=words)


@functools.lru_cache(maxsize=2)
def _read_brown(folder: str | None, size: int | None, universal: bool) -> _Corpus:
    check_size(size)
    arrays = prepared_arrays(BROWN, _BROWN_ARRAYS, "The Brown corpus")
    # The file numbers words by their frequency.
    words = RESERVED + arrays["word"].astype(np.int32)
    kept = RESERVED + len(strings(arrays["vocabulary"]))
    kept = kept if size is None else min(kept, size)
    words = np.where(words < kept, words, UNKNOWN).astype(np.int32)
    tags = arrays["universal" if universal else "tag"].astype(np.int32)
    names = strings(arrays["universal_tags" if universal else "tags"])
    whole = Sentences(Ragged(words, arrays["length"]), Ragged(tags, arrays["length"]))
    parts = [whole.take(np.flatnonzero(arrays["split"] == index)) for index in range(3)]
    return parts[0], parts[1], parts[2], kept, len(names)


@functools.lru_cache(maxsize=2)
def _read_treebanks(folder: str, size: int | None) -> _Corpus:
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(folder)
    sets = [
        [
            ([token.decode() for token in example["tokens"]], np.asarray(example["upos"], np.int32))
            for example in tfds.as_numpy(builder.as_dataset(split=name))
            if len(example["tokens"])
        ]
        for name in ("train", "dev", "test")
    ]
    vocabulary = Vocabulary.of((tokens for tokens, _ in sets[0]), size)
    train, validation, test = (_sentences(examples, vocabulary) for examples in sets)
    tags = builder.info.features["upos"].feature.num_classes
    return train, validation, test, len(vocabulary), tags


def _sentences(examples: Any, vocabulary: Vocabulary) -> Sentences:
    words = Ragged.of([vocabulary.numbers(tokens) for tokens, _ in examples])
    return Sentences(words, Ragged.of([tags for _, tags in examples]))
