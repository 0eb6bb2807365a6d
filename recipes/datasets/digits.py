"""scikit-learn's 8x8 digits: 1,797 real images that need no download."""

from __future__ import annotations

import numpy as np
import sklearn.datasets
import tensorflow as tf

from recipes.datasets.data import Data
from recipes.datasets.in_memory import in_memory
from recipes.datasets.split import check_integer

TEST_EXAMPLES = 360


def digits(
    batch_size: int = 64,
    *,
    validation_split: float = 0.2,
    seed: int = 0,
    data_seed: int = 0,
    label_noise: float = 0.0,
    noise_kind: str = "symmetric",
    take: int | None = None,
) -> Data:
    """Loads the 8x8 digits; pixels / 16, shape (8, 8, 1), no augmentation.

    The dataset comes without splits. 360 examples, chosen by `data_seed`, are the test set; of the
    other 1,437, `validation_split` (default: 287) are the validation set.

    Args:
        batch_size: examples in a batch, default 64.
        validation_split: share of the examples outside of the test set to validate on.
        seed: fixes the order of the training examples.
        data_seed: fixes all splits and the label noise.
        label_noise: share of wrong training labels, in [0, 1].
        noise_kind: "symmetric" or "pair_flip".
        take: at most so many examples to train and validate on together; None = all.

    Returns:
        The `Data`.

    Raises:
        ValueError: an argument is outside of its range.

    Example:

    ```python
    data = digits(batch_size=64, seed=0)
    ```

    Source: `sklearn.datasets.load_digits`; E. Alpaydin and C. Kaynak, UCI repository, 1998.
    """
    check_integer("data_seed", data_seed, minimum=0)
    images, labels = sklearn.datasets.load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8, 1).astype(np.uint8)
    order = np.random.default_rng(data_seed).permutation(len(labels))
    test, rest = order[:TEST_EXAMPLES], order[TEST_EXAMPLES:]
    return in_memory(
        "digits",
        (images[rest], labels[rest]),
        (images[test], labels[test]),
        classes=10,
        normalize=lambda x: tf.cast(x, tf.float32) / 16.0,
        batch_size=batch_size,
        validation_split=validation_split,
        seed=seed,
        data_seed=data_seed,
        label_noise=label_noise,
        noise_kind=noise_kind,
        take=take,
    )
