"""The loss of a batch and its derivatives, each traced or compiled once."""

import functools
from typing import Any

import keras
from keras import ops, tree

from keras_sam import backend
from keras_sam.loss_function import loss_function, state_variables

Tensor = Any


class TracedLoss:
    """The mean loss over one batch, as functions of tensors.

    All take `values`, a list parallel to `model.trainable_variables`; `state`, parallel to
    `state_variables(model)`; and `batch`, a tuple `(x, y, sample_weight)`.

    Args:
        model: A built and compiled `keras.Model`.
        training: Whether the pass is one of training.
        regularization: Whether the regularisation losses of the weights are part of the loss.

    Attributes:
        loss: `(values, state, batch) -> L`.
        gradient: `(values, state, batch) -> (L, dL/dw)`, dense.
        product: `(values, vectors, state, batch) -> H v`.
    """

    def __init__(self, model: keras.Model, training: bool, regularization: bool) -> None:
        self._model = model
        self._regularization = regularization
        self._loss_fn = loss_function(model, training=training)
        self._product = backend.hessian_vector_product(self._loss)
        self._powers: dict[int, Any] = {}
        self.loss = backend.compiled(lambda *arguments: self._loss(*arguments)[0])
        self.gradient = backend.compiled(self._gradient)
        self.product = backend.compiled(self._product)

    def mean_example_power(
        self, values: Any, vectors: Any, state: Any, batch: Any, power: int
    ) -> list[Tensor]:
        """`mean_i(H_i^power v)` over the examples i of the batch, vectorised."""
        if power not in self._powers:
            self._powers[power] = backend.compiled(
                functools.partial(self._mean_example_power, power)
            )
        return self._powers[power](values, vectors, state, batch)

    def _loss(self, values: Any, state: Any, batch: Any) -> tuple[Tensor, None]:
        loss, _ = self._loss_fn(values, state, batch)
        if not self._regularization:
            loss = loss - ops.cast(self._penalty(values, state), loss.dtype)
        # Inside a strategy's scope Keras divides losses by the number of replicas.
        return loss / ops.cast(_share_of_replica(), loss.dtype), None

    def _penalty(self, values: Any, state: Any) -> Tensor:
        model = self._model
        mapping = [
            *zip(model.trainable_variables, values, strict=True),
            *zip(state_variables(model), state, strict=True),
        ]
        with keras.StatelessScope(state_mapping=mapping, collect_losses=True):
            # Without a call of the model, these are the losses of the weights alone.
            penalties = [ops.sum(penalty) for penalty in model.losses]
        return sum(penalties, ops.zeros(()))

    def _gradient(self, values: Any, state: Any, batch: Any) -> tuple[Tensor, list[Tensor]]:
        (loss, _), slopes = backend.value_and_grad(self._loss)(values, state, batch)
        return loss, [
            ops.zeros_like(value) if slope is None else backend.dense(slope)
            for value, slope in zip(values, slopes, strict=True)
        ]

    def _mean_example_power(
        self, power: int, values: Any, vectors: Any, state: Any, batch: Any
    ) -> list[Tensor]:
        def of_example(arrays: list[Tensor]) -> list[Tensor]:
            rows = iter([array[None] for array in arrays])
            example = tree.map_structure(lambda leaf: None if leaf is None else next(rows), batch)
            product = vectors
            for _ in range(power):
                product = self._product(values, product, state, example)
            return product

        arrays = [leaf for leaf in tree.flatten(batch) if leaf is not None]
        return [ops.mean(p, axis=0) for p in backend.vectorized_map(of_example, arrays)]


def _share_of_replica() -> Tensor:
    return keras.losses.MeanSquaredError(dtype="float32")(ops.ones((1, 1)), ops.zeros((1, 1)))
