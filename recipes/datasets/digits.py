"""scikit-learn's 8x8 digits: 1,797 real images that need no download."""

from __future__ import annotations

import numpy as np
import sklearn.datasets
from keras import ops

from recipes.datasets.arrays import ArrayData
from recipes.datasets.in_memory import in_memory
from recipes.datasets.split import Split

TEST_EXAMPLES = 360


def digits(split: Split) -> ArrayData:
    """Loads the 8x8 digits; pixels / 16, shape (8, 8, 1), no augmentation.

    The dataset comes without splits. 360 examples, chosen by the seed of the split, are the test
    set; the other 1,437 are there to train and validate on.

    Args:
        split: how to split and batch them.

    Returns:
        The `ArrayData`.

    Raises:
        ValueError: the split is not possible.

    Example:

    ```python
    data = digits(Split(batch_size=64, validation_split=0.2, seed=0))
    ```

    Source: `sklearn.datasets.load_digits`; E. Alpaydin and C. Kaynak, UCI repository, 1998.
    """
    images, labels = sklearn.datasets.load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8, 1).astype(np.uint8)
    order = np.random.default_rng(split.fixed_by).permutation(len(labels))
    test, rest = order[:TEST_EXAMPLES], order[TEST_EXAMPLES:]
    return in_memory(
        "digits",
        (images[rest], labels[rest]),
        (images[test], labels[test]),
        split,
        classes=10,
        prepare=lambda x: ops.cast(x, "float32") / 16.0,
    )
