"""How much the loss of a part of a batch counts in the loss of the batch.

The loss of a batch that is computed in parts is the mean of theirs, each weighted by

    reduction                    by its number of
    "sum_over_batch_size"        examples; where there is a mask, entries that it leaves
    "mean_with_sample_weight"    examples; the sum of its sample weights, where it has any
    "sum"                        1, and the parts are added up

with a mask that of the predictions (`mask_zero`, `Masking`) or that of the loss (`ignore_class`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops

from keras_sam.backend import keras_internals
from keras_sam.pass_scope import PassScope

Tensor = Any


class LossCount:
    """Watches the losses that a model was compiled with, and tells how much a pass counts.

    A loss function that returns one number is taken to average over examples, and so is what a
    model's own `compute_loss` adds.

    Args:
        argument: The argument by which batches are computed in parts, for messages.

    Attributes:
        summed: Whether parts are to be added up, as the last pass showed.
    """

    def __init__(self, argument: str) -> None:
        self.summed = False
        self._argument = argument
        self._losses: list[tuple[Any, Tensor | None]] = []

    @contextmanager
    def watch(self, model: keras.Model) -> Iterator[None]:
        """Where the losses of `model` are being watched."""
        self._losses = []
        with keras_internals.replaced_losses(model, lambda loss: _Watched(loss, self._losses)):
            yield

    def result(self, model: keras.Model, scope: PassScope) -> Tensor | None:
        """How much the pass counts in place of its number of examples; `None` if by that.

        Raises:
            ValueError: If the loss has terms that count differently.
        """
        counts = [count for _, count in self._losses]
        others = [loss for loss, count in self._losses if count is not None]
        self.summed = False
        if not others:
            return None
        sums = [loss for loss in others if loss.reduction == "sum"]
        self.summed = bool(sums)
        if len(counts) > 1 and len(sums) < len(counts):
            raise self._refusal(f"losses that count differently, {others} among {len(counts)}")
        if scope.losses or (sums and model.losses):
            raise self._refusal(f"a loss that does not, {others[0]}, and others added to it")
        return counts[0]

    def _refusal(self, received: str) -> ValueError:
        return ValueError(
            f"`{self._argument}` needs a loss all of whose terms are means over examples, or one "
            "that is masked, weighted or a sum and stands alone: the parts of a batch could not be "
            f"weighed rightly. Received: {received}"
        )


class _Watched:
    """A compiled loss that notes how much each call counts."""

    def __init__(self, loss: Any, noted: list[tuple[Any, Tensor | None]]) -> None:
        self._loss, self._noted = loss, noted

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Tensor:
        scope = keras_internals.present_scope()
        assert isinstance(scope, PassScope)
        with scope.aside():
            self._noted.append((self._loss, _count(self._loss, y_true, y_pred, sample_weight)))
        return self._loss(y_true, y_pred, sample_weight)


def _count(loss: Any, y_true: Any, y_pred: Any, sample_weight: Any) -> Tensor | None:
    if loss.reduction in (None, "none"):
        raise ValueError(
            "`loss` must be reduced to one number for each batch. "
            f"Received: {loss} with `reduction={loss.reduction!r}`"
        )
    if loss.reduction == "sum":
        return ops.ones(())
    weights = sample_weight if loss.reduction == "mean_with_sample_weight" else None
    entries = _Entries(loss)
    count = entries(y_true, y_pred, weights)
    masked = entries.masked or keras_internals.mask_of(y_pred) is not None
    return count if (masked or weights is not None) and not entries.scalar else None


class _Entries(keras.losses.Loss):
    """The weighted number of entries over which a loss is reduced, by Keras's own reduction."""

    def __init__(self, loss: Any) -> None:
        super().__init__(reduction="sum", dtype="float32")
        self._loss = loss
        self.masked = self.scalar = False

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        losses = self._loss.call(y_true, y_pred)
        mask = keras_internals.mask_of(losses)
        self.masked, self.scalar = mask is not None, len(losses.shape) == 0
        entries = ops.ones_like(losses, dtype="float32")
        keras_internals.set_mask(entries, mask)
        return entries
