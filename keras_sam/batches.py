"""How many examples a batch has, as far as that can be told before training starts."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops, tree

KERAS_DEFAULT_BATCH_SIZE = 32


def examples_per_batch(x: Any, batch_size: int | None) -> int | None:
    """Number of examples of the first batch that `fit(x, batch_size=batch_size)` would take.

    Nothing is drawn from the data for it: a shuffled dataset would shuffle anew, a generator or a
    `keras.utils.PyDataset` that draws at random would draw once more, and training would see other
    batches than without the question.

    Args:
        x: What `fit` takes: arrays, a `tf.data.Dataset`, a `keras.utils.PyDataset`, a torch
            `DataLoader` or a generator.
        batch_size: `fit`'s argument.

    Returns:
        The number, or `None` if it cannot be known without looking.
    """
    if hasattr(x, "element_spec"):  # tf.data, which may be used on every backend.
        return _examples(x.element_spec) or _batched_by(x)
    if hasattr(x, "batch_size") and hasattr(x, "dataset"):
        return x.batch_size
    if hasattr(x, "__next__") or isinstance(x, keras.utils.PyDataset):
        return None
    examples = _examples(x)
    return None if examples is None else min(examples, batch_size or KERAS_DEFAULT_BATCH_SIZE)


def checked_data(x: Any, batch_size: int | None, check: Callable[[int], None]) -> Any:
    """The data, their batches checked as far as these are known; some tell it only when drawn.

    Args:
        x: As for `examples_per_batch`.
        batch_size: `fit`'s argument.
        check: Called with the number of examples of a batch. It may raise.
    """
    examples = examples_per_batch(x, batch_size)
    if examples is not None:
        check(examples)
    if isinstance(x, keras.utils.PyDataset) and not x.use_multiprocessing:
        return CheckedDataset(x, check)
    return x


class CheckedDataset(keras.utils.PyDataset):
    """A dataset whose batches are checked as they are drawn, the last one excepted.

    Args:
        dataset: A `keras.utils.PyDataset`.
        check: Called with the number of examples of a batch. It may raise.
    """

    def __init__(self, dataset: keras.utils.PyDataset, check: Callable[[int], None]) -> None:
        super().__init__(workers=dataset.workers, max_queue_size=dataset.max_queue_size)
        self._dataset, self._check = dataset, check

    @property
    def num_batches(self) -> int | None:
        return self._dataset.num_batches

    def __getitem__(self, index: int) -> Any:
        batch = self._dataset[index]
        examples = _examples(batch)
        if examples is not None and (index == 0 or index + 1 != self.num_batches):
            self._check(examples)
        return batch

    def on_epoch_begin(self) -> None:
        self._dataset.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self._dataset.on_epoch_end()


def _batched_by(dataset: Any) -> int | None:
    """The argument of a dataset's `batch`, through what leaves batches as they are."""
    keeps = (
        "_Prefetch",
        "CacheDataset",
        "_Shuffle",
        "_Repeat",
        "_Take",
        "_Skip",
        "_Options",
        "_Shard",
    )
    while type(dataset).__name__.startswith(keeps):
        dataset = getattr(dataset, "_input_dataset", None)
    size = getattr(dataset, "_batch_size", None)  # Private, and None should it go.
    return None if size is None else int(size)


def _examples(batch: Any) -> int | None:
    for leaf in tree.flatten(batch):
        shape = getattr(leaf, "shape", None)
        if shape is not None and len(shape) > 0:
            return None if shape[0] is None else int(shape[0])
    return None


def count_examples(x: Any, y: Any) -> Any:
    """How many examples a batch holds: rows of y, as x may be packed; of x where there is no y."""
    leaves = [leaf for leaf in [*tree.flatten(y), *tree.flatten(x)] if leaf is not None]
    return ops.shape(next(leaf for leaf in leaves if len(leaf.shape) > 0))[0]
