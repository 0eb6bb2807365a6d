"""Learned positions of a sequence's tokens."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from recipes.networks.initializers import layer_seed


@keras.saving.register_keras_serializable(package="recipes")
class PositionEmbedding(keras.layers.Layer):
    """Adds a learned vector to each token: y[b, t] = x[b, t] + p[t].

    The initial p is normal with mean 0 and standard deviation 0.02.

    Args:
        seed: the network's seed, an integer >= 0; with the layer's name it fixes the initial p.
        **kwargs: the arguments of `keras.layers.Layer`.

    Example:

    ```python
    y = PositionEmbedding(seed=0, name="positions")(keras.ops.ones((2, 64, 192)))
    ```

    Reference: Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, equation 1.
    """

    def __init__(self, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.positions = self.add_weight(
            shape=tuple(input_shape[1:]),
            initializer=keras.initializers.RandomNormal(
                stddev=0.02, seed=layer_seed(self.seed, self.name)
            ),
            name="positions",
        )

    def call(self, inputs: Any) -> Any:
        return ops.add(inputs, self.positions)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}
