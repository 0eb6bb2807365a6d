"""Which examples train and which validate, where the source may have a validation set itself."""

from __future__ import annotations

import numpy as np

from recipes.datasets.split import Split


def members(split: Split, train: int, validation: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draws the training and the validation examples of a run.

    Examples are numbered through, those of the source's training set first. Where the source has
    a validation set (other documents, other scaffolds), validation examples come from it alone:
    one does not select by what is close to the training set. `split.fixed_by` draws both.

    Args:
        split: How to split.
        train: Size of the source's training set.
        validation: Size of its validation set. Defaults to 0, none: it is cut from `train`.

    Returns:
        Numbers of the training examples and of the validation examples.

    Raises:
        ValueError: If `split` asks for more validation examples than the source has, or leaves
            a part empty.

    Example:

    >>> training, validation = members(Split(batch_size=4), train=80, validation=20)
    >>> len(training), len(validation), int(validation.min()) >= 80
    (80, 10, True)
    """
    count, held_out = split.sizes(train + validation)
    random = np.random.default_rng([split.fixed_by, train + validation])
    if not validation:
        order = random.permutation(train)
        return order[held_out : held_out + count], order[:held_out]
    if held_out > validation:
        raise ValueError(
            f"`validation_split` must be at most {validation / (train + validation):.4f} here: the "
            f"source keeps {validation} of {train + validation} examples to validate on. "
            f"Received: `validation_split={split.validation_split}`"
        )
    return random.permutation(train)[:count], train + random.permutation(validation)[:held_out]
