"""The convolutional network of Mnih et al. for Atari games, as actor and critic."""

from __future__ import annotations

import keras
from keras import layers

from recipes.networks.actor_critic import actor_critic
from recipes.networks.checks import check_sizes, scaled
from recipes.networks.dense import dense
from recipes.networks.initializers import lecun_normal


def nature_cnn(
    width: float = 1.0,
    *,
    actions: int,
    input_shape: tuple[int, int, int] = (84, 84, 4),
    seed: int = 0,
) -> keras.Model:
    """Builds the network: three convolutions, one hidden layer, all times `width`.

        32w filters 8x8, stride 4; 64w filters 4x4, stride 2; 64w filters 3x3; 512w units; ReLU

    Parameters for 4 actions:

    | width | 0.5 | 1 | 1.5 | 2 |
    |---|---|---|---|---|
    | parameters | 424,533 | 1,686,693 | 3,786,485 | 6,723,909 |

    Args:
        width: w, a finite number > 0.
        actions: number of actions, an integer >= 1.
        input_shape: (height, width, frames) of what is seen: pixels from 0 to 255.
        seed: fixes every initial weight, an integer >= 0.

    Returns:
        A functional `keras.Model` from uint8 (batch, *input_shape) to (batch, actions + 1): the
        logits of the actions, and the value. Layers are named "conv1", "conv2", "conv3", "hidden",
        "policy", "value".

    Raises:
        ValueError: `width` or `actions` is out of range; `seed` is no integer >= 0.

    Example:

    ```python
    model = nature_cnn(width=0.5, actions=4)
    ```

    References: Mnih et al., "Human-level control through deep reinforcement learning", Nature 518,
    2015, Methods; arXiv 2311.17539, the Atari workload.
    """
    check_sizes(actions=actions)
    small, large, units = scaled(width, 32, 64, 512)
    seen = keras.Input(input_shape, dtype="uint8", name="seen")
    x = layers.Rescaling(1 / 255, name="rescaling")(seen)
    for index, (filters, size, strides) in enumerate(((small, 8, 4), (large, 4, 2), (large, 3, 1))):
        name = f"conv{index + 1}"
        x = layers.Conv2D(
            filters,
            size,
            strides=strides,
            activation="relu",
            kernel_initializer=lecun_normal(seed, name),
            name=name,
        )(x)
    x = dense(units, "hidden", seed, activation="relu")(layers.Flatten(name="flatten")(x))
    return keras.Model(seen, actor_critic(x, actions, seed), name="nature_cnn")
