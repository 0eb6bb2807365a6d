"""Optimizers that the paper uses and Keras has in another form."""

from typing import Any

import keras
from keras import ops

from keras_sam.validation import nonnegative


@keras.saving.register_keras_serializable(package="keras_sam")
class SGD(keras.optimizers.SGD):
    """SGD with coupled (L2) weight decay: the decay passes through the momentum.

        g = g + weight_decay * w
        m = momentum * m - learning_rate * g
        w = w + m                              (nesterov: w + momentum * m - learning_rate * g)

    Keras's own `weight_decay` is decoupled, `w = w - learning_rate * weight_decay * w`, which is
    another method once there is momentum; and a `kernel_regularizer` would enter the ascent of SAM.
    Here the decay is no part of the perturbation: it joins the gradient that the optimizer is
    given, after clipping and after averaging over replicas.

    Args:
        learning_rate: A float, a `LearningRateSchedule` or a callable. Defaults to 0.01.
        momentum: A float in [0, 1]. Defaults to 0.0.
        nesterov: Whether to apply Nesterov momentum. Defaults to `False`.
        weight_decay: The coefficient, a float >= 0. `None` and 0.0 equal `keras.optimizers.SGD`.
            Weights named by `exclude_from_weight_decay` are spared. Defaults to `None`.
        name: Name of the optimizer. Defaults to "SGD".
        **kwargs: The further arguments of `keras.optimizers.SGD`.

    Raises:
        TypeError: If `weight_decay` is no number.
        ValueError: If `weight_decay` is negative or not finite.

    Example:

    >>> import keras
    >>> w = keras.Variable([1.0])
    >>> SGD(learning_rate=0.1, weight_decay=0.5).apply([w * 0.0 + 2.0], [w])
    >>> round(float(w[0]), 6)  # 1 - 0.1 * (2 + 0.5 * 1)
    0.75

    References:
        - Shin et al. 2025, https://arxiv.org/abs/2311.17539, the setting of its experiments
        - Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101, section 2, on the difference
    """

    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float | None = None,
        name: str = "SGD",
        **kwargs: Any,
    ) -> None:
        if weight_decay is not None:
            weight_decay = nonnegative("weight_decay", weight_decay, " or None")
        super().__init__(
            learning_rate=learning_rate,
            momentum=momentum,
            nesterov=nesterov,
            weight_decay=weight_decay,
            name=name,
            **kwargs,
        )

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        if self.weight_decay and self._use_weight_decay(variable):
            decay = ops.cast(self.weight_decay, variable.dtype)
            gradient = ops.add(
                ops.cast(gradient, variable.dtype),
                ops.multiply(decay, ops.convert_to_tensor(variable)),
            )
        super().update_step(gradient, variable, learning_rate)

    def _apply_weight_decay(self, variables: Any) -> None:
        """Keras's decoupled decay: not here."""
