"""Residual networks, scaled in width by the number of filters of their first stage."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from recipes.networks.batch_normalization import BatchNormalization
from recipes.networks.checks import check_sizes
from recipes.networks.dense import logits
from recipes.networks.initializers import lecun_normal


def resnet18(
    filters: int = 64,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    seed: int = 0,
) -> keras.Model:
    """Builds ResNet-18 for small images: 3x3 stem of stride 1, no pooling before the first stage.

    Four stages of two basic blocks with `filters` times 1, 2, 4 and 8 channels:

        block(x) = ReLU(shortcut(x) + BN(conv3x3(ReLU(BN(conv3x3(x))))))

    The shortcut is a 1x1 convolution with batch normalisation where the shape changes. A 3x3
    convolution of stride 2 sees one row and column of zeros on each side, as in PyTorch and in the
    authors' code (TensorFlow's "same" would pad below and on the right only).

    Trainable parameters for 10 classes (moving statistics are not counted):

    | filters | 4 | 8 | 16 | 32 | 64 | 128 | 256 |
    |---|---|---|---|---|---|---|---|
    | parameters | 44,622 | 176,402 | 701,466 | 2,797,610 | 11,173,962 | 44,662,922 | 178,585,866 |

    Args:
        filters: channels of the first stage, an integer >= 1.
        input_shape: (height, width, channels) of an image.
        classes: number of outputs.
        seed: fixes every initial weight, an integer >= 0.

    Returns:
        A functional `keras.Model` from (batch, *input_shape) to logits (batch, classes). Layers are
        named after stage and block: "stem_conv", "stage2_block1_conv1", "stage2_block1_bn1",
        "stage2_block1_shortcut_conv", ..., "logits".

    Raises:
        ValueError: `filters` is no integer >= 1; `seed` is no integer >= 0.

    Example:

    ```python
    model = resnet18(filters=16)
    ```

    References: He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", CVPR 2016,
    sections 3 and 4.2; arXiv 2311.17539, the CIFAR-10 workload.
    """
    check_sizes(filters=filters)
    inputs = keras.Input(input_shape, name="inputs")
    x = _conv_bn(inputs, filters, 3, "stem", seed=seed)
    x = layers.ReLU(name="stem_relu")(x)
    for stage, blocks in enumerate((2, 2, 2, 2)):
        for block in range(blocks):
            strides = 2 if stage > 0 and block == 0 else 1
            name = f"stage{stage + 1}_block{block + 1}"
            x = _basic_block(x, filters * 2**stage, strides, name, seed)
    return _head(inputs, x, classes, seed, "resnet18")


def resnet50(
    filters: int = 64,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
    seed: int = 0,
) -> keras.Model:
    """Builds ResNet-50 for ImageNet: 7x7 stem of stride 2, 3x3 max pooling, bottleneck blocks.

    Four stages of 3, 4, 6 and 3 blocks with `filters` times 4, 8, 16 and 32 channels:

        block(x) = ReLU(shortcut(x) + BN(conv1x1(ReLU(BN(conv3x3(ReLU(BN(conv1x1(x)))))))))

    The 3x3 convolution carries the stride. As in the authors' code, the stem pads 3 pixels on each
    side, and everything else is padded as TensorFlow's "same". The scale of each block's last batch
    normalisation is zero at first, so that every block starts as its shortcut.

    Trainable parameters for 1000 classes (moving statistics are not counted):

    | filters | 16 | 32 | 48 | 64 |
    |---|---|---|---|---|
    | parameters | 1,993,976 | 6,917,640 | 14,771,992 | 25,557,032 |

    Args:
        filters: channels of the stem and of the first stage's 3x3 convolutions, an integer >= 1.
        input_shape: (height, width, channels) of an image.
        classes: number of outputs.
        seed: fixes every initial weight, an integer >= 0.

    Returns:
        A functional `keras.Model` from (batch, *input_shape) to logits (batch, classes), its layers
        named as in `resnet18`.

    Raises:
        ValueError: `filters` is no integer >= 1; `seed` is no integer >= 0.

    Example:

    ```python
    model = resnet50(filters=16)
    ```

    References: He et al., CVPR 2016, table 1; Goyal et al., "Accurate, Large Minibatch SGD",
    arXiv 1706.02677, section 5.1 (zero scale); arXiv 2311.17539, the ImageNet workload.
    """
    check_sizes(filters=filters)
    inputs = keras.Input(input_shape, name="inputs")
    x = _conv_bn(inputs, filters, 7, "stem", strides=2, border=3, seed=seed)
    x = layers.ReLU(name="stem_relu")(x)
    x = layers.MaxPooling2D(3, strides=2, padding="same", name="stem_pool")(x)
    for stage, blocks in enumerate((3, 4, 6, 3)):
        for block in range(blocks):
            strides = 2 if stage > 0 and block == 0 else 1
            name = f"stage{stage + 1}_block{block + 1}"
            x = _bottleneck_block(x, filters * 2**stage, strides, name, seed)
    return _head(inputs, x, classes, seed, "resnet50")


def _basic_block(x: Any, filters: int, strides: int, name: str, seed: int) -> Any:
    border = 1 if strides > 1 else None
    y = _conv_bn(x, filters, 3, name, "1", strides=strides, border=border, seed=seed)
    y = layers.ReLU(name=f"{name}_relu1")(y)
    y = _conv_bn(y, filters, 3, name, "2", seed=seed)
    return _add(x, y, strides, name, seed)


def _bottleneck_block(x: Any, filters: int, strides: int, name: str, seed: int) -> Any:
    y = _conv_bn(x, filters, 1, name, "1", seed=seed)
    y = layers.ReLU(name=f"{name}_relu1")(y)
    y = _conv_bn(y, filters, 3, name, "2", strides=strides, seed=seed)
    y = layers.ReLU(name=f"{name}_relu2")(y)
    y = _conv_bn(y, 4 * filters, 1, name, "3", gamma_initializer="zeros", seed=seed)
    return _add(x, y, strides, name, seed)


def _add(x: Any, y: Any, strides: int, name: str, seed: int) -> Any:
    if strides != 1 or x.shape[-1] != y.shape[-1]:
        x = _conv_bn(x, y.shape[-1], 1, f"{name}_shortcut", strides=strides, seed=seed)
    x = layers.Add(name=f"{name}_add")([x, y])
    return layers.ReLU(name=f"{name}_relu")(x)


def _conv_bn(
    x: Any,
    filters: int,
    kernel_size: int,
    name: str,
    suffix: str = "",
    *,
    seed: int,
    strides: int = 1,
    border: int | None = None,
    gamma_initializer: str = "ones",
) -> Any:
    """Convolution and normalisation; `border` pixels of zeros on each side, None for "same"."""
    conv = f"{name}_conv{suffix}"
    if border is not None:
        x = layers.ZeroPadding2D(border, name=f"{name}_pad{suffix}")(x)
    if kernel_size == 1 and strides > 1:
        # The same numbers without a strided 1x1 convolution, whose kernel gradient oneDNN gets
        # wrong on TensorFlow's CPU for few input channels (fewer than 8 on AVX2): it writes beyond
        # its memory, so the gradient is wrong or the process dies, not every time.
        x = x[:, ::strides, ::strides]
        strides = 1
    x = layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding="same" if border is None else "valid",
        use_bias=False,
        kernel_initializer=lecun_normal(seed, conv),
        name=conv,
    )(x)
    return BatchNormalization(
        momentum=0.9,
        epsilon=1e-5,
        gamma_initializer=gamma_initializer,
        name=f"{name}_bn{suffix}",
    )(x)


def _head(inputs: Any, x: Any, classes: int, seed: int, name: str) -> keras.Model:
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, logits(classes, seed)(x), name=name)
