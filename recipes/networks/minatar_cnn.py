"""A small convolutional network for MinAtar's games, as actor and critic."""

from __future__ import annotations

import keras
from keras import layers

from recipes.networks.actor_critic import actor_critic
from recipes.networks.checks import check_sizes, scaled
from recipes.networks.dense import dense
from recipes.networks.initializers import lecun_normal


def minatar_cnn(
    width: float = 1.0,
    *,
    actions: int,
    input_shape: tuple[int, int, int] = (10, 10, 4),
    seed: int = 0,
) -> keras.Model:
    """Builds the network: one convolution of 16w filters 3x3, one hidden layer of 128w units.

    Breakout (4 channels, 3 actions) at width 1 has 132,308 parameters.

    Args:
        width: w, a finite number > 0.
        actions: number of actions, an integer >= 1.
        input_shape: (height, width, channels) of what is seen: a channel an object, 0 or 1.
        seed: fixes every initial weight, an integer >= 0.

    Returns:
        A functional `keras.Model` from (batch, *input_shape) to (batch, actions + 1): the logits of
        the actions, and the value. Layers are named "conv", "hidden", "policy", "value".

    Raises:
        ValueError: `width` or `actions` is out of range; `seed` is no integer >= 0.

    Example:

    ```python
    model = minatar_cnn(width=0.5, actions=3)
    ```

    Reference: Young and Tian, "MinAtar: An Atari-Inspired Testbed for Thorough and Reproducible
    Reinforcement Learning Experiments", arXiv 1903.03176, section 3.
    """
    check_sizes(actions=actions)
    filters, units = scaled(width, 16, 128)
    seen = keras.Input(input_shape, name="seen")
    x = layers.Conv2D(
        filters,
        3,
        activation="relu",
        kernel_initializer=lecun_normal(seed, "conv"),
        name="conv",
    )(seen)
    x = dense(units, "hidden", seed, activation="relu")(layers.Flatten(name="flatten")(x))
    return keras.Model(seen, actor_critic(x, actions, seed), name="minatar_cnn")
