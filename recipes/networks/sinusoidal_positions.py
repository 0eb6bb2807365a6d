"""Fixed positions of a sequence's tokens."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="recipes")
class SinusoidalPositions(keras.layers.Layer):
    """Adds waves to each token: y[b, t] = x[b, t] + p[t], of d numbers.

        p[t, 2i] = sin(t / 10000^(2i/d)),    p[t, 2i+1] = cos(t / 10000^(2i/d))

    Args:
        max_length: the longest sequence that may come.
        **kwargs: the arguments of `keras.layers.Layer`.

    Raises:
        ValueError: a sequence is longer than `max_length`.

    Example:

    ```python
    y = SinusoidalPositions(max_length=256)(keras.ops.ones((2, 64, 128)))
    ```

    Reference: Vaswani et al., "Attention Is All You Need", NeurIPS 2017, section 3.5.
    """

    def __init__(self, max_length: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_length = max_length
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        length, dim = ops.shape(inputs)[1], inputs.shape[-1]
        if isinstance(length, int) and length > self.max_length:
            raise ValueError(
                f"A sequence must have at most {self.max_length} tokens, or `max_length` be more. "
                f"Received: {length}"
            )
        angles = np.arange(self.max_length)[:, None] / 10_000 ** (np.arange(0, dim, 2) / dim)
        waves = np.zeros((self.max_length, dim))
        waves[:, 0::2] = np.sin(angles)
        waves[:, 1::2] = np.cos(angles[:, : dim // 2])
        return inputs + ops.convert_to_tensor(waves, inputs.dtype)[:length]

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "max_length": self.max_length}
