"""m-sharpness on one device: a perturbation of its own for each split of the batch.

Source: Foret et al. 2021, section 4.1: SAM's perturbation is the better the fewer examples (m)
share one. On R replicas each perturbs with its own gradient anyway; this does it on one.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops, tree

from keras_sam.backend import dense
from keras_sam.loss_function import Batch

Tensor = Any
# (state, batch) -> (loss, predictions, new_state, gradients)
Step = Callable[
    [Sequence[Tensor], Batch], tuple[Tensor, Any, list[Tensor | None], list[Tensor | None]]
]


def over_splits(step: Step, num_batch_splits: int, averaged: Sequence[bool]) -> Step:
    """Runs `step` on each of k nearly equal splits of the batch, and averages.

        g' = sum_i (n_i / n) g'(split_i),    n_i = floor((i+1) n / k) - floor(i n / k)

    Args:
        step: `(state, batch) -> (loss, predictions, new_state, gradients)`.
        num_batch_splits: k, a positive int. A batch of n < k examples makes n splits.
        averaged: For each entry of the state: `True` if all splits start from the same value and
            the new ones are averaged (BatchNorm statistics: one update a batch), `False` if each
            split goes on where the one before it stopped (dropout seeds, sums of metrics).

    Returns:
        A step of the same signature over the whole batch.
    """

    def run(
        state: Sequence[Tensor], batch: Batch
    ) -> tuple[Tensor, Any, list[Tensor | None], list[Tensor | None]]:
        n = ops.shape(next(leaf for leaf in tree.flatten(batch[0]) if leaf is not None))[0]
        known = isinstance(n, int)
        current = list(state)
        totals: list[Tensor | None] = [None] * len(state)
        loss: Tensor | None = None
        gradients: list[Tensor | None] = []
        predictions = []
        for i in range(num_batch_splits):
            start, stop = i * n // num_batch_splits, (i + 1) * n // num_batch_splits
            size = stop - start
            if known and size == 0:
                continue
            # Where n is known only when the graph runs, a split may turn out empty. It then
            # computes on one example, whose results count nothing: no mean over none, no NaN.
            part = _slice(batch, start, stop if known else ops.maximum(stop, start + 1))
            split_loss, y_pred, new_state, split_gradients = step(current, part)
            share = ops.cast(size, split_loss.dtype) / ops.cast(n, split_loss.dtype)
            loss = _weighted_sum(loss, split_loss, share)
            predictions.append(_slice(y_pred, 0, size))
            sums = gradients or [None] * len(split_gradients)
            gradients = [
                _weighted_sum(total, g, share)
                for total, g in zip(sums, split_gradients, strict=True)
            ]
            for j, new in enumerate(new_state):
                if new is not None and averaged[j]:
                    totals[j] = _weighted_sum(totals[j], new, share)
                elif new is not None:
                    totals[j] = current[j] = new if known else ops.where(size > 0, new, current[j])
        y_pred = tree.map_structure(lambda *parts: ops.concatenate(parts), *predictions)
        return loss, y_pred, totals, gradients

    return run


def averaged_state(model: keras.Model, state: Sequence[keras.Variable]) -> list[bool]:
    """Tells for each state variable whether the splits' updates are averaged: floats of layers."""
    metrics = {id(v) for v in model.metrics_variables}
    return [keras.backend.is_float_dtype(v.dtype) and id(v) not in metrics for v in state]


def _slice(structure: Any, start: Any, stop: Any) -> Any:
    return tree.map_structure(lambda t: None if t is None else t[start:stop], structure)


def _weighted_sum(total: Tensor | None, tensor: Tensor | None, share: Tensor) -> Tensor | None:
    if tensor is None:
        return total
    tensor = dense(tensor)
    tensor = tensor * ops.cast(share, tensor.dtype)
    return tensor if total is None else total + tensor
