"""Batch normalisation that is fused on TensorFlow."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

FUSED_DTYPES = ("float16", "bfloat16", "float32")


@keras.saving.register_keras_serializable(package="recipes")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` with one fused kernel a training step on TensorFlow.

    With the mean m and the biased variance v of a batch, per channel,

        y = gamma * (x - m) / sqrt(v + epsilon) + beta
        moving_mean     <- momentum * moving_mean     + (1 - momentum) * m
        moving_variance <- momentum * moving_variance + (1 - momentum) * v

    Keras computes this from a dozen small operations; TensorFlow's fused operation computes it, and
    its gradient, in one each. The numbers and the weights files are those of Keras's layer (the
    class keeps its name, because Keras names the folders of a weights file after the class).

    The fused operation is used in training, on the TensorFlow backend, for 4-dimensional
    channels-last inputs of 16 or 32 bits without a mask. Statistics are float32 in mixed precision.
    Everything else (inference, other backends and shapes, float64, `renorm`, `synchronized`) is
    computed by Keras's own layer. On the CPU, XLA has no fused operation and expands it.

    Args:
        **kwargs: the arguments of `keras.layers.BatchNormalization`, with its defaults.

    Example:

    ```python
    layer = BatchNormalization(momentum=0.9, epsilon=1e-5)
    y = layer(keras.random.normal((8, 32, 32, 16)), training=True)
    ```

    Reference: Ioffe and Szegedy, "Batch Normalization", ICML 2015, Algorithm 1.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if not training or not self.trainable or mask is not None or not self._is_fusible(inputs):
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        channels = inputs.shape[-1]
        nothing = tf.zeros([0])
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=ops.cast(self.gamma, "float32") if self.scale else tf.ones([channels]),
            offset=ops.cast(self.beta, "float32") if self.center else tf.zeros([channels]),
            mean=nothing,
            variance=nothing,
            epsilon=self.epsilon,
            exponential_avg_factor=1.0,
            data_format="NHWC",
            is_training=True,
        )
        # TensorFlow reports n/(n-1) times the variance that it normalises with; Keras averages the
        # latter. A single value a channel (n = 1) has variance 0, whatever was reported.
        n = tf.cast(tf.size(inputs) // channels, "float32")
        variance = tf.math.multiply_no_nan(variance, (n - 1.0) / n)
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            kept = ops.cast(moving, "float32") * self.momentum
            moving.assign(kept + batch * (1.0 - self.momentum))
        return ops.cast(outputs, self.compute_dtype)

    def _is_fusible(self, inputs: Any) -> bool:
        return (
            keras.backend.backend() == "tensorflow"
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and not self.renorm
            and not self.synchronized
            and keras.backend.standardize_dtype(inputs.dtype) in FUSED_DTYPES
        )
