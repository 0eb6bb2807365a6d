"""Dropout whose masks depend on a network's seed."""

from __future__ import annotations

import keras

from recipes.networks.initializers import layer_seed


def dropout(rate: float, name: str, seed: int) -> keras.layers.Dropout:
    """Returns a Dropout layer whose masks depend on (seed, name) and the number of steps only.

    Args:
        rate: share of the units that training drops, in [0, 1).
        name: the layer's name, unique in its network.
        seed: the network's seed, an integer >= 0.

    Returns:
        A `keras.layers.Dropout`.

    Example:

    ```python
    x = dropout(0.3, "hidden_dropout", seed=0)(x)
    ```
    """
    # The state of a seed has 31 bits on PyTorch.
    return keras.layers.Dropout(rate, seed=layer_seed(seed, name) % 2**31, name=name)
