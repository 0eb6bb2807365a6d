"""A model's loss over data as a function of one weight vector, with its derivatives."""

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_sam import backend
from keras_sam.backend import keras_internals
from keras_sam.loss_function import state_variables
from keras_sam.memory import require_memory
from keras_sam.sharpness.examples import Examples
from keras_sam.sharpness.model_checks import check_any_loss, check_model
from keras_sam.sharpness.traced_loss import TracedLoss
from keras_sam.sharpness.weight_space import WeightSpace
from keras_sam.sharpness.weighted_examples import WeightedExamples
from keras_sam.validation import boolean, integer

Tensor = Any

# Per-example products come in chunks whose vectors need about this much. A constant, not what is
# free at the moment: the order of a sum, and so its last digits, must not depend on that.
CHUNK_BYTES = 2**30
# Vectors alive for each example of a chunk: direction, product, and the backward pass's own.
VECTORS_PER_EXAMPLE = 6


class LossSurface:
    """The loss of a model over data, as a function of one vector of weights.

        L(w) = sum_b n_b L_b(w) / sum_b n_b,    n_b: the number of examples of batch b

    and where a model masks its outputs, or a loss ignores a class, n_b is the number of entries
    that are left: L is the loss of all examples as one batch, however they are cut.

    w is a float64 vector of all trainable weights that are not pruned; `weights` is the model's
    own. The model is not changed by any of this, and is read only here and by `refresh`.

    All functions of `keras_sam.sharpness` take `(model, data, ...)` and these options, or a
    `LossSurface` instead of model and data. To measure more than one thing, make one: its
    computations are traced, and its data read, only once.

    Args:
        model: A built and compiled `keras.Model` or SAMModel, whose losses average over examples.
        data: A tuple `(x, y)` or `(x, y, sample_weight)` of arrays, or a finite iterable of such
            batches (a list, a `tf.data.Dataset`, a `keras.utils.PyDataset`, a `DataLoader`, a
            generator), which is read once and kept in main memory.
        batch_size: The number of examples that go through the model at once, as large as memory
            allows. It changes nothing but the order of sums if `training=False`. Defaults to 256.
        max_examples: How many examples to use, the first ones. Defaults to `None`, all.
        training: `False` is inference mode: BatchNorm uses its moving statistics, and there is no
            dropout. `True` is what a training step sees: batch statistics, and the dropout masks
            that the model's present seeds give; the result then depends on `batch_size`.
            Defaults to `False`.
        regularization: Whether the regularisation losses of the weights (`kernel_regularizer` and
            the like) are part of L; what `add_loss` adds always is. Defaults to `True`.

    Attributes:
        weights: The model's weights, a float64 vector of shape (n,).
        size: n, the number of trainable weights that are not pruned.
        examples: The data, an `Examples`.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If the model is not built, not compiled, has no loss or one that does not
            average; if it has several that leave different entries out, and `batch_size` is below
            the number of examples; if there are no examples; or if they do not fit into memory.

    Example:

    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    >>> model.compile(loss="mse")
    >>> surface = LossSurface(model, (np.array([[1.0], [3.0]]), np.zeros((2, 1))))
    >>> surface.loss(np.array([2.0]))  # (2^2 + 6^2) / 2
    20.0
    >>> surface.hessian_product(np.array([1.0])).tolist()  # 2 (1^2 + 3^2) / 2
    [10.0]
    """

    def __init__(
        self,
        model: keras.Model,
        data: Any,
        *,
        batch_size: int = 256,
        max_examples: int | None = None,
        training: bool = False,
        regularization: bool = True,
    ) -> None:
        check_model(model)
        self._batch_size = integer("batch_size", batch_size, least=1)
        if max_examples is not None:
            max_examples = integer("max_examples", max_examples, least=1)
        self.model = model
        self.training = boolean("training", training)
        self._regularization = boolean("regularization", regularization)
        self.examples = Examples(data, max_examples)
        _, batch = next(self.examples.chunks(self._batch_size))
        keras_internals.build_from_batch(model, batch)
        check_any_loss(model, batch[0])
        self._weighted = WeightedExamples.of(model, self.examples, self._batch_size)
        self._variables: list[list[int]] = []  # Of which the loss was traced.
        self.refresh()

    def refresh(self) -> None:
        """Takes over the model's present weights, statistics, seeds and masks."""
        trainable, state = self.model.trainable_variables, state_variables(self.model)
        variables = [[id(v) for v in trainable], [id(v) for v in state]]
        if variables != self._variables:
            self._variables = variables
            self._traced = TracedLoss(self.model, self.training, self._regularization)
        self.space = WeightSpace(trainable, getattr(self.model, "mask_variables", None))
        self.size = self.space.size
        if not self.size:
            raise ValueError(
                "`model` must have trainable weights that are not pruned. "
                f"Received: a model without, {self.model.name!r}"
            )
        self.weights = self.space.flatten([backend.read(v) for v in trainable])
        self.state = [ops.copy(backend.read(v)) for v in state]
        # Dropout that draws from a global generator is the same in every pass too.
        self._call = backend.repeatable(lambda function, *arguments: function(*arguments))

    def groups(self, size: int) -> Iterator[tuple[float, "LossSurface"]]:
        """Cuts the examples into groups of at most `size`.

        Returns:
            An iterator of each group's share in L, and its surface, at the same weights.
        """
        for share, weighted in self._weighted.groups(size):
            surface = copy.copy(self)
            surface._weighted, surface.examples = weighted, weighted.examples
            yield share, surface

    @property
    def precision(self) -> float:
        """The relative rounding error of the computations, once one was traced."""
        return self._traced.precision

    def loss(self, weights: np.ndarray | None = None) -> float:
        """`L(w)`, at the model's own weights by default."""
        return self.loss_at(self._values_at(weights), self.state)

    def loss_at(self, values: Sequence[Tensor], state: Sequence[Tensor]) -> float:
        """The loss for a list of all weights, pruned ones too, and one of all state variables."""
        losses = (
            share * float(self._call(self._traced.loss, values, state, batch))
            for share, batch in self._shares()
        )
        return sum(losses, 0.0)

    def gradient(self, weights: np.ndarray | None = None) -> tuple[float, np.ndarray]:
        """`L(w)` and its gradient, a float64 vector of shape (n,)."""
        values = self._values_at(weights)
        loss, gradient = 0.0, np.zeros(self.size)
        for share, batch in self._shares():
            batch_loss, slopes = self._call(self._traced.gradient, values, self.state, batch)
            loss += share * float(batch_loss)
            gradient += share * self.space.flatten(slopes)
        return loss, gradient

    def hessian_product(self, vector: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """`H v`, with H the Hessian of L at w.

        Args:
            vector: v, of shape (n,).
            weights: w. Defaults to the model's own.

        Returns:
            A float64 vector of shape (n,).

        Raises:
            TypeError: If an argument is no array of numbers.
            ValueError: If its shape is not (n,).
        """
        values, vectors = self._values_at(weights), self._values("vector", vector)
        product = np.zeros(self.size)
        for share, batch in self._shares():
            product += share * self.space.flatten(
                self._call(self._traced.product, values, vectors, self.state, batch)
            )
        return product

    def mean_example_power(self, vector: np.ndarray, power: int) -> np.ndarray:
        """`mean_i(H_i^k v)`, with H_i the Hessian of the loss of example i alone.

        Where entries are left out, the examples' losses are weighted by how many they have, so that
        the mean of the H_i is H.

        Args:
            vector: v, of shape (n,).
            power: k, an int >= 1.

        Returns:
            A float64 vector of shape (n,).

        Raises:
            TypeError: If an argument is of the wrong type.
            ValueError: If the shape of `vector` is not (n,) or `power` is below 1; if the surface
                is one of training mode, where an example's loss depends on others; if several
                losses leave different entries out; or if not even one example's vectors fit into
                memory.
        """
        power = integer("power", power, least=1)
        if self.training:
            raise ValueError(
                "`training` must be False for the Hessians of single examples. "
                "Received: `training=True`"
            )
        each = 4 * VECTORS_PER_EXAMPLE * self.size
        require_memory(
            each,
            f"The Hessian-vector product of one example, of {self.size} weights,",
            f"Received: a model with `{self.size}` weights",
        )
        chunk = max(1, min(self._batch_size, CHUNK_BYTES // each))
        values, vectors = self._values_at(None), self._values("vector", vector)
        total = np.zeros(self.size)
        for share, weights, batch in self._weighted.single(chunk):
            means = self._traced.mean_example_power(
                values, vectors, self.state, batch, ops.convert_to_tensor(weights), power
            )
            total += share * self.space.flatten(means)
        return total

    def _shares(self) -> Iterator[tuple[float, Any]]:
        return self._weighted.batches(self._batch_size)

    def _values_at(self, weights: Any) -> list[Tensor]:
        return self._values("weights", self.weights if weights is None else weights)

    def _values(self, argument: str, vector: Any) -> list[Tensor]:
        arrays = self.space.unflatten(self.space.vector(argument, vector))
        return [
            ops.convert_to_tensor(array, dtype=v.dtype)
            for array, v in zip(arrays, self.model.trainable_variables, strict=True)
        ]


def surface_of(model: Any, data: Any, options: dict[str, Any]) -> LossSurface:
    """The surface that a function's first arguments describe, or are."""
    if not isinstance(model, LossSurface):
        return LossSurface(model, data, **options)
    if data is not None or options:
        raise TypeError(
            "`data` and its options belong to the LossSurface that is given in place of `model`. "
            f"Received: `data={data!r}`, {options}"
        )
    return model
