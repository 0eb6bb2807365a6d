"""MNIST through tensorflow-datasets."""

from __future__ import annotations

import tensorflow as tf

from recipes.datasets.data import Data
from recipes.datasets.in_memory import in_memory
from recipes.datasets.prepared import load_arrays


def mnist(
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
    """Loads MNIST; pixels / 255, shape (28, 28, 1), no augmentation.

    Args:
        batch_size: examples in a batch, default 128 as in the paper.
        validation_split: share of the 60,000 training examples to validate on, default 0.1.
        seed: fixes the order of the training examples.
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
    data = mnist(batch_size=128, seed=0, label_noise=0.4)
    ```

    Source: LeCun, Cortes and Burges, the MNIST database; TFDS `mnist`.
    """
    train, test = load_arrays("mnist", download=download)
    return in_memory(
        "mnist",
        train,
        test,
        classes=10,
        normalize=lambda x: tf.cast(x, tf.float32) / 255.0,
        batch_size=batch_size,
        validation_split=validation_split,
        seed=seed,
        data_seed=data_seed,
        label_noise=label_noise,
        noise_kind=noise_kind,
        take=take,
    )
