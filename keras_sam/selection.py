"""Which weights of a model: all, kernels, those of normalisation layers, or as a function says."""

from collections.abc import Callable
from typing import Any

import keras

from keras_sam.backend import keras_internals

Selection = str | Callable[[keras.Variable], bool]

KERNEL_NAMES = ("kernel", "recurrent_kernel", "depthwise_kernel", "pointwise_kernel")
NORMALIZATION = (
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.RMSNormalization,
)
NAMES = ("all", "kernels", "normalization")


def is_kernel(variable: keras.Variable) -> bool:
    """Whether a weight multiplies its layer's inputs or recurrent state, as Keras names such."""
    return variable.name in KERNEL_NAMES and keras.backend.is_float_dtype(variable.dtype)


def check_selection(argument: str, which: Any) -> None:
    """Raises a ValueError or TypeError if `which` is neither one of `NAMES` nor a function."""
    allowed = f"one of {list(NAMES)} or a function of a variable"
    if isinstance(which, str) and which not in NAMES:
        raise ValueError(f"`{argument}` must be {allowed}. Received: `{argument}={which!r}`")
    if not isinstance(which, str) and not callable(which):
        raise TypeError(f"`{argument}` must be {allowed}. Received: `{argument}={which!r}`")


def selected(model: keras.Model, which: Selection, argument: str) -> tuple[bool, ...]:
    """For each trainable variable of a built model whether it is selected.

    Args:
        model: A built model.
        which: One of `NAMES`, or `variable -> bool`. Normalisation layers are told by their class.
        argument: What the selection is called, for messages.

    Raises:
        ValueError: If no weight is selected.
    """
    variables = model.trainable_variables
    if which == "normalization":
        layers = keras_internals.all_layers(model)
        ids = {
            id(v) for layer in layers if isinstance(layer, NORMALIZATION) for v in layer.variables
        }
        flags = tuple(id(v) in ids for v in variables)
    elif which == "all":
        flags = (True,) * len(variables)
    else:
        choose: Any = is_kernel if which == "kernels" else which
        flags = tuple(bool(choose(v)) for v in variables)
    if variables and not any(flags):
        raise ValueError(
            f"`{argument}` must select a trainable weight of the model, which has "
            f"{[v.path for v in variables]}. Received: `{argument}={which!r}`, which selects none"
        )
    return flags
