"""Sizes and members of the training and the validation split."""

from __future__ import annotations

import numpy as np


def check_integer(name: str, value: object, minimum: int) -> None:
    """Raises a ValueError unless `value` is an integer >= `minimum`.

    Args:
        name: the argument's name, for the message.
        value: what was given.
        minimum: the smallest allowed integer.

    Raises:
        ValueError: it is not.

    Example:

    ```python
    check_integer("batch_size", 128, minimum=1)
    ```
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < minimum:
        raise ValueError(f"`{name}` must be an integer >= {minimum}. Received: `{name}={value!r}`")


def split_sizes(
    examples: int, validation_split: float, take: int | None, batch_size: int
) -> tuple[int, int]:
    """Returns how many examples to train on and how many to validate on.

    Args:
        examples: size of the dataset's training set.
        validation_split: share of the examples in use that goes to validation, in (0, 1).
        take: at most so many examples are used, training and validation together; None = all.
        batch_size: the training split must fill one batch at least.

    Returns:
        (training examples, validation examples); the latter are round(validation_split * used).

    Raises:
        ValueError: an argument is outside of its range; a split would be empty.

    Example:

    ```python
    split_sizes(60_000, validation_split=0.1, take=None, batch_size=128)  # (54000, 6000)
    ```
    """
    check_integer("batch_size", batch_size, minimum=1)
    if take is not None:
        check_integer("take", take, minimum=1)
    if not 0.0 < validation_split < 1.0:
        raise ValueError(
            "`validation_split` must be a number in (0, 1). "
            f"Received: `validation_split={validation_split!r}`"
        )
    used = examples if take is None else min(take, examples)
    validation = round(validation_split * used)
    training = used - validation
    if validation < 1:
        raise ValueError(
            f"`validation_split` leaves no validation example of {used}. "
            f"Received: `validation_split={validation_split}`, `take={take}`"
        )
    if training < batch_size:
        raise ValueError(
            f"`batch_size` must be at most the number of training examples, {training}. "
            f"Received: `batch_size={batch_size}`, `validation_split={validation_split}`, "
            f"`take={take}`"
        )
    return training, validation
