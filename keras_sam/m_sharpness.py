"""m-sharpness on one device: a perturbation of its own for each split of the batch.

Source: Foret et al. 2021, section 4.1: SAM's perturbation is the better the fewer examples (m)
share one. On R replicas each perturbs with its own gradient anyway; this does it on one.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops, tree

from keras_sam.backend import is_dense, module_state, same_rows
from keras_sam.loss_count import LossCount
from keras_sam.loss_function import Batch, Outcome
from keras_sam.weighted_mean import WeightedMean

Tensor = Any
# (state, batch) -> (loss, outcome, gradients)
Step = Callable[[Sequence[Tensor], Batch], tuple[Tensor, Outcome, list[Tensor | None]]]


def over_splits(
    step: Step, num_batch_splits: int, averaged: Sequence[bool], counting: LossCount
) -> Step:
    """Runs `step` on each of k nearly equal splits of the batch, and averages.

        g' = sum_i c_i g'(split_i) / sum_i c_i,    n_i = floor((i+1) n / k) - floor(i n / k)

    with c_i = n_i, or what `keras_sam.loss_count` says of losses that are no mean over examples
    (a loss that is a sum: g' = sum_i g'(split_i)). So the loss is that of the whole batch.

    Args:
        step: `(state, batch) -> (loss, outcome, gradients)`.
        num_batch_splits: k, a positive int. A batch of n < k examples makes n splits.
        averaged: For each entry of the state: `True` if all splits start from the same value and
            the new ones are averaged (BatchNorm statistics: one update a batch), `False` if each
            split goes on where the one before it stopped (dropout seeds, sums of metrics).
        counting: What the step's losses are watched by.

    Returns:
        A step of the same signature over the whole batch.

    Raises:
        ValueError: When it is called, if the batch cannot be split or the outputs not be joined.
    """

    def run(state: Sequence[Tensor], batch: Batch) -> tuple[Tensor, Outcome, list[Tensor | None]]:
        n, batch = same_rows(_checked(batch), batch)
        known = isinstance(n, int)
        current = list(state)
        means, of_examples = WeightedMean(), WeightedMean()
        outcomes = []
        for i in range(num_batch_splits):
            start, stop = i * n // num_batch_splits, (i + 1) * n // num_batch_splits
            size = stop - start
            if known and size == 0:
                continue
            # Where n is known only when the graph runs, a split may turn out empty. It then
            # computes on one example, whose results count nothing: no mean over none, no NaN.
            part = _slice(batch, start, stop if known else ops.maximum(stop, start + 1))
            loss, outcome, gradients = step(current, part)
            count = outcome.divisor
            if count is not None and not known:
                count = ops.where(size > 0, count, ops.zeros_like(count))
            means.add([loss, *gradients], size, stop, count)
            of_examples.add([*outcome.state, *outcome.weights, *outcome.norms], size, stop)
            for j, value in enumerate(outcome.state):
                if value is not None and not averaged[j]:
                    current[j] = value if known else ops.where(size > 0, value, current[j])
            outcomes.append(_checked_outputs(outcome, size))
        loss, *gradients = means.result(counting.summed)
        new = of_examples.result()
        new_state = [
            value if value is None or averaged[j] else current[j]
            for j, value in enumerate(new[: len(state)])
        ]
        new_weights = new[len(state) : len(state) + len(outcomes[0].weights)]
        norms = new[len(state) + len(new_weights) :]
        return loss, _joined(outcomes, new_state, new_weights, norms), gradients

    return run


def averaged_state(model: keras.Model, state: Sequence[keras.Variable]) -> list[bool]:
    """Tells for each state variable whether the splits' updates are averaged: floats of layers."""
    layers = {id(v) for v in [*model.non_trainable_variables, *module_state(model)]}
    return [keras.backend.is_float_dtype(v.dtype) and id(v) in layers for v in state]


def _checked(batch: Batch) -> list[Tensor]:
    """The tensors of a batch, if each has one row for each example as far as can be seen."""
    tensors = [t for t in tree.flatten(batch) if t is not None]
    rows = {t.shape[0] if is_dense(t) and len(t.shape) > 0 else "none" for t in tensors}
    if "none" in rows or len(rows - {None}) > 1:
        raise ValueError(
            "`num_batch_splits` needs inputs, targets and sample weights that are dense and have "
            "one row for each example, all the same number. "
            f"Received: a batch of {[_described(t) for t in tensors]}"
        )
    return tensors


def _checked_outputs(outcome: Outcome, size: Any) -> Outcome:
    """Without the rows of an empty split, if each output has one row for each example."""
    known = size if isinstance(size, int) else None
    leaves = [t for t in tree.flatten(outcome.predictions) if t is not None]
    if not all(is_dense(t) and len(t.shape) > 0 and t.shape[0] in (None, known) for t in leaves):
        raise ValueError(
            "`num_batch_splits` needs outputs that are dense and have one row for each example, "
            "since those of the splits are joined. "
            f"Received: a model with outputs {[_described(t) for t in leaves]}"
        )
    if known is not None:
        return outcome
    predictions, masks = _slice((outcome.predictions, outcome.masks), 0, size)
    return outcome._replace(predictions=predictions, masks=masks)


def _described(tensor: Tensor) -> str:
    return f"{type(tensor).__name__} of shape {tuple(tensor.shape)}"


def _joined(
    outcomes: Sequence[Outcome], state: list[Any], weights: list[Any], norms: list[Any]
) -> Outcome:
    def join(*parts: Tensor) -> Tensor:
        return None if parts[0] is None else ops.concatenate(parts)

    predictions = tree.map_structure(join, *[outcome.predictions for outcome in outcomes])
    masks = [join(*parts) for parts in zip(*[o.masks for o in outcomes], strict=True)]
    return Outcome(predictions, masks, state, weights, divisor=None, norms=norms)


def _slice(structure: Any, start: Any, stop: Any) -> Any:
    return tree.map_structure(lambda t: None if t is None else t[start:stop], structure)
