"""JAX: the training step as the pure function of all state that Keras compiles and donates to."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import keras
from keras import ops, tree

from keras_sam.loss_count import LossCount
from keras_sam.loss_function import Batch, Outcome
from keras_sam.m_sharpness import Step
from keras_sam.training_step import Gradients, TrainingStep

State = tuple[list[Any], ...]
GROUPS = (
    "trainable_variables",
    "non_trainable_variables",
    "optimizer_variables",
    "metrics_variables",
)


class SAMTrainer(TrainingStep):
    """The JAX side of SAMModel."""

    def train_step(self, state: State, data: Any) -> tuple[dict[str, Any], State]:
        """One step: takes and returns the values of all variables, and changes none.

        Args:
            state: The values of trainable, non-trainable, optimizer and metrics variables.
            data: One batch, under a `keras.distribution` the global one.

        Returns:
            The logs and the new state.
        """
        if not self.trainable_variables:
            return super().train_step(state, data)
        groups = [
            self.trainable_variables,
            self.non_trainable_variables,
            self.optimizer.variables,
            self.metrics_variables,
        ]
        return _stateless(lambda: self.sam_step(data), groups, state)

    def test_step(self, state: State, data: Any) -> tuple[dict[str, Any], State]:
        """Evaluates a batch: takes and returns the values of all variables, and changes none."""
        groups = [self.trainable_variables, self.non_trainable_variables, self.metrics_variables]
        return _stateless(lambda: self.evaluation_step(data), groups, state)

    def fit(self, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        try:
            return super().fit(*args, **kwargs)
        finally:
            optimizer: Any = getattr(self.optimizer, "inner_optimizer", self.optimizer)
            if optimizer.use_ema:
                # Keras has put the averages in place, as the very arrays that the optimizer keeps;
                # and the next function to donate one of the two would take the other along.
                for variable in self.trainable_variables:
                    variable.assign(ops.copy(variable.value))

    def examples_to_split(self, examples: int) -> int:
        # Each process may be given a part of the global batch.
        return examples * jax.process_count()

    def sync_variables(self) -> None:
        # While `fit` runs, the variables are empty and the values travel in its state.
        self.jax_state_sync()

    def make_train_function(self, force: bool = False) -> None:
        self.sync_variables()  # A function that is renewed by a callback asks for shardings.
        super().make_train_function(force)

    def _get_jax_state(self, **kwargs: Any) -> State:
        # Keras hook, called before steps. Keras keeps the state for `jax_state_sync` only after the
        # first step, and would lose all weights if that one raises.
        state = super()._get_jax_state(**kwargs)
        groups = [group for group in GROUPS if kwargs.get(group)]
        self._jax_state = dict(zip(groups, state, strict=True))
        return state

    def _with_masks(self, outcome: Outcome) -> Any:
        return outcome.predictions  # Keras's own step on JAX loses the masks on the way.

    def _gradient_step(self, weights: list[Any], counting: LossCount | None) -> Step:
        step = super()._gradient_step(weights, counting)
        distribution = keras.distribution.distribution()
        if distribution is None or self.num_batch_splits is None:
            return step

        def over_all_devices(state: Any, batch: Batch) -> Any:
            return step(state, tree.map_structure(shared, batch))

        def shared(tensor: Any) -> Any:
            """A split's rows lie on few of the devices. Each takes its share of them."""
            if tensor is None:
                return None
            layout = distribution.get_data_layout(tensor.shape)
            devices = layout.device_mesh.shape[layout.device_mesh.axis_names.index(layout.axes[0])]
            if tensor.shape[0] % devices:
                return tensor
            return keras.distribution.distribute_tensor(tensor, layout)

        return over_all_devices

    def _apply_gradients(self, gradients: Gradients) -> None:
        weights, optimizer = self.trainable_variables, self.optimizer
        # As Keras does: `apply` itself may branch on values, which a traced step cannot.
        values = optimizer.stateless_apply(
            [v.value for v in optimizer.variables], gradients, [v.value for v in weights]
        )
        for variables, new in zip((weights, optimizer.variables), values, strict=True):
            for variable, value in zip(variables, new, strict=True):
                variable.assign(value)


def _stateless(
    step: Callable[[], dict[str, Any]], groups: Sequence[Sequence[keras.Variable]], state: State
) -> tuple[dict[str, Any], State]:
    """The logs of a step, and the values of the variables after it."""
    mapping = [
        pair
        for variables, values in zip(groups, state, strict=True)
        for pair in zip(variables, values, strict=True)
    ]
    with keras.StatelessScope(mapping, collect_losses=True) as scope:
        logs = step()
        return logs, tuple([scope.get_current_value(v) for v in group] for group in groups)
