"""Cross-entropy with smoothed labels, of integer labels."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_sam_recipes")
class SmoothedCrossentropy(keras.losses.Loss):
    """Cross-entropy of logits and integer labels of which a share is spread over all K classes.

        loss = (1 - s) * -log p[label]  +  s * mean_k(-log p[k])

    Args:
        label_smoothing: s, in [0, 1].
        name: Of the loss.
        **kwargs: Arguments of `keras.losses.Loss`.

    Example:

    >>> loss = SmoothedCrossentropy(0.5)([[0]], [[0.0, 0.0]])  # log 2, whatever the label
    >>> round(float(loss), 4)
    0.6931

    Source: Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision",
    section 7.
    """

    def __init__(
        self, label_smoothing: float, name: str = "smoothed_crossentropy", **kwargs: Any
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.label_smoothing = label_smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        share = self.label_smoothing
        right = ops.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)
        return (1 - share) * right - share * ops.mean(ops.log_softmax(y_pred, axis=-1), axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "label_smoothing": self.label_smoothing}
