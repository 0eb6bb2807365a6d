"""Keras 2's experimental SharpnessAwareMinimization, and plain SGD, by the tf-keras package.

Its first pass runs in inference mode, so that it has less to compute than SAM.
"""

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras import layers

from tests.benchmarks import synthetic
from tests.benchmarks.trainer import Trainer
from tests.benchmarks.variant import Variant


class TFKerasTrainer(Trainer):
    """Drives `model.train_function`, the compiled step that `fit` runs."""

    def __init__(self, variant: Variant) -> None:
        if variant.precision == "float16":
            raise NotImplementedError("tf-keras's SAM has no loss scaling for float16")
        tf_keras.utils.set_random_seed(0)
        if variant.precision:
            tf_keras.mixed_precision.set_global_policy(f"mixed_{variant.precision}")
        model = mlp() if variant.network == "mlp" else resnet18(variant.filters)
        self.parameters = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
        if variant.rho is not None:
            model = tf_keras.models.experimental.SharpnessAwareMinimization(model, rho=variant.rho)
        model.compile(
            tf_keras.optimizers.SGD(synthetic.LEARNING_RATE, synthetic.MOMENTUM),
            tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=True if variant.jit else None,
        )
        self.model = model
        self.arrays = synthetic.batch(variant)
        self.batches = iter(tf.data.Dataset.from_tensors(self.arrays).repeat())
        self.train_function = model.make_train_function()

    def steps(self, count: int) -> None:
        for _ in range(count):
            self.train_function(self.batches)

    def wait(self) -> None:
        self.model.trainable_variables[-1].numpy()

    def fit(self, count: int) -> None:
        x, y = (np.concatenate([array] * count) for array in self.arrays)
        self.model.fit(x, y, batch_size=len(self.arrays[0]), shuffle=False, verbose=0)


def mlp() -> Any:
    """Two hidden layers of 300 and 100 units."""
    hidden = [layers.Dense(units, activation="relu") for units in (300, 100)]
    inputs = layers.Input(synthetic.INPUT_SHAPES["mlp"])
    return tf_keras.Sequential([inputs, layers.Flatten(), *hidden, logits()])


def resnet18(filters: int) -> Any:
    """ResNet-18 for 32x32 images: 3x3 stem of stride 1, no pooling, projection shortcuts."""
    inputs = layers.Input(synthetic.INPUT_SHAPES["resnet18"])
    x = layers.ReLU()(conv_bn(inputs, filters, 3))
    for stage in range(4):
        for block in range(2):
            outputs = filters * 2**stage
            stride = 2 if stage and not block else 1
            y = layers.ReLU()(conv_bn(x, outputs, 3, stride))
            y = conv_bn(y, outputs, 3)
            if x.shape[-1] != outputs:
                x = conv_bn(x, outputs, 1, stride)
            x = layers.ReLU()(layers.Add()([x, y]))
    return tf_keras.Model(inputs, logits()(layers.GlobalAveragePooling2D()(x)))


def conv_bn(x: Any, filters: int, kernel: int, stride: int = 1) -> Any:
    """A convolution without bias, and batch normalisation (fused)."""
    x = layers.Conv2D(filters, kernel, stride, padding="same", use_bias=False)(x)
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)


def logits() -> Any:
    return layers.Dense(synthetic.CLASSES, dtype="float32")
