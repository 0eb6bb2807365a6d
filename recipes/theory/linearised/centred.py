"""The centred, scaled network, and how linear a run of it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Array = np.ndarray


def perceptron(shape: Sequence[int], classes: int, width: float, seed: int) -> Any:
    """Two hidden layers of 128 width ReLUs, He normal."""
    return _network(shape, classes, seed, lambda z, dense, _: dense(dense(z, 128), 128), width)


def vgg11(shape: Sequence[int], classes: int, width: float, seed: int) -> Any:
    """VGG-11 for 32 x 32 images, one dense layer at the end, no batch normalisation, He normal."""

    def layers(z: Any, dense: Any, convolution: Any) -> Any:
        from keras import layers

        for stage in ((64,), (128,), (256, 256), (512, 512), (512, 512)):
            for channels in stage:
                z = convolution(z, channels)
            z = layers.MaxPooling2D()(z)
        return layers.Flatten()(z)

    return _network(shape, classes, seed, layers, width)


def _network(
    shape: Sequence[int], classes: int, seed: int, hidden: Callable[..., Any], width: float
) -> Any:
    import keras

    seeds = iter(range(1000 * seed, 1000 * seed + 100))

    def start() -> Any:
        return keras.initializers.HeNormal(seed=next(seeds))

    def size(units: int) -> int:
        return max(1, round(units * width))

    def dense(z: Any, units: int) -> Any:
        return keras.layers.Dense(size(units), "relu", kernel_initializer=start())(z)

    def convolution(z: Any, channels: int) -> Any:
        layer = keras.layers.Conv2D(
            size(channels), 3, padding="same", activation="relu", kernel_initializer=start()
        )
        return layer(z)

    inputs = keras.Input(tuple(shape))
    last = keras.layers.Dense(classes, kernel_initializer=start())
    return keras.Model(inputs, last(hidden(inputs, dense, convolution)))


class Centred:
    """`alpha (f(w) - f(w0))` as a `keras.Model`, `model`, in which w0 is frozen.

    Args:
        build: Returns f with the weights w0, each time it is called.
        alpha: The scale, > 0.
    """

    def __init__(self, build: Callable[[], Any], alpha: float) -> None:
        import keras

        self.network, self.initial = build(), build()
        self.initial.trainable = False
        inputs = keras.Input(self.network.input_shape[1:])
        self.model = keras.Model(inputs, alpha * (self.network(inputs) - self.initial(inputs)))


def activity(network: Any, x: Array, batch_size: int = 500) -> Array:
    """Whether each hidden ReLU is active on each example, (n, ReLUs)."""
    import keras
    from keras import ops

    hidden = [
        layer.output
        for layer in network.layers
        if getattr(layer, "activation", None) is keras.activations.relu
    ]
    features = keras.Model(network.inputs[0], hidden)
    parts = []
    for first in range(0, len(x), batch_size):
        outputs = features(x[first : first + batch_size])
        outputs = outputs if isinstance(outputs, list) else [outputs]
        flat = [ops.convert_to_numpy(one).reshape(len(one), -1) > 0 for one in outputs]
        parts.append(np.concatenate(flat, axis=1))
    return np.concatenate(parts)


def stability(network: Any, initial: Any, x: Array) -> float:
    """The share of pairs of an example and a hidden ReLU that are as they were."""
    return float(np.mean(activity(network, x) == activity(initial, x)))


def movement(network: Any, initial: Any) -> float:
    """||w - w0|| / ||w0||."""
    pairs = list(zip(network.get_weights(), initial.get_weights(), strict=True))
    moved = sum(float(np.sum((w - w0) ** 2)) for w, w0 in pairs)
    return float(np.sqrt(moved / sum(float(np.sum(w0**2)) for _, w0 in pairs)))
