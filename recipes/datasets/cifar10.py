"""CIFAR-10 through tensorflow-datasets."""

from __future__ import annotations

from typing import Any

from keras import ops

from recipes.datasets.arrays import ArrayData
from recipes.datasets.augmentation import CropAndFlip
from recipes.datasets.in_memory import in_memory
from recipes.datasets.prepared import load_arrays
from recipes.datasets.split import Split

MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2023, 0.1994, 0.2010)


def cifar10(split: Split, download: bool = True) -> ArrayData:
    """Loads CIFAR-10, shape (32, 32, 3); random crops and flips in training.

    In training, an image is padded with 4 black pixels on each side, cropped to 32x32 at random and
    mirrored with probability 1/2. Then x = (pixel / 255 - mean) / std per colour.

    Args:
        split: how to split and batch the 50,000 training examples.
        download: whether TFDS may download what is not prepared.

    Returns:
        The `ArrayData`.

    Raises:
        ValueError: the split is not possible; the data are not there.

    Example:

    ```python
    data = cifar10(Split(batch_size=128, seed=0))
    ```

    Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009; TFDS
    `cifar10`.
    """
    train, test = load_arrays("cifar10", download=download)
    return in_memory(
        "cifar10",
        train,
        test,
        split,
        classes=10,
        prepare=_normalized,
        augment=CropAndFlip(padding=4),
    )


def _normalized(images: Any) -> Any:
    mean, std = (ops.convert_to_tensor(numbers, "float32") for numbers in (MEAN, STD))
    return (ops.cast(images, "float32") / 255.0 - mean) / std
