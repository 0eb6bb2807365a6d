"""CIFAR-10 through tensorflow-datasets."""

from __future__ import annotations

import tensorflow as tf

from recipes.datasets.augmentation import random_crop_and_flip
from recipes.datasets.data import Data
from recipes.datasets.in_memory import in_memory
from recipes.datasets.prepared import load_arrays

MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2023, 0.1994, 0.2010)


def cifar10(
    batch_size: int = 128,
    *,
    validation_split: float = 0.1,
    seed: int = 0,
    data_seed: int = 0,
    label_noise: float = 0.0,
    noise_kind: str = "symmetric",
    take: int | None = None,
    download: bool = True,
) -> Data:
    """Loads CIFAR-10, shape (32, 32, 3); random crops and flips in training.

    In training, an image is padded with 4 black pixels on each side, cropped to 32x32 at random and
    mirrored with probability 1/2. Then x = (pixel / 255 - mean) / std per colour.

    Args:
        batch_size: examples in a batch, default 128 as in the paper.
        validation_split: share of the 50,000 training examples to validate on, default 0.1.
        seed: fixes order and augmentation of the training examples.
        data_seed: fixes the validation split and the label noise.
        label_noise: share of wrong training labels, in [0, 1].
        noise_kind: "symmetric" or "pair_flip".
        take: at most so many examples to train and validate on together; None = all.
        download: whether TFDS may download what is not prepared.

    Returns:
        The `Data`.

    Raises:
        ValueError: an argument is outside of its range; the data are not there.

    Example:

    ```python
    data = cifar10(batch_size=128, seed=0)
    ```

    Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009; TFDS
    `cifar10`.
    """
    train, test = load_arrays("cifar10", download=download)
    return in_memory(
        "cifar10",
        train,
        test,
        classes=10,
        normalize=lambda x: (tf.cast(x, tf.float32) / 255.0 - MEAN) / STD,
        augment=random_crop_and_flip,
        batch_size=batch_size,
        validation_split=validation_split,
        seed=seed,
        data_seed=data_seed,
        label_noise=label_noise,
        noise_kind=noise_kind,
        take=take,
    )
