"""One training step of SAM, written once for all backends.

The algorithm and its source stand in `sam_gradient.py`. This is what a training loop adds to it:
loss scaling, replicas, m-sharpness, state and metrics, masks, the order in which variables change.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
from keras import ops, tree

from keras_sam.backend import dense, keras_internals, read, repeatable, value_and_grad
from keras_sam.batches import count_examples
from keras_sam.loss_count import LossCount
from keras_sam.loss_function import (
    Batch,
    Outcome,
    compute_loss,
    loss_function,
    predictions,
    state_variables,
)
from keras_sam.loss_scale import overflow, spoil, times
from keras_sam.m_sharpness import Step, averaged_state, over_splits
from keras_sam.methods.method import Method, Setting, State
from keras_sam.sam_gradient import sam_gradient

Tensor = Any
Gradients = list[Tensor | None]


class TrainingStep(keras.Model):
    """What every backend's SAMTrainer inherits: `sam_step`, and the few things they do otherwise.

    The attributes that the step reads are those of SAMModel.
    """

    rho: Any
    perturbation: Callable[..., Gradients]
    method: Method
    ascent_steps: int
    num_batch_splits: int | None
    sync_perturbation: bool
    rho_may_vanish = True  # Whether a rho that is a tensor may be 0.
    _masks: Any

    def sam_step(self, data: Any) -> dict[str, Any]:
        """Takes one step: gradients at the perturbed weights, applied to the weights.

        Args:
            data: One batch, as Keras hands it to `train_step`.

        Returns:
            The logs.
        """
        x, y, sample_weight = batch = keras.utils.unpack_x_y_sample_weight(data)
        run = repeatable(lambda: self._pass_over(batch))
        state, old_state, (loss, outcome, means) = run()
        if len(state) < len(state_variables(self)):
            # The pass has assigned variables that Keras does not track. Now they are state too.
            state, old_state, (loss, outcome, means) = run()
        weights = self.trainable_variables
        gradients, rise = means[: len(weights)], means[len(weights) :]
        skipped = self._is_spoiled(gradients)

        # From here on variables change, and nothing more of the user's code runs.
        of_method = {id(v) for of_rule in self.method_variables for v in of_rule}
        for variable, old, value in zip(state, old_state, outcome.state, strict=True):
            if value is not None:
                if id(variable) in of_method and skipped is not False:
                    value = ops.where(skipped, old, value)
                variable.assign(value)
        for variable, value in zip(weights, outcome.weights, strict=True):
            if value is not None:
                variable.assign(value)
        self._track_loss(loss, x, y)
        self.update_ascent([*outcome.norms, *rise], skipped)
        self._apply_gradients(gradients)
        if self._masks is not None:
            self._masks.apply(self.trainable_variables)
        y_pred = self._with_masks(outcome)
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def evaluation_step(self, data: Any) -> dict[str, Any]:
        """Evaluates one batch as Keras does, except that losses weigh by their examples.

        Args:
            data: One batch, as Keras hands it to `test_step`.

        Returns:
            The logs.
        """
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        y_pred = predictions(self, x, training=False)
        self._track_loss(compute_loss(self, x, y, y_pred, sample_weight, training=False), x, y)
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    @property
    def method_variables(self) -> State:
        """The state of the method's three rules, which the step reads and renews."""
        return [], [], []

    @property
    def log_ascent(self) -> bool:
        """Whether the step reports its ascent to `update_ascent`."""
        return False

    def update_ascent(self, values: Sequence[Tensor], skipped: Any) -> None:
        """Takes on the norms of gradient and perturbation, and the ascent, of a step.

        Args:
            values: The three.
            skipped: Whether the optimizer skips the step for an overflow; `False` or a tensor.
        """

    def check_setting(self, setting: Setting) -> None:
        """Raises a ValueError that says why if the method cannot work in a setting."""
        setting.check()

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

    def _track_loss(self, loss: Tensor, x: Any, y: Any) -> None:
        tracker = keras_internals.loss_tracker(self)
        if tracker is not None:
            # Keras divides each replica's loss by their number, for the sum that follows.
            loss = times(loss, self.replicas())
            tracker.update_state(loss, sample_weight=count_examples(x, y))

    def _pass_over(self, batch: Batch) -> tuple[list[keras.Variable], list[Tensor], Any]:
        """The state variables, their values, and what the step computes from a replica's batch."""
        state = state_variables(self)
        values = [read(v) for v in state]
        counting = None if self.num_batch_splits is None else LossCount("num_batch_splits")
        step = self._gradient_step([read(v) for v in self.trainable_variables], counting)
        if self.num_batch_splits is not None and counting is not None:
            step = over_splits(step, self.num_batch_splits, averaged_state(self, state), counting)
        return state, values, step(values, batch)

    def _gradient_step(self, weights: list[Tensor], counting: LossCount | None) -> Step:
        """The SAM gradient of this replica's batch, as the function that `over_splits` takes.

        If the ascent is logged, L(w + e) - L(w) follows the gradients, and is averaged as they are.
        """
        loss_fn = loss_function(self, counting=counting)
        loss_scale = self.optimizer.scale_loss(1.0)  # The number 1.0 without loss scaling.
        scales_dynamically = self._scales_dynamically
        # An overflow in a further ascent step is seen by what it makes of the perturbation.
        observe = self.log_ascent or (scales_dynamically and self.ascent_steps > 1)
        places = {id(v): i for i, v in enumerate(state_variables(self))}
        rho = self.rho(self.optimizer.iterations) if callable(self.rho) else self.rho

        def scaled_loss_fn(values: Any, state: Any, batch: Any, scale: Any) -> tuple[Tensor, Any]:
            loss, outcome = loss_fn(values, state, batch)
            return times(loss, scale), (loss, outcome)

        differentiated = self._compiled(value_and_grad(scaled_loss_fn, self.trainable_variables))
        perturbation = self._compiled(lambda *arguments: self.perturbation(*arguments))

        def average(gradients: Gradients) -> Gradients:
            """The gradients that replicas share, if they share a perturbation."""
            gradients = [None if g is None else dense(g) for g in gradients]
            return self._mean_over_replicas(gradients) if self.sync_perturbation else gradients

        def step(state: Any, batch: Any) -> tuple[Tensor, Outcome, Gradients]:
            overflows: list[Tensor] = []
            at = list(weights)

            def value_and_gradient(values: Any) -> Any:
                (_, (loss, outcome)), gradients = differentiated(values, state, batch, loss_scale)
                if values is at:  # A layer that assigns weights moves the point to step from.
                    new = zip(at, outcome.weights, strict=True)
                    at[:] = [w if value is None else value for w, value in new]
                return (loss, outcome), gradients

            def unscale(gradients: Gradients) -> Gradients:
                """The gradient of the loss itself, without loss scale and 1/R; NaN on overflow."""
                factor = self.replicas() / loss_scale
                if scales_dynamically:
                    overflows.append(overflow(gradients))
                    factor = ops.where(overflows[-1] > 0.0, float("nan"), factor)
                return [None if g is None else times(g, factor) for g in gradients]

            method_state = tree.map_structure(
                lambda variable: state[places[id(variable)]], self.method_variables
            )
            (loss, outcome), gradients, new_method_state, ascent = sam_gradient(
                repeatable(value_and_gradient),
                at,
                rho,
                perturbation,
                self.method,
                method_state,
                ascent_steps=self.ascent_steps,
                average=average,
                unscale=unscale,
                observe=observe,
                may_vanish=self.rho_may_vanish,
            )
            if not self.method.direction.needs_gradient:
                _check_no_assignment(self.method, self.trainable_variables, outcome)
            if new_method_state is not method_state:
                for variable, value in zip(
                    tree.flatten(self.method_variables),
                    tree.flatten(new_method_state),
                    strict=True,
                ):
                    outcome.state[places[id(variable)]] = value
            if scales_dynamically:
                # Of the first ascent gradient, of further ones, and of the descent gradient. Those
                # that follow the first may stand in a branch of the program, and stay in there.
                seen = sum([*overflows[:1], overflow(gradients)])
                if ascent is not None:
                    seen = seen + overflow([ascent.perturbation_norm])
                gradients = spoil(gradients, self._sum_over_replicas(seen))
            if self.log_ascent and ascent is not None:
                outcome = outcome._replace(norms=[ascent.gradient_norm, ascent.perturbation_norm])
                # Keras divides each replica's loss by their number.
                gradients = [*gradients, times(ascent.rise, self.replicas())]
            return loss, outcome, gradients

        return step

    def _with_masks(self, outcome: Outcome) -> Any:
        """The predictions with their masks, which metrics read."""
        for leaf, mask in zip(tree.flatten(outcome.predictions), outcome.masks, strict=True):
            if mask is not None:
                keras_internals.set_mask(leaf, mask)
        return outcome.predictions

    def _apply_gradients(self, gradients: Gradients) -> None:
        """Lets the optimizer step, from the weights as they are."""
        self.optimizer.apply(gradients, self.trainable_variables)

    @property
    def _scales_dynamically(self) -> bool:
        return isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer)

    def _is_spoiled(self, gradients: Gradients) -> Any:
        """Whether the optimizer will skip the step for an overflow: `False`, or a tensor."""
        present = [g for g in gradients if g is not None]
        if not self._scales_dynamically or not present:
            return False
        return ops.isnan(ops.reshape(present[0], (-1,))[0])  # `spoil` spares none.

    def _mean_over_replicas(self, gradients: Gradients) -> Gradients:
        return gradients

    def _sum_over_replicas(self, tensor: Tensor) -> Tensor:
        return tensor

    def _compiled(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """The function as it runs within one replica, compiled if the backend does that apart."""
        return fn


def _check_no_assignment(
    method: Method, variables: Sequence[keras.Variable], outcome: Outcome
) -> None:
    """Raises where the only pass, at `w + e`, would assign weights."""
    assigned = zip(variables, outcome.weights, strict=True)
    paths = [variable.path for variable, value in assigned if value is not None]
    if paths:
        raise ValueError(
            f"`method={method}` needs a model whose forward pass assigns no trainable weight: its "
            f"only pass is at w + e, and e would stay in it. Received: a model that assigns {paths}"
        )
