"""Tells of layers whose gradient a library underneath is known to get wrong."""

import os

import keras

from keras_sam.backend import keras_internals

FEW_CHANNELS = 16  # Of a vector register of AVX-512; with AVX2 it is 8.


def strided_pointwise_convolutions(model: keras.Model) -> list[str]:
    """Names of convolutions whose kernel gradient oneDNN gets wrong, or dies of, on CPUs.

    TensorFlow 2.21 with oneDNN writes past the end of a buffer in the kernel gradient of a 1x1
    convolution with a stride and few input channels: numbers that are wrong by up to 90 %, or a
    process that ends. `x[:, ::2, ::2]` and the convolution with stride 1 are the same function.
    Whether oneDNN is on follows from the CPU; the environment variable `TF_ENABLE_ONEDNN_OPTS=0`,
    set before TensorFlow is imported, turns it off.

    Args:
        model: A built `keras.Model`.

    Returns:
        The names; none on other backends, or where the variable turns oneDNN off.
    """
    off = os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0"
    if keras.backend.backend() != "tensorflow" or off:
        return []
    return [layer.name for layer in keras_internals.all_layers(model) if _is_one(layer)]


def _is_one(layer: keras.Layer) -> bool:
    if not isinstance(layer, keras.layers.Conv2D) or not layer.built:
        return False
    *window, channels, _ = layer.kernel.shape
    strided = any(stride > 1 for stride in layer.strides)
    return strided and set(window) == {1} and layer.groups == 1 and channels < FEW_CHANNELS
