"""The loss of a batch and its derivatives, each traced or compiled once."""

import functools
from typing import Any

import keras
from keras import ops, tree

from keras_sam import backend
from keras_sam.backend import keras_internals
from keras_sam.loss_function import loss_function, state_variables

Tensor = Any

# The relative rounding error of each dtype, and of those that are not listed (float8).
PRECISIONS = {"float64": 2.0**-52, "float32": 2.0**-23, "bfloat16": 2.0**-7, "float16": 2.0**-10}
COARSEST = 2.0**-2


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
        self._dtype = "float32"  # Of the loss, once it was traced.
        self.loss = backend.compiled(lambda *arguments: self._loss(*arguments)[0])
        self.gradient = backend.compiled(self._gradient)
        self.product = backend.compiled(self._product)

    @property
    def precision(self) -> float:
        """The relative rounding error of a number in the coarsest dtype that the loss goes through.

        That of the loss itself counts once it was traced.
        """
        layers = keras_internals.all_layers(self._model)
        dtypes = [self._dtype, *(layer.compute_dtype for layer in layers)]
        # Except on TensorFlow, Keras computes much of float64 in float32.
        wide = [keras.backend.result_type(dtype) for dtype in dtypes if "float" in dtype]
        return max(PRECISIONS.get(dtype, COARSEST) for dtype in wide)

    def mean_example_power(
        self, values: Any, vectors: Any, state: Any, batch: Any, weights: Tensor, power: int
    ) -> list[Tensor]:
        """`mean_i((weights_i H_i)^power v)` over the examples i of the batch, vectorised."""
        if power not in self._powers:
            self._powers[power] = backend.compiled(
                functools.partial(self._mean_example_power, power)
            )
        return self._powers[power](values, vectors, state, batch, weights)

    def _loss(self, values: Any, state: Any, batch: Any) -> tuple[Tensor, None]:
        loss, _ = self._loss_fn(values, state, batch)
        if not self._regularization:
            loss = loss - ops.cast(self._penalty(values, state), loss.dtype)
        self._dtype = keras.backend.standardize_dtype(loss.dtype)
        # Inside a strategy's scope Keras divides losses by the number of replicas.
        return loss / _share_of_replica(self._dtype), None

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
        self, power: int, values: Any, vectors: Any, state: Any, batch: Any, weights: Tensor
    ) -> list[Tensor]:
        def of_example(arrays: list[Tensor]) -> list[Tensor]:
            weight = arrays[0]
            rows = iter([array[None] for array in arrays[1:]])
            example = tree.map_structure(lambda leaf: None if leaf is None else next(rows), batch)
            product = vectors
            for _ in range(power):
                product = [
                    p * ops.cast(weight, p.dtype)
                    for p in self._product(values, product, state, example)
                ]
            return product

        arrays = [weights, *(leaf for leaf in tree.flatten(batch) if leaf is not None)]
        # Not `ops.mean`, which computes in float32 except on TensorFlow.
        return [
            ops.sum(p, axis=0) / ops.cast(ops.shape(p)[0], p.dtype)
            for p in backend.vectorized_map(of_example, arrays)
        ]


def _share_of_replica(dtype: str) -> Tensor:
    one = ops.ones((1, 1), dtype)
    return ops.cast(keras.losses.MeanSquaredError(dtype=dtype)(one, ops.zeros_like(one)), dtype)
