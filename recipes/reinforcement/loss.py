"""PPO's loss."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="recipes")
class PPOLoss(keras.losses.Loss):
    """The clipped loss of proximal policy optimization, of each example.

        -min(A r, A clip(r, 1 - clip, 1 + clip)) + value_cost (V - R)^2 / 2 - entropy_cost H
        r = exp(log p(a) - log p_old(a))        H = -sum_b p(b) log p(b)

    Targets are `[a, log p_old(a), A, R]`: action, its log-probability when it was taken, advantage,
    and what the value should be. Outputs are those of `recipes.networks.actor_critic`: logits of
    all actions, and V last.

    Args:
        clip: Of the ratio r, > 0. Defaults to 0.2.
        value_cost: Weight of the value's loss. Defaults to 0.5.
        entropy_cost: Weight of the entropy H. Defaults to 0.01.
        **options: Those of `keras.losses.Loss`.

    Example:

    >>> loss = PPOLoss(value_cost=1.0, entropy_cost=0.0)
    >>> # Two actions alike, A 1, V 3 where 1 was right: -1 + (3 - 1)^2 / 2.
    >>> float(loss([[0.0, -0.693147, 1.0, 1.0]], [[0.0, 0.0, 3.0]]))
    1.0

    Source: Schulman et al. 2017, arXiv 1707.06347, equations 7 and 9.
    """

    def __init__(
        self, clip: float = 0.2, value_cost: float = 0.5, entropy_cost: float = 0.01, **options: Any
    ) -> None:
        super().__init__(**options)
        self.clip, self.value_cost, self.entropy_cost = clip, value_cost, entropy_cost

    def call(self, y_true: Any, y_pred: Any) -> Any:
        logits, value = y_pred[:, :-1], y_pred[:, -1]
        action, old, advantage, target = (y_true[:, index] for index in range(4))
        log_p = ops.log_softmax(logits, axis=-1)
        taken = ops.one_hot(ops.cast(action, "int32"), logits.shape[-1], dtype=log_p.dtype)
        ratio = ops.exp(ops.sum(taken * log_p, axis=-1) - old)
        clipped = ops.clip(ratio, 1 - self.clip, 1 + self.clip)
        gain = ops.minimum(advantage * ratio, advantage * clipped)
        entropy = -ops.sum(ops.exp(log_p) * log_p, axis=-1)
        error = ops.square(value - target) / 2
        return -gain + self.value_cost * error - self.entropy_cost * entropy

    def get_config(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("clip", "value_cost", "entropy_cost")}
        return {**super().get_config(), **own}
