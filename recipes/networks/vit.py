"""A vision transformer for small images, scaled in width by its hidden dimension."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from recipes.networks.attention import self_attention
from recipes.networks.checks import check_sizes
from recipes.networks.dense import dense, logits
from recipes.networks.initializers import lecun_normal
from recipes.networks.position_embedding import PositionEmbedding


def vit(
    hidden_dim: int = 192,
    depth: int = 6,
    patch: int = 4,
    heads: int = 3,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    seed: int = 0,
) -> keras.Model:
    """Builds a pre-norm vision transformer; only `hidden_dim` grows with width, depth is fixed.

    An image becomes (height / patch) * (width / patch) tokens of `hidden_dim` numbers, to which
    learned positions are added. Each of `depth` blocks is

        x <- x + attention(LN(x))
        x <- x + W2 GELU(W1 LN(x) + b1) + b2        with 4 hidden_dim units between

    and the mean over the tokens of LN(x) goes to the logits. With d = hidden_dim, t tokens and c
    colours there are

        d (c patch^2 + 1) + t d + depth (12 d^2 + 13 d) + 2 d + classes (d + 1)

    parameters. Query, key, value and output are plain Dense layers: kernels then have the fan-in
    that the initialiser expects, and the pruners see them as what they are.

    Two things are this package's own: kernels start from LeCun normal, as in the other networks,
    where big_vision's ViT starts from Xavier uniform; and GELU is exact, x (1 + erf(x / sqrt(2)))
    / 2, where Flax's default is its approximation by tanh.

    Args:
        hidden_dim: width, a multiple of `heads`.
        depth: number of blocks, >= 1.
        patch: edge of a square patch, in pixels; it divides the image's height and width.
        heads: attention heads.
        input_shape: (height, width, channels) of an image.
        classes: number of outputs.
        seed: fixes every initial weight, an integer >= 0.

    Returns:
        A functional `keras.Model` from (batch, *input_shape) to logits (batch, classes). Layers are
        named "embedding", "positions", "block1_query", ..., "block1_mlp1", ..., "logits".

    Raises:
        ValueError: `heads` does not divide `hidden_dim`; `patch` does not divide the image; a size
            is below 1; `seed` is no integer >= 0.

    Example:

    ```python
    model = vit(hidden_dim=96, depth=6, patch=4, heads=3)
    ```

    References: Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, section 3.1; Beyer
    et al., "Better plain ViT baselines for ImageNet-1k", arXiv 2205.01580 (mean over tokens).
    """
    check_sizes(hidden_dim=hidden_dim, depth=depth, patch=patch, heads=heads)
    if hidden_dim % heads:
        raise ValueError(
            "`hidden_dim` must be a multiple of `heads`. "
            f"Received: `hidden_dim={hidden_dim}`, `heads={heads}`"
        )
    height, width, _ = input_shape
    if height % patch or width % patch:
        raise ValueError(
            "`patch` must divide the image's height and width. "
            f"Received: `patch={patch}`, `input_shape={input_shape}`"
        )

    inputs = keras.Input(input_shape, name="inputs")
    x = layers.Conv2D(
        hidden_dim,
        patch,
        strides=patch,
        kernel_initializer=lecun_normal(seed, "embedding"),
        name="embedding",
    )(inputs)
    x = layers.Reshape((-1, hidden_dim), name="tokens")(x)
    x = PositionEmbedding(seed, name="positions")(x)
    for index in range(depth):
        x = _block(x, heads, f"block{index + 1}", seed)
    x = _layer_norm(x, "norm")
    x = layers.GlobalAveragePooling1D(name="pool")(x)
    return keras.Model(inputs, logits(classes, seed)(x), name="vit")


def _block(x: Any, heads: int, name: str, seed: int) -> Any:
    hidden_dim = x.shape[-1]
    y = self_attention(_layer_norm(x, f"{name}_norm1"), heads, name, seed)
    x = layers.Add(name=f"{name}_add1")([x, y])
    y = _layer_norm(x, f"{name}_norm2")
    y = dense(4 * hidden_dim, f"{name}_mlp1", seed, activation="gelu")(y)
    y = dense(hidden_dim, f"{name}_mlp2", seed)(y)
    return layers.Add(name=f"{name}_add2")([x, y])


def _layer_norm(x: Any, name: str) -> Any:
    return layers.LayerNormalization(epsilon=1e-6, name=name)(x)
