"""Initial weights that depend on a seed and a layer's name, and on nothing else."""

from __future__ import annotations

import zlib

import keras
import numpy as np


def layer_seed(seed: int, layer_name: str) -> int:
    """Derives a 32-bit seed for one layer from the seed of the whole network.

    Args:
        seed: an integer >= 0.
        layer_name: the layer's name, unique in its network.

    Returns:
        An integer in [0, 2**32), the same on every machine and in every process.

    Raises:
        ValueError: `seed` is negative or no integer.

    Example:

    ```python
    layer_seed(0, "stem_conv") != layer_seed(0, "logits")
    ```
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"`seed` must be an integer >= 0. Received: `seed={seed!r}`")
    entropy = [int(seed), zlib.crc32(layer_name.encode())]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])


def lecun_normal(seed: int, layer_name: str) -> keras.Initializer:
    """Returns the kernel initialiser of a layer: truncated normal of variance 1 / fan_in.

    Keras gives equal numbers to equal seeds, so each layer gets its own (`layer_seed`); a kernel
    then depends neither on the global random state nor on the order in which layers are built.

    Args:
        seed: the network's seed, an integer >= 0.
        layer_name: the layer's name, unique in its network.

    Returns:
        A `keras.initializers.LecunNormal`.

    Example:

    ```python
    keras.layers.Dense(10, kernel_initializer=lecun_normal(0, "logits"), name="logits")
    ```

    Reference: LeCun, Bottou, Orr and Müller, "Efficient BackProp", 1998, section 4.6.
    """
    return keras.initializers.LecunNormal(seed=layer_seed(seed, layer_name))
