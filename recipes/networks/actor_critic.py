"""What an agent does and what it expects, from shared features."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from recipes.networks.dense import dense


def actor_critic(x: Any, actions: int, seed: int) -> Any:
    """The logits of a policy and a value, side by side: one output, which one loss takes apart.

    Args:
        x: features, (batch, d).
        actions: number of actions.
        seed: the network's seed.

    Returns:
        (batch, actions + 1): logits, and the value last. Neither is rounded to 16 bits in mixed
        precision. The layers are named "policy" and "value".
    """
    precise = keras.config.dtype_policy().variable_dtype
    heads = [
        dense(units, name, seed, dtype=precise)(x)
        for name, units in (("policy", actions), ("value", 1))
    ]
    return layers.Concatenate(dtype=precise, name="policy_and_value")(heads)
