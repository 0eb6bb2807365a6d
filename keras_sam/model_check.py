"""`check_model`: does a model compute with the weights that it is handed?"""

import warnings
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_sam.backend import keras_internals, read, repeatable, value_and_grad
from keras_sam.convolution_check import strided_pointwise_convolutions
from keras_sam.loss_function import loss_function, state_variables
from keras_sam.validation import positive

Tensor = Any


class ModelCheck(NamedTuple):
    """How far the loss as a function of the weights is from the model's own, relatively.

    Attributes:
        loss: At the weights.
        moved_loss: At weights moved along SAM's ascent, which are assigned to the model for it.
        slope: The length of the gradient that SAM sees against the difference quotient of the
            model's own loss along it.
        layers: Convolutions that oneDNN may compute wrongly, see `convolution_check`.
    """

    loss: float
    moved_loss: float
    slope: float
    layers: list[str]


def check_model(
    model: keras.Model, batch: Any, *, rho: float = 0.05, tolerance: float = 5e-2
) -> ModelCheck:
    """Compares what SAM computes with the model's own computation in place, on one batch.

    SAM hands a model the weights w + e without assigning them. A model that reads its weights in
    another way would train wrongly. Here the weights are assigned, in inference mode, and the
    model's own loss is compared; afterwards they are as before, to the last bit.

    Args:
        model: A built and compiled `keras.Model` or SAMModel.
        batch: One batch, `(x, y)` or `(x, y, sample_weight)`.
        rho: The length of the ascent step, > 0. Defaults to 0.05.
        tolerance: The relative difference that is allowed. Defaults to 5e-2: the quotient is one
            of finite differences.

    Returns:
        A `ModelCheck`.

    Raises:
        TypeError: If `rho` or `tolerance` is no number.
        ValueError: If a difference is above the tolerance, or one of the two is not above 0.

    Warns:
        UserWarning: If oneDNN may compute the gradient of a layer wrongly.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(loss="mse")
    >>> check_model(model, (np.ones((4, 2)), np.zeros((4, 1)))).layers
    []
    """
    rho, tolerance = positive("rho", rho), positive("tolerance", tolerance)
    x, y, sample_weight = keras.tree.map_structure(
        lambda t: None if t is None else ops.convert_to_tensor(t),
        keras.utils.unpack_x_y_sample_weight(batch),
    )
    keras_internals.build_from_batch(model, (x, y, sample_weight))
    weights, state = model.trainable_variables, state_variables(model)
    arrays = [np.array(ops.convert_to_numpy(v)) for v in weights]
    kept = [np.array(ops.convert_to_numpy(v)) for v in state]
    loss_fn = loss_function(model, training=False)
    gradient = repeatable(value_and_grad(loss_fn, weights))

    def handed(values: list[Any]) -> tuple[float, list[np.ndarray]]:
        tensors = [ops.convert_to_tensor(value) for value in values]
        batch = (x, y, sample_weight)
        (loss, _), slopes = gradient(tensors, [read(v) for v in state], batch)
        slopes = [
            np.zeros(a.shape) if g is None else np.asarray(ops.convert_to_numpy(g), "float64")
            for a, g in zip(arrays, slopes, strict=True)
        ]
        return float(ops.convert_to_numpy(loss)), slopes

    def in_place(values: list[Any]) -> float:
        try:
            for variable, value in zip(weights, values, strict=True):
                variable.assign(value)
            y_pred = model(x, training=False)
            loss = model.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight)
            return float(ops.convert_to_numpy(loss))
        finally:
            for variable, array in zip([*weights, *state], [*arrays, *kept], strict=True):
                variable.assign(array)

    loss, slopes = handed(arrays)
    norm = np.sqrt(sum(np.sum(g**2) for g in slopes)) or 1.0
    up, down = (
        [(a + sign * rho * g / norm).astype(a.dtype) for a, g in zip(arrays, slopes, strict=True)]
        for sign in (1, -1)
    )
    own, own_up, own_down = in_place(arrays), in_place(up), in_place(down)
    check = ModelCheck(
        _difference(loss, own, own),
        _difference(handed(up)[0], own_up, own),
        _difference(2 * rho * norm, own_up - own_down, own),
        strided_pointwise_convolutions(model),
    )
    if check.layers:
        warnings.warn(
            f"oneDNN may compute the kernel gradients of {check.layers} wrongly: 1x1 convolutions "
            "with a stride and few input channels. Set the environment variable "
            "TF_ENABLE_ONEDNN_OPTS=0, or slice x[:, ::2, ::2] and convolve with stride 1.",
            stacklevel=2,
        )
    if max(check[:3]) > tolerance:
        raise ValueError(
            "`model` must compute with the weights that it is handed: the loss that SAM sees "
            f"differs from the model's own by more than {tolerance}. Received: {check}"
        )
    return check


def _difference(a: float, b: float, loss: float) -> float:
    """Relative, but for numbers that are nothing beside the rounding of the loss."""
    return abs(a - b) / max(abs(a), abs(b), 1e-4 * abs(loss), 1e-12)
