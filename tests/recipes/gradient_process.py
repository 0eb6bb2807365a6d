"""Gradients of every network in float32 against float64; prints a line of JSON for each network.

A process of its own, because TF_ENABLE_ONEDNN_OPTS is read when TensorFlow is imported and because
the fault that it looks for (strided 1x1 convolutions of few channels) may end the process.

The activation is softplus in place of ReLU: at random inputs some activations of a ReLU network
fall on the other side of 0 in float32, which alone moves the gradient by 1e-3.
"""

import functools
import json

import keras
import numpy as np

keras.layers.ReLU = functools.partial(keras.layers.Activation, "softplus")

from recipes import networks  # noqa: E402

REPEATS = 4  # The fault comes and goes.

NETWORKS = {
    "mlp": lambda: networks.mlp(0.05, input_shape=(8, 8, 1)),
    "resnet18(2)": lambda: networks.resnet18(2, input_shape=(8, 8, 3)),
    "resnet50(1)": lambda: networks.resnet50(1, input_shape=(32, 32, 3), classes=5),
    "vit": lambda: networks.vit(6, depth=1, patch=4, heads=2, input_shape=(8, 8, 3)),
    "lstm": lambda: networks.lstm(3, vocabulary=9, embedding_dim=4, dropout=0.0),
    "tagger": lambda: networks.transformer_tagger(
        4, vocabulary=9, tags=3, depth=1, heads=2, max_length=8, dropout=0.0
    ),
    "graphs": lambda: networks.graph_convolution(3, features=2, outputs=2, steps=1, dropout=0.0),
    "nature_cnn": lambda: networks.nature_cnn(1 / 16, actions=3, input_shape=(36, 36, 2)),
    "minatar_cnn": lambda: networks.minatar_cnn(1 / 8, actions=3),
}


def build(make, dtype):
    """A network whose weights are random everywhere, those of zero and of one among them."""
    keras.config.set_dtype_policy(dtype)
    network = make()
    generator = np.random.default_rng(0)
    for variable in network.weights:
        low, high = (0.5, 1.5) if variable.name in ("gamma", "moving_variance") else (-0.3, 0.3)
        variable.assign(generator.uniform(low, high, variable.shape).astype("float32"))
    for layer in network.layers:
        if getattr(layer, "activation", None) is keras.activations.relu:
            layer.activation = keras.activations.softplus
    return network


def inputs(spec, generator):
    """Random inputs of a network: numbers, words or pixels; sizes that it leaves open are 8."""
    if isinstance(spec, dict):
        return {name: inputs(part, generator) for name, part in spec.items()}
    shape = [8 if size is None else size for size in spec.shape]
    if spec.dtype == "float32" or spec.dtype == "float64":
        return generator.normal(size=shape).astype("float32")
    return generator.integers(9, size=shape).astype(spec.dtype)


def gradient(network, seed=1):
    """The gradient of one batch's mean squared error, all weights in one float64 vector."""
    import tensorflow as tf

    generator = np.random.default_rng(seed)
    x = inputs(network.input, generator)
    with tf.GradientTape() as tape:
        y = network(x, training=True)
        target = generator.normal(size=y.shape).astype("float32")
        loss = tf.reduce_mean((y - tf.cast(target, y.dtype)) ** 2)
    gradients = tape.gradient(loss, [v.value for v in network.trainable_variables])
    dense = map(tf.convert_to_tensor, gradients)
    return np.concatenate([g.numpy().astype("float64").ravel() for g in dense])


for name, make in NETWORKS.items():
    exact = gradient(build(make, "float64"))
    network = build(make, "float32")
    errors = [np.linalg.norm(gradient(network) - exact) for _ in range(REPEATS)]
    print(json.dumps({"network": name, "error": max(errors) / np.linalg.norm(exact)}), flush=True)
