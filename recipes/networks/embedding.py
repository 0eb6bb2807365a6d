"""Embedding of words whose gradient adaptive optimizers read right."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="recipes")
class Embedding(keras.layers.Embedding):
    """Keras's Embedding, but with a gradient of all rows on TensorFlow too.

    There the gradient of Keras's layer (as of 3.15) has a row for each word of the batch, and Adam
    squares the rows of a word that comes twice one by one: its second moment gets 1^2 + 2^2 where
    (1 + 2)^2 is right. JAX and PyTorch sum them first, and so does this layer.

    Args:
        *args: those of `keras.layers.Embedding`.
        **kwargs: likewise.

    Example:

    ```python
    x = Embedding(1000, 64)(keras.ops.ones((2, 5), "int32"))    # (2, 5, 64)
    ```
    """

    def call(self, inputs: Any) -> Any:
        # The product hands one dense gradient on, the sum over all places.
        rows = ops.take(ops.multiply(self.embeddings, 1.0), ops.cast(inputs, "int32"), axis=0)
        return ops.cast(rows, self.compute_dtype)
