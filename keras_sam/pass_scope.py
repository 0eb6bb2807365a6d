"""What a pass through a model reads and assigns, kept apart from the model's variables."""

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import keras

from keras_sam import backend

Tensor = Any


class PassScope(keras.StatelessScope):
    """A `keras.StatelessScope` that knows what each variable is to the pass.

    A trainable weight may be assigned in the forward pass (SpectralNormalization does). As where
    variables change in place, the pass goes on from the new value, and the gradient is that of the
    loss at the new value. Not on JAX, where Keras differentiates through the assignment and then
    forgets it.

    Args:
        weights: The trainable variables.
        weight_values: Their values in this pass.
        state: The other variables.
        state_values: Theirs.

    Attributes:
        unknown: Variables that were assigned and are none of these. Always empty on JAX, where
            Keras forgets such values.
    """

    def __init__(
        self,
        weights: Sequence[keras.Variable],
        weight_values: Sequence[Tensor],
        state: Sequence[keras.Variable],
        state_values: Sequence[Tensor],
    ) -> None:
        mapping = [
            *zip(state, state_values, strict=True),
            *zip(weights, weight_values, strict=True),
        ]
        super().__init__(state_mapping=mapping, collect_losses=True)
        self._weights = {id(v) for v in weights}
        self._state = {id(v) for v in state}
        self._assigned: set[int] = set()
        self.unknown: list[keras.Variable] = []

    def add_update(self, update: tuple[keras.Variable, Tensor]) -> None:
        variable, value = update
        if backend.ASSIGNS_IN_PLACE:
            if id(variable) in self._weights:
                value = backend.assigned(self.get_current_value(variable), value)
                self._assigned.add(id(variable))
            elif id(variable) not in self._state and id(variable) not in map(id, self.unknown):
                self.unknown.append(variable)
        super().add_update((variable, value))

    def assigned(self, variables: Iterable[keras.Variable]) -> list[Tensor | None]:
        """The present values of trainable variables that were assigned, `None` for the others."""
        return [self.get_current_value(v) if id(v) in self._assigned else None for v in variables]

    def aside(self) -> "PassScope":
        """A scope that goes on from the present values and leaves this one as it is."""
        scope = copy.copy(self)
        scope.state_mapping, scope.losses = dict(self.state_mapping), []
        scope._assigned, scope.unknown = set(self._assigned), []
        return scope
