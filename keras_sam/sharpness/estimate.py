"""A mean over random samples, with its uncertainty."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from keras_sam.validation import floats


class Estimate(NamedTuple):
    """A mean over independent samples.

    Attributes:
        value: The mean.
        standard_error: The standard deviation of the mean, `std / sqrt(n)`.

    Example:

    >>> Estimate.of([1.0, 2.0, 3.0]).value
    2.0
    """

    value: float
    standard_error: float

    @classmethod
    def of(cls, samples: Sequence[float] | np.ndarray) -> "Estimate":
        """The mean of two or more samples, and its standard error.

        Args:
            samples: Independent numbers, shape (n,), n >= 2.

        Raises:
            TypeError: If they are no numbers.
            ValueError: If they are not of one axis, or fewer than two.
        """
        samples = floats("samples", samples, least=2)
        spread = float(np.std(samples, ddof=1))
        return cls(float(np.mean(samples)), spread / math.sqrt(len(samples)))
