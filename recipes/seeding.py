"""Seeds for whatever has none of its own."""

from __future__ import annotations

import random


def set_seed(seed: int) -> None:
    """Does what `keras.utils.set_random_seed` does, but imports no other framework for it.

    Seeds Python's `random`, NumPy's global generator, Keras's global `SeedGenerator` and the
    framework of the backend. Keras itself seeds TensorFlow too wherever it is installed, and
    imports it for that, which takes seconds.

    Args:
        seed: An integer >= 0.

    Example:

    ```python
    set_seed(0)
    ```
    """
    # Only here: settings alone, and `--help`, need not wait for Keras.
    import keras
    import numpy as np

    from keras_sam.backend import keras_internals

    if keras.backend.backend() == "tensorflow":
        keras.utils.set_random_seed(seed)
        return
    random.seed(seed)
    np.random.seed(seed)
    keras_internals.seed_global_generator(seed)
    if keras.backend.backend() == "torch":
        import torch

        torch.manual_seed(seed)
