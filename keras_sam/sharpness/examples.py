"""Data in memory: read once, so that every pass sees the same examples."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import tree

from keras_sam.memory import require_memory

Batch = tuple[Any, Any, Any]


class Examples:
    """Examples `(x, y, sample_weight)` as NumPy arrays, cut into batches on demand.

    A Hessian is one matrix only if each of the many passes over the data sees the same examples,
    so a shuffled or augmented pipeline is read once, and a generator will do.

    Args:
        data: A tuple `(x, y)` or `(x, y, sample_weight)` of arrays or nests of them; or an iterable
            of such batches that ends: a list, a `tf.data.Dataset`, a `keras.utils.PyDataset`, a
            `torch.utils.data.DataLoader`, a generator.
        max_examples: How many to read, the first ones. Defaults to `None`, all.

    Raises:
        TypeError: If `data` is of another kind, or holds what is no dense array.
        ValueError: If there are no examples, infinitely many, more than fit into memory, or their
            arrays differ in length.

    Example:

    >>> examples = Examples((np.zeros((5, 2)), np.zeros(5)))
    >>> [size for size, _ in examples.chunks(2)]
    [2, 2, 1]
    """

    def __init__(self, data: Any, max_examples: int | None = None) -> None:
        blocks: list[Batch] = []
        size = 0
        for batch in _batches(data):
            block = _block(batch)
            length = _length(block)
            if max_examples is not None:
                length = min(length, max_examples - size)
                block = _part(block, slice(0, length))
            if length:
                if not blocks:
                    _check_memory(data, block, max_examples)
                blocks.append(block)
                size += length
            if size == max_examples:
                break
        if not blocks:
            raise ValueError(f"`data` must hold at least one example. Received: `data={data!r}`")
        self._blocks = _joined(blocks)
        self.size = size

    def chunks(self, batch_size: int) -> Iterator[tuple[int, Batch]]:
        """Cuts the examples into batches of at most `batch_size`.

        Returns:
            An iterator of `(number of examples, (x, y, sample_weight))`.
        """
        for block in self._blocks:
            length = _length(block)
            for start in range(0, length, batch_size):
                stop = min(start + batch_size, length)
                yield stop - start, _part(block, slice(start, stop))

    def groups(self, size: int) -> Iterator["Examples"]:
        """Cuts the examples into groups of at most `size`, each an `Examples`."""
        for _, batch in self.chunks(size):
            group = object.__new__(Examples)
            group._blocks = [batch]
            group.size = _length(batch)
            yield group


def _batches(data: Any) -> Iterable[Any]:
    if isinstance(data, tuple) or hasattr(data, "shape"):
        return [data]
    if isinstance(data, keras.utils.PyDataset):
        if data.num_batches is None:
            raise _infinite(data)
        return (data[index] for index in range(data.num_batches))
    if isinstance(data, str | dict) or not isinstance(data, Iterable):
        raise TypeError(
            "`data` must be a tuple `(x, y)` or `(x, y, sample_weight)` of arrays, or an iterable "
            f"of such batches. Received: `data={data!r}` of {type(data)}"
        )
    if hasattr(data, "cardinality") and int(data.cardinality()) == -1:  # tf.data's INFINITE.
        raise _infinite(data)
    return data


def _infinite(data: Any) -> ValueError:
    return ValueError(
        "`data` must end; `data.take(n)` of a tf.data.Dataset has n batches. "
        f"Received: `data={data!r}`"
    )


def _block(batch: Any) -> Batch:
    block = tree.map_structure(_array, keras.utils.unpack_x_y_sample_weight(batch))
    lengths = {array.shape[0] if array.ndim else None for array in _arrays(block)}
    if len(lengths) != 1 or None in lengths:
        raise ValueError(
            "`data` must hold arrays with one row for each example, all of the same length. "
            f"Received: arrays of shapes {[array.shape for array in _arrays(block)]}"
        )
    return block


def _array(leaf: Any) -> np.ndarray | None:
    if leaf is None:
        return None
    array = np.asarray(leaf)
    if array.dtype == object and not all(isinstance(item, str | bytes) for item in array.flat):
        raise TypeError(f"`data` must hold dense arrays. Received: {leaf!r} of {type(leaf)}")
    return array


def _arrays(block: Batch) -> list[np.ndarray]:
    return [leaf for leaf in tree.flatten(block) if leaf is not None]


def _length(block: Batch) -> int:
    return _arrays(block)[0].shape[0]


def _part(block: Batch, rows: slice) -> Batch:
    return _map(lambda array: array[rows], block)


def _map(function: Callable[..., Any], *blocks: Batch) -> Batch:
    return tree.map_structure(
        lambda *leaves: None if leaves[0] is None else function(*leaves), *blocks
    )


def _check_memory(data: Any, block: Batch, max_examples: int | None) -> None:
    """Estimates the whole from the first batch, for sources that tell their length."""
    if isinstance(data, tuple) or not (hasattr(data, "__len__") or hasattr(data, "num_batches")):
        return
    try:
        batches = getattr(data, "num_batches", None) or len(data)
    except TypeError:  # A tf.data pipeline of unknown length.
        return
    examples = batches * _length(block)
    if max_examples is not None:
        examples = min(examples, max_examples)
    each = sum(array.nbytes for array in _arrays(block)) / _length(block)
    require_memory(
        2 * each * examples,  # Twice, while the batches are being joined.
        f"Keeping {examples} examples",
        f"`max_examples` limits their number. Received: `max_examples={max_examples}`",
    )


def _joined(blocks: Sequence[Batch]) -> list[Batch]:
    """One block, where the batches have the same shapes but for their number of examples."""
    kinds = {
        tuple(None if leaf is None else (leaf.shape[1:], leaf.dtype) for leaf in tree.flatten(b))
        for b in blocks
    }
    if len(blocks) == 1 or len(kinds) != 1:
        return list(blocks)
    return [_map(lambda *arrays: np.concatenate(arrays), *blocks)]
