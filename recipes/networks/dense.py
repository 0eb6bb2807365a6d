"""The dense layers that all networks share."""

from __future__ import annotations

from typing import Any

import keras

from recipes.networks.initializers import lecun_normal


def dense(units: int, name: str, seed: int, **kwargs: Any) -> keras.layers.Dense:
    """Returns a Dense layer whose initial kernel depends on (seed, name) only; biases are zero.

    Args:
        units: number of outputs, an integer >= 1.
        name: the layer's name, unique in its network.
        seed: the network's seed, an integer >= 0.
        **kwargs: further arguments of `keras.layers.Dense`.

    Returns:
        An unbuilt `keras.layers.Dense`.

    Example:

    ```python
    hidden = dense(300, "hidden1", seed=0, activation="relu")
    ```
    """
    return keras.layers.Dense(
        units, kernel_initializer=lecun_normal(seed, name), name=name, **kwargs
    )


def logits(classes: int, seed: int, **kwargs: Any) -> keras.layers.Dense:
    """Returns the last layer: unnormalised class scores, not rounded to 16 bits in mixed precision.

    Args:
        classes: number of classes, an integer >= 1.
        seed: the network's seed, an integer >= 0.
        **kwargs: further arguments of `keras.layers.Dense`.

    Returns:
        An unbuilt `keras.layers.Dense` named "logits"; it computes in the dtype of its weights.

    Example:

    ```python
    outputs = logits(10, seed=0)(features)
    ```
    """
    precise = keras.config.dtype_policy().variable_dtype
    return dense(classes, "logits", seed, dtype=precise, **kwargs)
