"""The mean of what the parts of a batch give, each weighted by how much it counts."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from keras_sam.backend import dense

Tensor = Any


class WeightedMean:
    """The weighted mean of lists of tensors, of which some may be `None`, one list after another.

        m_i = (1 - a_i) m_{i-1} + a_i t_i,    a_i = c_i / (c_1 + ... + c_i)

    It stays in the range of the tensors, whatever the weights are. Means are kept in float32, or in
    float64 for tensors of float64.

    Example:

    >>> mean = WeightedMean()
    >>> mean.add([ops.convert_to_tensor([1.0]), None], size=1, so_far=1)
    >>> mean.add([ops.convert_to_tensor([5.0]), None], size=3, so_far=4)
    >>> [None if m is None else float(m[0]) for m in mean.result()]  # (1 * 1 + 3 * 5) / 4
    [4.0, None]
    """

    def __init__(self) -> None:
        self._means: list[Tensor | None] = []
        self._dtypes: list[str | None] = []
        self._counted: Tensor = 0.0

    def add(
        self, tensors: Sequence[Tensor | None], size: Any, so_far: Any, count: Tensor | None = None
    ) -> None:
        """Adds one more list.

        Args:
            tensors: The list; gradients may be sparse.
            size: How many examples it is of, its weight c_i; an int or a scalar.
            so_far: How many examples there have been, with these.
            count: The weight in place of `size`, unless all have been 0 so far; a scalar.
                Defaults to `None`.
        """
        if count is not None:
            self._counted = self._counted + count

        def fraction(dtype: str) -> Tensor:
            by_size = ops.cast(size, dtype) / ops.cast(ops.maximum(so_far, 1), dtype)
            if count is None:
                return by_size
            counted = ops.cast(self._counted, dtype)
            some = counted > 0
            by_count = ops.cast(count, dtype) / ops.where(some, counted, ops.ones_like(counted))
            return ops.where(some, by_count, by_size)

        present = [None if t is None else dense(t) for t in tensors]
        means = self._means or [None] * len(present)
        self._dtypes = [None if t is None else t.dtype for t in present]
        self._means = [
            mean if t is None else _moved(mean, t, fraction)
            for mean, t in zip(means, present, strict=True)
        ]

    def result(self, summed: bool = False) -> list[Tensor | None]:
        """The means, in the tensors' dtypes; with `summed`, times the sum of the counts."""
        factor = self._counted if summed else 1.0
        return [
            None if mean is None else ops.cast(mean * ops.cast(factor, mean.dtype), dtype)
            for mean, dtype in zip(self._means, self._dtypes, strict=True)
        ]


def _moved(mean: Tensor | None, tensor: Tensor, fraction: Callable[[str], Tensor]) -> Tensor:
    dtype = "float64" if keras.backend.standardize_dtype(tensor.dtype) == "float64" else "float32"
    tensor = ops.cast(tensor, dtype)
    if mean is None:
        return tensor
    share = fraction(dtype)
    return (1.0 - share) * mean + share * tensor
