"""How a dataset is split, batched and made noisy."""

from __future__ import annotations

import dataclasses
import numbers

import numpy as np

from recipes.datasets.label_noise import NOISE_KINDS


@dataclasses.dataclass(frozen=True, kw_only=True)
class Split:
    """What every dataset is asked for besides its name.

    Args:
        batch_size: Examples in a batch. Defaults to 128.
        validation_split: Share of the training examples to validate on, in (0, 1), cut from the
            training set. Defaults to 0.1.
        seed: Fixes order and augmentation of the training examples. Defaults to 0.
        data_seed: Fixes which examples are validated on (and tested on, where a dataset comes
            without splits) and which labels are wrong. Defaults to `None`, as `seed`.
        label_noise: Share of wrong training labels, in [0, 1]; those of validation and test stay
            clean. Defaults to 0.
        noise_kind: "symmetric" or "pair_flip", see `recipes.datasets.label_noise`.
            Defaults to "symmetric".
        take: At most so many examples to train and validate on together. Defaults to `None`, all.

    Raises:
        ValueError: If an argument is outside of its range.

    Example:

    >>> Split(seed=3).fixed_by
    3
    """

    batch_size: int = 128
    validation_split: float = 0.1
    seed: int = 0
    data_seed: int | None = None
    label_noise: float = 0.0
    noise_kind: str = "symmetric"
    take: int | None = None

    def __post_init__(self) -> None:
        check_integer("batch_size", self.batch_size, minimum=1)
        check_integer("seed", self.seed, minimum=0)
        if self.data_seed is not None:
            check_integer("data_seed", self.data_seed, minimum=0)
        if self.take is not None:
            check_integer("take", self.take, minimum=1)
        if not (_is_number(self.validation_split) and 0.0 < self.validation_split < 1.0):
            raise ValueError(
                "`validation_split` must be a number in (0, 1). "
                f"Received: `validation_split={self.validation_split!r}`"
            )
        if not (_is_number(self.label_noise) and 0.0 <= self.label_noise <= 1.0):
            raise ValueError(
                "`label_noise` must be a number in [0, 1]. "
                f"Received: `label_noise={self.label_noise!r}`"
            )
        if not isinstance(self.noise_kind, str) or self.noise_kind not in NOISE_KINDS:
            raise ValueError(
                f"`noise_kind` must be one of {NOISE_KINDS}. "
                f"Received: `noise_kind={self.noise_kind!r}`"
            )

    @property
    def fixed_by(self) -> int:
        """The seed of splits and label noise."""
        return self.seed if self.data_seed is None else self.data_seed

    def sizes(self, examples: int) -> tuple[int, int]:
        """How many examples to train on and how many to validate on.

        Args:
            examples: Size of the dataset's training set.

        Returns:
            (training examples, validation examples); the latter are round(validation_split * used).

        Raises:
            ValueError: If a split would be empty, or training has less than a batch.

        Example:

        >>> Split(batch_size=128).sizes(60_000)
        (54000, 6000)
        """
        used = examples if self.take is None else min(self.take, examples)
        validation = round(self.validation_split * used)
        training = used - validation
        if validation < 1:
            raise ValueError(
                f"`validation_split` leaves no validation example of {used}. "
                f"Received: `validation_split={self.validation_split}`, `take={self.take}`"
            )
        if training < self.batch_size:
            raise ValueError(
                f"`batch_size` must be at most the number of training examples, {training}. "
                f"Received: `batch_size={self.batch_size}`, "
                f"`validation_split={self.validation_split}`, `take={self.take}`"
            )
        return training, validation


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


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
