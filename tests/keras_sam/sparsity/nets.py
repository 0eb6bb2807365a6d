"""Small nets that several tests use."""

import keras
from keras import layers


def dense_net(*units, inputs=6, activation=None, dtype=None, **kwargs):
    """A Sequential of Dense layers named d0, d1, ..."""
    return keras.Sequential(
        [
            keras.Input((inputs,)),
            *(
                layers.Dense(n, activation=activation, name=f"d{i}", dtype=dtype, **kwargs)
                for i, n in enumerate(units)
            ),
        ],
        name="net",
    )


def many_layers():
    """One layer of each kind that has kernels, and of those that have none."""
    image = keras.Input((8, 8, 4))
    x = layers.Conv2D(4, 3, name="conv")(image)
    x = layers.BatchNormalization(name="bn")(x)
    x = layers.SeparableConv2D(4, 3, name="separable")(x)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise")(x)
    x = layers.Conv2DTranspose(5, 3, name="transpose")(x)
    x = layers.Reshape((-1, 5))(x)
    x = layers.MultiHeadAttention(2, 4, name="attention")(x, x)
    x = layers.TimeDistributed(layers.Dense(3, name="inner"), name="distributed")(x)
    words = keras.Input((7,), dtype="int32")
    y = layers.Embedding(10, 4, name="embedding")(words)
    y = layers.LayerNormalization(name="ln")(y)
    y = layers.Bidirectional(layers.LSTM(3, name="lstm"), name="both")(y)
    y = layers.Dense(2, name="top")(y)
    return keras.Model([image, words], [x, y])
