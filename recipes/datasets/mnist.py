"""MNIST through tensorflow-datasets."""

from __future__ import annotations

from keras import ops

from recipes.datasets.arrays import ArrayData
from recipes.datasets.in_memory import in_memory
from recipes.datasets.prepared import load_arrays
from recipes.datasets.split import Split


def mnist(split: Split, download: bool = True) -> ArrayData:
    """Loads MNIST; pixels / 255, shape (28, 28, 1), no augmentation.

    Args:
        split: how to split and batch the 60,000 training examples.
        download: whether TFDS may download what is not prepared.

    Returns:
        The `ArrayData`.

    Raises:
        ValueError: the split is not possible; the data are not there.

    Example:

    ```python
    data = mnist(Split(batch_size=128, seed=0, label_noise=0.4))
    ```

    Source: LeCun, Cortes and Burges, the MNIST database; TFDS `mnist`.
    """
    train, test = load_arrays("mnist", download=download)
    return in_memory(
        "mnist",
        train,
        test,
        split,
        classes=10,
        prepare=lambda x: ops.cast(x, "float32") / 255.0,
    )
