"""Examples with their weights in the loss of all.

Keras averages a loss over the entries of a batch that are neither masked (`Masking`,
`Embedding(mask_zero=True)`) nor of an ignored class. So the loss of all examples is the mean of the
batches' losses weighted by their numbers of such entries, not by their numbers of examples.
"""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from keras_sam import backend
from keras_sam.backend import keras_internals
from keras_sam.loss_function import loss_function, state_variables
from keras_sam.sharpness.examples import Examples


class WeightedExamples:
    """Examples, cut into batches with their shares in the loss of all.

        L = sum_b share_b L_b,    share_b = (sum over i in b of counted_i) / (sum_i counted_i)

    Args:
        examples: The n examples.
        counted: In proportion to the number of entries of each example that count, shape (n,);
            `None` if the model's losses leave different entries out, so that examples have no one
            weight, and must stay one batch.

    Attributes:
        examples: The examples.
    """

    def __init__(self, examples: Examples, counted: np.ndarray | None) -> None:
        self.examples = examples
        self._counted = counted

    @classmethod
    def of(cls, model: keras.Model, examples: Examples, batch_size: int) -> "WeightedExamples":
        """Examples with the weights that a built and compiled model gives them.

        Raises:
            ValueError: If they have none, and do not fit into one batch; if a mask has not one row
                for each example; or if a loss has no entry that counts.
        """
        counted = _counted_entries(model, examples, batch_size)
        if counted is None and len(list(examples.chunks(batch_size))) > 1:
            raise ValueError(
                f"`batch_size` must not be below the number of examples, {examples.size}, and they "
                "must have the same shapes, if several losses leave different entries out (masks, "
                "ignored classes, `add_loss`): no weighting of batches gives the loss of all. "
                f"Received: `batch_size={batch_size}`"
            )
        return cls(examples, counted)

    def batches(self, batch_size: int) -> Iterator[tuple[float, Any]]:
        """Batches of at most `batch_size` as tensors, each with its share in the loss of all."""
        for rows, batch in self._chunks(batch_size):
            # Without weights there is but one batch.
            share = 1.0
            if self._counted is not None:
                share = self._counted[rows].sum() / self._counted.sum()
            yield share, _tensors(batch)

    def single(self, batch_size: int) -> Iterator[tuple[float, np.ndarray, Any]]:
        """Batches to take apart: their share of the examples, and what each example's loss counts.

        The mean over all examples of these losses, so weighted, is the loss of all.
        """
        counted = self._weights()
        for rows, batch in self._chunks(batch_size):
            weights = counted[rows] / counted.mean()
            yield len(weights) / self.examples.size, weights, _tensors(batch)

    def groups(self, size: int) -> Iterator[tuple[float, "WeightedExamples"]]:
        """Groups of at most `size` examples that count, each with its share in the loss of all."""
        counted, start = self._weights(), 0
        for group in self.examples.groups(size):
            own = counted[start : start + group.size]
            start += group.size
            if share := own.sum() / counted.sum():
                yield share, WeightedExamples(group, own)

    def _chunks(self, size: int) -> Iterator[tuple[slice, Any]]:
        start = 0
        for length, batch in self.examples.chunks(size):
            yield slice(start, start + length), batch
            start += length

    def _weights(self) -> np.ndarray:
        if self._counted is None:
            raise ValueError(
                "`model` must have one loss, or losses that leave the same entries out (masks, "
                "ignored classes, `add_loss`), if its data are taken apart: otherwise the weights "
                "of the parts are not known. Received: a model with losses that differ"
            )
        return self._counted


def _counted_entries(model: keras.Model, examples: Examples, batch_size: int) -> np.ndarray | None:
    """For each example how many of its entries count, ones where none is left out."""
    counts = []
    for size, batch in examples.chunks(batch_size):
        counted = [_by_example(mask, size) for mask in _masks(model, _tensors(batch))]
        if all(count is None for count in counted):  # As in all other batches: there is no mask.
            return np.ones(examples.size)
        counts.append([np.ones(size) if count is None else count for count in counted])
    losses = [np.concatenate(parts) for parts in zip(*counts, strict=True)]
    if _adds_losses(model, _tensors(batch)):  # Which are means over examples.
        losses.append(np.ones(examples.size))
    totals = [loss.sum() for loss in losses]
    if not all(totals):
        raise ValueError(
            "`data` must hold entries that count for each loss. Received: data whose entries are "
            "all masked or of an ignored class"
        )
    alike = all(
        np.allclose(loss / total, losses[0] / totals[0], rtol=1e-9, atol=0)
        for loss, total in zip(losses, totals, strict=True)
    )
    return losses[0] if alike else None


def _masks(model: keras.Model, batch: Any) -> list[Any]:
    """What each loss of the model leaves out of a batch, `None` for nothing."""
    values = [backend.read(v) for v in model.trainable_variables]
    state = [backend.read(v) for v in state_variables(model)]
    with keras_internals.recorded_loss_masks() as masks:
        loss_function(model, training=False)(values, state, batch)
    return masks


def _by_example(mask: Any, size: int) -> np.ndarray | None:
    if mask is None:
        return None
    array = np.asarray(ops.convert_to_numpy(mask)) != 0
    if array.ndim == 0 or len(array) != size:
        raise ValueError(
            "`model` must mask its outputs with one row for each example. "
            f"Received: a mask of shape {array.shape} for {size} examples"
        )
    return array.reshape(size, -1).sum(axis=1).astype(float)


def _adds_losses(model: keras.Model, batch: Any) -> bool:
    with keras.StatelessScope(collect_losses=True):
        of_weights = len(model.losses)
        model(batch[0])
        return len(model.losses) > of_weights


def _tensors(batch: Any) -> Any:
    return tree.map_structure(
        lambda leaf: None if leaf is None else ops.convert_to_tensor(leaf), batch
    )
