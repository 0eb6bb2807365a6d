"""The state of a method's rules as state of a model."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_sam.backend import keras_internals
from keras_sam.methods import Method
from keras_sam.methods.method import State


class MethodState(keras.layers.Layer):
    """Holds one variable a state tensor; a part of SAMModel, never called.

    They are variables of the model, as random seeds are, and like these none of its weights: they
    do not count as parameters, nor in `get_weights`. SAMModel writes them to its files.

    Args:
        name: Name of the layer, as shown by `summary`. Defaults to "method_state".
    """

    def __init__(self, name: str = "method_state") -> None:
        super().__init__(name=name, dtype="float32")
        self.built = True
        self._names: list[list[str]] = []  # Of each rule.

    def fit_to(self, method: Method, weights: list[keras.Variable]) -> None:
        """Makes the state that the method starts with, in place of what there was.

        Args:
            method: The method.
            weights: The variables that are trained.
        """
        keras_internals.release(self, self.own_variables)
        self._names = []
        for rule in method.rules:
            names: list[str] = []
            for start in rule.state(weights):
                names.append(f"{type(rule).__name__.lower()}_{len(names)}")
                self.add_weight(
                    shape=tuple(start.shape),
                    initializer="zeros",
                    dtype=keras.backend.standardize_dtype(start.dtype),
                    trainable=False,
                    aggregation="mean",  # Of what replicas make of it, each with its own gradient.
                    name=names[-1],
                )
            self._names.append(names)

    @property
    def by_rule(self) -> State:
        """The state of radius, direction and descent."""
        variables = iter(self.own_variables)
        of_radius, of_direction, of_descent = (
            [next(variables) for _ in names] for names in self._names
        )
        return of_radius, of_direction, of_descent

    @property
    def own_variables(self) -> list[keras.Variable]:
        """The state, in the order of the rules."""
        return list(self._non_trainable_variables)

    @property
    def weights(self) -> list[keras.Variable]:
        return []

    def arrays(self) -> dict[str, np.ndarray]:
        """The present state by name."""
        return {name: ops.convert_to_numpy(variable) for name, variable in self._by_name.items()}

    def assign(self, arrays: dict[str, Any]) -> None:
        """Takes a state on; one of another method or other weights makes it start anew."""
        own = self._by_name
        shapes = {name: tuple(np.shape(array)) for name, array in arrays.items()}
        is_ours = shapes == {name: tuple(variable.shape) for name, variable in own.items()}
        for name, variable in own.items():
            variable.assign(np.asarray(arrays[name]) if is_ours else np.zeros(variable.shape))

    def save_own_variables(self, store: Any) -> None:
        pass

    def load_own_variables(self, store: Any) -> None:
        pass

    @property
    def _by_name(self) -> dict[str, keras.Variable]:
        names = [name for of_rule in self._names for name in of_rule]
        return dict(zip(names, self.own_variables, strict=True))
