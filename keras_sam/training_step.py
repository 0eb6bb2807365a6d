"""One training step of SAM, written once for all backends.

The algorithm and its source stand in `sam_gradient.py`. This is what a training loop adds to it:
loss scaling, replicas, m-sharpness, state and metrics, masks, the order in which variables change.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
from keras import ops, tree

from keras_sam.backend import dense, read, repeatable, value_and_grad
from keras_sam.loss_function import loss_function, state_variables
from keras_sam.m_sharpness import Step, averaged_state, over_splits
from keras_sam.sam_gradient import sam_gradient

Tensor = Any
Gradients = list[Tensor | None]


class TrainingStep(keras.Model):
    """What every backend's SAMTrainer inherits: `sam_step`, and the few things they do otherwise.

    The attributes that the step reads (`rho`, `perturbation`, `num_batch_splits`,
    `sync_perturbation`, `_masks`) are those of SAMModel.
    """

    rho: Any
    perturbation: Callable[..., Gradients]
    num_batch_splits: int | None
    sync_perturbation: bool
    _masks: Any

    def sam_step(self, data: Any) -> dict[str, Any]:
        """Takes one step: gradients at the perturbed weights, applied to the weights.

        Args:
            data: One batch, as Keras hands it to `train_step`.

        Returns:
            The logs.
        """
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        state = state_variables(self)
        step = self._gradient_step([read(v) for v in self.trainable_variables])
        if self.num_batch_splits is not None:
            step = over_splits(step, self.num_batch_splits, averaged_state(self, state))
        loss, y_pred, new_state, gradients = step([read(v) for v in state], (x, y, sample_weight))

        # From here on variables change, and nothing more of the user's code runs.
        for variable, value in zip(state, new_state, strict=True):
            if value is not None:
                variable.assign(value)
        for metric in self.metrics:
            if metric.name == "loss":
                examples = ops.shape(next(t for t in tree.flatten(x) if t is not None))[0]
                # Keras divides each replica's loss by their number, for the sum that follows.
                metric.update_state(_times(loss, self.replicas()), sample_weight=examples)
        self._apply_gradients(gradients)
        if self._masks is not None:
            self._masks.apply()
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def replicas(self) -> int:
        """How many replicas share a batch, each with a gradient of its own."""
        return 1

    def examples_to_split(self, examples: int) -> int:
        """How many examples `num_batch_splits` splits if `fit` is given so many a batch."""
        return examples // self.replicas()

    def creation_scope(self) -> AbstractContextManager[Any]:
        """Where variables must be created, so that every replica has its copy."""
        return nullcontext()

    def sync_variables(self) -> None:
        """Brings variables up to date, for callbacks that read or change them during `fit`."""

    def _gradient_step(self, weights: list[Tensor]) -> Step:
        """The SAM gradient of this replica's batch, as the function that `over_splits` takes."""
        loss_fn = loss_function(self)
        loss_scale = self.optimizer.scale_loss(1.0)  # The number 1.0 without loss scaling.
        scales_dynamically = isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer)
        rho = self.rho(self.optimizer.iterations) if callable(self.rho) else self.rho

        def scaled_loss_fn(values: Any, state: Any, batch: Any, scale: Any) -> tuple[Tensor, Any]:
            loss, aux = loss_fn(values, state, batch)
            return _times(loss, scale), (loss, *aux)

        differentiated = self._compiled(value_and_grad(scaled_loss_fn))
        perturbation = self._compiled(self.perturbation)

        def prepare(gradients: Gradients) -> Gradients:
            """The gradient of the loss itself: without loss scale and 1/R, and synchronised."""
            gradients = [None if g is None else dense(g) for g in gradients]
            if self.sync_perturbation:
                gradients = self._mean_over_replicas(gradients)
            return [
                None if g is None else _times(g, self.replicas() / loss_scale) for g in gradients
            ]

        def step(state: Any, batch: Any) -> tuple[Any, Any, list[Any], Gradients]:
            overflows: list[Tensor] = []

            def value_and_gradient(values: Any) -> Any:
                (_, (loss, *aux)), gradients = differentiated(values, state, batch, loss_scale)
                if scales_dynamically:
                    overflows.append(_overflow(gradients))
                return (loss, aux), gradients

            (loss, (y_pred, new_state)), gradients = sam_gradient(
                repeatable(value_and_gradient), weights, rho, perturbation, prepare
            )
            if scales_dynamically:
                gradients = _spoil(gradients, self._sum_over_replicas(sum(overflows)))
            return loss, y_pred, new_state, gradients

        return step

    def _apply_gradients(self, gradients: Gradients) -> None:
        """Lets the optimizer step, from the weights as they are."""
        self.optimizer.apply(gradients, self.trainable_variables)

    def _mean_over_replicas(self, gradients: Gradients) -> Gradients:
        return gradients

    def _sum_over_replicas(self, tensor: Tensor) -> Tensor:
        return tensor

    def _compiled(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """The function as it runs within one replica, compiled if the backend does that apart."""
        return fn


def _times(tensor: Tensor, factor: Any) -> Tensor:
    """The product in the tensor's dtype; no operation where the factor is the number 1."""
    if isinstance(factor, int | float) and factor == 1:
        return tensor
    return tensor * ops.cast(factor, tensor.dtype)


def _overflow(gradients: Gradients) -> Tensor:
    """1.0 if any gradient is not finite, else 0.0."""
    finite = [ops.all(ops.isfinite(dense(g))) for g in gradients if g is not None]
    return 1.0 - ops.cast(ops.all(ops.stack(finite)), "float32")


def _spoil(gradients: Gradients, overflow: Tensor) -> Gradients:
    """Makes the gradients NaN if one of either pass overflowed, on any replica.

    LossScaleOptimizer then skips the step. It looks at the descent gradients of the first replica
    only, which may be finite although the perturbation, or another replica, is not.
    """
    penalty = ops.where(overflow > 0.0, float("nan"), 0.0)
    return [None if g is None else dense(g) + ops.cast(penalty, g.dtype) for g in gradients]
