"""Words by numbers."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Sequence

import numpy as np

PADDING, UNKNOWN = 0, 1
# Numbers that stand for no word: padding and unknown.
RESERVED = 2


class Vocabulary:
    """Numbers words from 2 on; 0 is padding and 1 a word that is not known.

    Args:
        words: The words, each once.

    Example:

    >>> vocabulary = Vocabulary.of([["a", "b"], ["b"]])
    >>> len(vocabulary), vocabulary.numbers(["a", "b", "c"]).tolist()
    (4, [3, 2, 1])
    """

    def __init__(self, words: Sequence[str]) -> None:
        self._numbers = {word: RESERVED + index for index, word in enumerate(words)}

    @classmethod
    def of(cls, sentences: Iterable[Sequence[str]], size: int | None = None) -> Vocabulary:
        """The most frequent words of some sentences, equally frequent ones by the alphabet.

        Args:
            sentences: Sequences of words.
            size: How many numbers to give at most, padding and unknown included. Defaults to
                `None`, as many as there are words.

        Raises:
            ValueError: If `size` leaves no word.
        """
        check_size(size)
        counts = collections.Counter(word for sentence in sentences for word in sentence)
        words = sorted(counts, key=lambda word: (-counts[word], word))
        return cls(words if size is None else words[: size - RESERVED])

    def __len__(self) -> int:
        return RESERVED + len(self._numbers)

    def numbers(self, words: Iterable[str]) -> np.ndarray:
        """The number of each word, int32."""
        return np.array([self._numbers.get(word, UNKNOWN) for word in words], np.int32)


def check_size(size: int | None) -> None:
    """Raises a ValueError unless a vocabulary may be limited to this many numbers."""
    whole = isinstance(size, int | np.integer) and not isinstance(size, bool)
    if size is not None and not (whole and size > RESERVED):
        raise ValueError(
            f"`vocabulary` must be an integer > {RESERVED}, padding and unknown included, or None "
            f"for all words. Received: `vocabulary={size!r}`"
        )
