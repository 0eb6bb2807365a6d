"""The loss of some batches as a function of the weights to prune, with its derivatives."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from keras_sam import backend
from keras_sam.loss_function import loss_function, state_variables
from keras_sam.sam_model import SAMModel

Tensor = Any
Weights = Mapping[str, np.ndarray]


class Objective:
    """The mean loss over all examples of some batches, whose derivatives some scores need.

        L(w) = sum_b n_b L_b(w) / sum_b n_b,    n_b: the number of examples of batch b

    `L_b` is the loss as training computes it (batch statistics, dropout, regularisation), at the
    model's present weights except for those that are passed in. Pruning masks that the model has
    already do not enter: the derivatives are those of all weights. Nothing of the model changes.

    Args:
        model: A built `keras.Model` or SAMModel.
        data: One batch, a tuple `(x, y)` or `(x, y, sample_weight)`; or a finite iterable of such
            batches (a list, a `tf.data.Dataset`, a `keras.utils.PyDataset`, a generator).
            Defaults to `None`: then `gradient` and `hessian_vector_product` raise.
        loss: What `keras.Model.compile` takes. Defaults to `None`, the loss that `model` was
            compiled with.
        needed_by: What to name in the error about missing data.

    Attributes:
        batches: A list of `(x, y, sample_weight)` of tensors; empty without data.

    Raises:
        TypeError: If `data` is not a batch or an iterable of batches, or `loss` is no loss.
        ValueError: If `data` has no batches or infinitely many, or `loss` is empty.
    """

    def __init__(
        self, model: keras.Model, data: Any = None, loss: Any = None, needed_by: str = "this score"
    ) -> None:
        _check_loss(loss)
        self._model = model
        self._loss = loss
        self._needed_by = needed_by
        self.batches = [] if data is None else batches(data)

    def gradient(self, weights: Weights) -> dict[str, np.ndarray]:
        """`dL/dw` at `weights`, averaged over the examples.

        Args:
            weights: From `variable.path` to the values of the weights to differentiate by.

        Returns:
            A dict of arrays of the same shapes; zeros where the loss does not depend on a weight.
        """
        return self._mean(self._gradient_of_batch, weights)

    def hessian_vector_product(self, weights: Weights, vector: Weights) -> dict[str, np.ndarray]:
        """`H v` at `weights`, with H the Hessian of L by these weights alone.

        Args:
            weights: As for `gradient`.
            vector: `v`, by the same paths.

        Returns:
            A dict of arrays of the same shapes.
        """

        def product_of_batch(
            loss_at: Callable[..., Any], values: list[Tensor], batch: Any
        ) -> list[Tensor]:
            def directional_derivative(values: list[Tensor]) -> tuple[Tensor, None]:
                gradient = self._gradient_of_batch(loss_at, values, batch)
                products = [
                    ops.sum(g * ops.convert_to_tensor(vector[path], g.dtype))
                    for g, path in zip(gradient, weights, strict=True)
                ]
                return sum(products[1:], products[0]), None

            _, product = backend.value_and_grad(directional_derivative)(values)
            return _filled(product, values)

        return self._mean(product_of_batch, weights)

    def _gradient_of_batch(
        self, loss_at: Callable[..., Any], values: list[Tensor], batch: Any
    ) -> list[Tensor]:
        _, gradient = backend.value_and_grad(loss_at)(values, batch)
        return _filled(gradient, values)

    def _mean(
        self, function: Callable[..., list[Tensor]], weights: Weights
    ) -> dict[str, np.ndarray]:
        if not self.batches:
            raise ValueError(
                "`data` must be a batch `(x, y)`, or an iterable of batches, for "
                f"{self._needed_by}. Received: `data=None`"
            )
        loss_at = self._loss_at(weights)
        values = [ops.convert_to_tensor(value) for value in weights.values()]
        sizes = [_examples(x) for x, _, _ in self.batches]
        mean = [ops.zeros_like(value) for value in values]
        for size, batch in zip(sizes, self.batches, strict=True):
            result = function(loss_at, values, batch)
            mean = [m + r * (size / sum(sizes)) for m, r in zip(mean, result, strict=True)]
        return dict(zip(weights, map(ops.convert_to_numpy, mean), strict=True))

    def _loss_at(self, weights: Weights) -> Callable[[list[Tensor], Any], tuple[Tensor, None]]:
        model = _with_loss(self._model, self._loss)
        loss_fn = loss_function(model)
        trainable = model.trainable_variables
        present = {v.path: backend.read(v) for v in trainable}
        masks = {id(mask) for mask in getattr(model, "mask_variables", {}).values()}
        variables = state_variables(model)
        state = [
            ops.ones(v.shape, v.dtype) if id(v) in masks else backend.read(v) for v in variables
        ]

        def loss_at(values: list[Tensor], batch: Any) -> tuple[Tensor, None]:
            at = {**present, **dict(zip(weights, values, strict=True))}
            loss, _ = loss_fn([at[v.path] for v in trainable], state, batch)
            return loss, None

        return loss_at


def batches(data: Any) -> list[tuple[Any, Any, Any]]:
    """The batches of `data` as a list of `(x, y, sample_weight)` of tensors.

    Args:
        data: As for `Objective`.

    Raises:
        TypeError: If `data` is not a batch or an iterable of batches.
        ValueError: If it has no batches, or says that it has infinitely many.
    """
    if isinstance(data, tuple):
        data = [data]
    elif isinstance(data, keras.utils.PyDataset):
        if data.num_batches is None:
            raise _infinite(data)
        data = [data[index] for index in range(data.num_batches)]
    elif not isinstance(data, Iterable) or isinstance(data, str) or hasattr(data, "shape"):
        raise _no_batch(data)
    elif hasattr(data, "cardinality") and int(data.cardinality()) == -1:  # tf.data's INFINITE.
        raise _infinite(data)
    found = []
    for batch in data:
        if not isinstance(batch, tuple | list) or not 2 <= len(batch) <= 3:
            raise _no_batch(batch)
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(tuple(batch))
        if not any(np.ndim(leaf) for leaf in tree.flatten(x) if leaf is not None):
            raise _no_batch(batch)
        found.append(tree.map_structure(_tensor, (x, y, sample_weight)))
    if not found:
        raise ValueError(f"`data` must have at least one batch. Received: `data={data!r}`")
    return found


def _check_loss(loss: Any) -> None:
    allowed = "`loss` must be what `compile` takes: a name, a function, or a list or dict of them"
    if loss is None or callable(loss):
        return
    if not isinstance(loss, str | list | tuple | dict):
        raise TypeError(f"{allowed}. Received: `loss={loss!r}` of {type(loss)}")
    if not any(leaf is not None and leaf != "" for leaf in tree.flatten(loss)):
        raise ValueError(f"{allowed}. Received: `loss={loss!r}`, which has none")


def _infinite(data: Any) -> ValueError:
    return ValueError(
        "`data` must have finitely many batches; `data.take(n)` of a tf.data.Dataset has n. "
        f"Received: `data={data!r}`"
    )


def _no_batch(data: Any) -> TypeError:
    return TypeError(
        "`data` must be a batch, a tuple `(x, y)` or `(x, y, sample_weight)`, or an iterable of "
        f"batches. Received: {data!r} of {type(data)}"
    )


def _tensor(leaf: Any) -> Tensor | None:
    return None if leaf is None else ops.convert_to_tensor(leaf)


def _examples(x: Any) -> int:
    return int(next(leaf for leaf in tree.flatten(x) if leaf is not None).shape[0])


def _filled(gradient: list[Tensor | None], values: list[Tensor]) -> list[Tensor]:
    return [
        ops.zeros_like(value) if g is None else backend.dense(g)
        for g, value in zip(gradient, values, strict=True)
    ]


def _with_loss(model: keras.Model, loss: Any) -> keras.Model:
    """A compiled model with this loss: the model itself, or a shell around it."""
    inner = model.model if isinstance(model, SAMModel) and model.model is not None else model
    if loss is not None:
        shell = _Shell(inner)
        shell.compile(loss=loss)
        return shell
    for candidate in (model, inner):
        if candidate.compiled:
            return candidate
    raise ValueError(
        "`loss` must be given, as `compile` takes it, or `model` be compiled. "
        f"Received: `loss=None` and a model that is not compiled, {model.name!r}"
    )


class _Shell(keras.Model):
    """A model around another, so that it can be compiled without compiling the other."""

    def __init__(self, model: keras.Model) -> None:
        super().__init__(dtype=model.dtype_policy, autocast=False)
        self.model = model
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.model(inputs)  # `training` reaches the model by Keras's call context.
