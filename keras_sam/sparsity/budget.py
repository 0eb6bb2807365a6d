"""`sparsity_for_budget`: comparing networks of different width at equal numbers of parameters."""

import math
from typing import Any

import keras

from keras_sam.sparsity.kernels import Filter, find_kernels, plain_model
from keras_sam.validation import integer


def sparsity_for_budget(
    model: keras.Model, parameters: int, *, filter: Filter | None = None
) -> float:
    """The sparsity at which `prune` leaves a model with a given number of parameters.

        s = 1 - (parameters - u) / p,    p: parameters of the kernels to prune, u: all others

    Args:
        model: A built `keras.Model` or SAMModel, the wide one.
        parameters: The number of trainable parameters to keep, those that are not pruned included:
            say, the number of a narrower model.
        filter: Which weights to prune, as for `prune`. Defaults to `None`.

    Returns:
        A float in [0, 1); `prune(model, it, filter=filter)` keeps exactly the budget.

    Raises:
        TypeError: If `parameters` is not an int.
        ValueError: If the budget is above what the model has, or leaves nothing for the kernels.

    Example: a layer of 64 units with as many parameters as one of 8.

    >>> import keras
    >>> from keras_sam import sparsity
    >>> wide = keras.Sequential([keras.Input((100,)), keras.layers.Dense(64)])
    >>> narrow = keras.Sequential([keras.Input((100,)), keras.layers.Dense(8)])
    >>> s = sparsity.sparsity_for_budget(wide, narrow.count_params())
    >>> sparsity.summary(wide, sparsity.prune(wide, s)).kept == narrow.count_params()
    True
    """
    parameters = integer("parameters", parameters, least=1)
    net = plain_model(model)
    pruned = sum(_size(k.variable) for k in find_kernels(net, filter))
    others = sum(map(_size, net.trainable_variables)) - pruned
    if not others < parameters <= others + pruned:
        raise ValueError(
            f"`parameters` must be from {others + 1} to {others + pruned}: the model has {pruned} "
            f"parameters in kernels to prune and {others} others. "
            f"Received: `parameters={parameters}`"
        )
    return 1 - (parameters - others) / pruned


def _size(variable: Any) -> int:
    return math.prod(variable.shape)
