"""A training pass two ways: by SAM's loss function, and in place, as Keras's own training does."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_sam.backend import dense, in_place, value_and_grad
from keras_sam.loss_function import (
    Batch,
    compute_loss,
    loss_function,
    predictions,
    state_variables,
)

Arrays = list[np.ndarray]


class Pass(NamedTuple):
    """What a training pass gives: loss and gradient, and weights and state after it."""

    loss: float
    gradient: Arrays
    weights: Arrays
    state: Arrays


class TwoWays:
    """The passes of a model over one batch, each from the state that the model was found in.

    Args:
        model: A built and compiled model.
        batch: `(x, y, sample_weight)`, of tensors.

    Attributes:
        weights: Its trainable variables.
        state: All others that a pass may change.
        start: The arrays of the weights.
    """

    def __init__(self, model: keras.Model, batch: Batch) -> None:
        self._model, self._batch = model, batch
        self.weights, self.state = model.trainable_variables, state_variables(model)
        self.start, self._state = _arrays(self.weights), _arrays(self.state)
        masks = getattr(model, "mask_variables", {})
        self._masks = [masks.get(weight.path) for weight in self.weights]
        self._gradient = value_and_grad(loss_function(model), self.weights)

    @contextmanager
    def restored(self) -> Iterator[None]:
        """At its end the model is as it was found."""
        try:
            yield
        finally:
            self.restore()

    def restore(self) -> None:
        """Makes the model what it was found as."""
        _assign(self.weights, self.start)
        _assign(self.state, self._state)

    def handed(self, values: Sequence[np.ndarray]) -> Pass:
        """The pass of the loss as a function of the weights; nothing is assigned."""
        tensors, state = _tensors(values), _tensors(self._state)
        (loss, outcome), gradient = self._gradient(tensors, state, self._batch)
        return Pass(
            float(ops.convert_to_numpy(loss)),
            self._dense(gradient),
            _taken(outcome.weights, values),
            _taken(outcome.state, self._state),
        )

    def own(self, values: Sequence[np.ndarray]) -> Pass:
        """The pass of the model with these values assigned to it."""
        self.restore()
        _assign(self.weights, values)
        loss, gradient = in_place(lambda: self._loss(training=True), self.weights, self.state)
        gradients = [
            g if mask is None else g * ops.convert_to_numpy(mask)
            for g, mask in zip(self._dense(gradient), self._masks, strict=True)
        ]
        return Pass(
            float(ops.convert_to_numpy(loss)), gradients, _arrays(self.weights), self.state_arrays()
        )

    def state_arrays(self) -> Arrays:
        """The present state."""
        return _arrays(self.state)

    def inference_losses(self) -> tuple[float, float]:
        """The loss in inference mode, by the loss function and in place."""
        loss, _ = loss_function(self._model, training=False)(
            _tensors(self.start), _tensors(self._state), self._batch
        )
        own = self._loss(training=False)
        self.restore()
        return float(ops.convert_to_numpy(loss)), float(ops.convert_to_numpy(own))

    def _loss(self, training: bool) -> Any:
        x, y, sample_weight = self._batch
        y_pred = predictions(self._model, x, training)
        return compute_loss(self._model, x, y, y_pred, sample_weight, training)

    def _dense(self, gradient: Sequence[Any]) -> Arrays:
        return [
            np.zeros(start.shape) if g is None else np.asarray(ops.convert_to_numpy(dense(g)))
            for g, start in zip(gradient, self.start, strict=True)
        ]


def _arrays(variables: Sequence[keras.Variable]) -> Arrays:
    return [np.array(ops.convert_to_numpy(variable)) for variable in variables]


def _tensors(arrays: Sequence[np.ndarray]) -> list[Any]:
    return [ops.convert_to_tensor(array) for array in arrays]


def _taken(new: Sequence[Any], old: Sequence[np.ndarray]) -> Arrays:
    return [
        o if n is None else np.asarray(ops.convert_to_numpy(n))
        for n, o in zip(new, old, strict=True)
    ]


def _assign(variables: Sequence[keras.Variable], arrays: Sequence[np.ndarray]) -> None:
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
