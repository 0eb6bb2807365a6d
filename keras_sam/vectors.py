"""Lists of tensors as one long vector: its norm, its products, its moving average.

A list runs parallel to the weights; `None` stands for a tensor that is not there, which counts as
zero. Arithmetic is in float32, for float64 tensors in float64, whatever Keras's backend makes of
the two; results have the dtype of the tensors again where the function says so.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

Tensor = Any
Vector = list[Tensor | None]

EPSILON = 1e-12  # Added to a norm before it divides.
# (limit, power): where an entry is above the limit, all are multiplied by this power of two before
# they are squared; where all are below 1 / limit, by 1 / power. No bit changes in between, nothing
# overflows above for up to 2^39 entries, and nothing vanishes below.
_RANGES = {"float32": (2.0**44, 2.0**-84), "float64": (2.0**480, 2.0**-544)}


def norm(tensors: Sequence[Tensor | None]) -> Tensor:
    """The l2 norm of all tensors together: `sqrt(sum_i ||t_i||^2)`.

    Args:
        tensors: Tensors of any shapes; `None` counts as zero.

    Returns:
        A scalar, float32 unless a tensor is float64. It is right where the squares overflow, or
        vanish.

    Example:

    >>> from keras import ops
    >>> float(norm([ops.convert_to_tensor([3.0]), None, ops.convert_to_tensor([[4.0]])]))
    5.0
    """
    scaled, power = rescaled(tensors)
    return plain_norm(scaled) / power


def unit(tensors: Sequence[Tensor | None]) -> Vector:
    """The vector of length 1 in the same direction, `t / ||t||`, in the wide dtype; 0 for 0."""
    scaled, _ = rescaled(tensors)
    return plain_unit(scaled)


def dot(a: Sequence[Tensor | None], b: Sequence[Tensor | None]) -> Tensor:
    """The scalar product of two vectors."""
    return _sum(
        [
            ops.sum(wide(x) * wide(y))
            for x, y in zip(a, b, strict=True)
            if x is not None and y is not None
        ]
    )


def combine(*terms: tuple[Any, Sequence[Tensor | None]], like: Sequence[Tensor | None]) -> Vector:
    """`a x + b y + ...`, in the dtypes of `like`; `None` where that is, or where no term is.

    Args:
        *terms: Pairs `(a, x)` of a number, or a scalar tensor, and a vector.
        like: The vector whose dtypes the result takes.

    Example:

    >>> from keras import ops
    >>> x, y = [ops.ones(2), None], [ops.ones(2), ops.ones(1)]
    >>> [[float(entry) for entry in t] for t in combine((2.0, x), (0.5, y), like=y)]
    [[2.5, 2.5], [0.5]]
    """
    result: Vector = []
    for like_i, *tensors in zip(like, *(x for _, x in terms), strict=True):
        products = [
            _times(wide(t), factor)
            for (factor, _), t in zip(terms, tensors, strict=True)
            if t is not None
        ]
        if like_i is None or not products:
            result.append(None)
        else:
            result.append(ops.cast(sum(products[1:], products[0]), like_i.dtype))
    return result


def moving_average(
    old: Sequence[Tensor], new: Sequence[Tensor | None], decay: float, started: Tensor
) -> list[Tensor]:
    """`decay * old + (1 - decay) * new`, in the dtypes of `old`; at the start, `new` itself.

    Args:
        old: The average so far.
        new: What enters it; `None` leaves an entry as it is.
        decay: In [0, 1]. With 0 the result is `new`, bit for bit.
        started: A scalar tensor, 0 at the first call and above 0 from then on.
    """
    result = []
    for o, n in zip(old, new, strict=True):
        if n is not None:
            # Weights of two scalars each, exact in the dtype that they are used in.
            one, kept, entering = (
                scalar(number, wide_dtype(o.dtype)) for number in (1.0, decay, 1.0 - decay)
            )
            kept = ops.where(started > 0, kept, ops.zeros_like(one))
            entering = ops.where(started > 0, entering, one)
            o = ops.cast(kept * wide(o) + entering * wide(n), o.dtype)
        result.append(o)
    return result


def rescaled(tensors: Sequence[Tensor | None]) -> tuple[Vector, Tensor]:
    """The vector in its wide dtype, times a power of two that keeps its squares within range.

    Returns:
        The vector and the power: 1, which changes no bit, unless the squares, or their sum, may
        overflow, or all of them vanish.
    """
    vector = [None if t is None else wide(t) for t in tensors]
    # The squares of all float16 numbers are well within float32.
    candidates = [
        ops.max(ops.abs(w))
        for t, w in zip(tensors, vector, strict=True)
        if t is not None
        and keras.backend.standardize_dtype(t.dtype) != "float16"
        and 0 not in t.shape
    ]
    if not candidates:
        return vector, 1.0
    dtype = common_dtype(candidates)
    limit, power = _RANGES["float32" if any(_is_narrow(t) for t in candidates) else "float64"]
    greatest = ops.max(ops.stack([ops.cast(c, dtype) for c in candidates]))
    down, one, up = (scalar(number, dtype) for number in (power, 1.0, 1.0 / power))
    factor = ops.where(
        greatest > scalar(limit, dtype),
        down,
        ops.where(greatest < scalar(1.0 / limit, dtype), up, one),
    )
    return [None if t is None else t * ops.cast(factor, t.dtype) for t in vector], factor


def plain_norm(tensors: Sequence[Tensor | None]) -> Tensor:
    """The norm of a vector that `rescaled` returned."""
    squares = [ops.sum(ops.square(t)) for t in tensors if t is not None]
    return ops.sqrt(_sum(squares))


def plain_unit(tensors: Sequence[Tensor | None]) -> Vector:
    """As `unit`, of a vector whose squares are known to be within range."""
    vector = [None if t is None else wide(t) for t in tensors]
    length = plain_norm(vector)
    one = ops.ones_like(length)
    factor = ops.where(length > 0, one / ops.where(length > 0, length, one), ops.zeros_like(one))
    return [None if t is None else t * ops.cast(factor, t.dtype) for t in vector]


def inverse(length: Tensor, power: Any = 1.0) -> Tensor:
    """`1 / (length + 1e-12 power)`, finite where there is no direction.

    Args:
        length: A norm, of a vector that was multiplied by `power`.
        power: A number or a scalar tensor. Defaults to 1.0.
    """
    return 1.0 / (length + EPSILON * scalar(power, wide_dtype(length.dtype)))


def scalar(value: Any, dtype: str) -> Tensor:
    """A number, or a scalar tensor, as a tensor of this dtype; a number at its full precision."""
    if isinstance(value, int | float):
        return ops.convert_to_tensor(value, dtype=dtype)
    return ops.cast(value, dtype)


def wide(tensor: Tensor) -> Tensor:
    """The tensor in the dtype that sums are made in."""
    return ops.cast(tensor, wide_dtype(tensor.dtype))


def wide_dtype(dtype: Any) -> str:
    """float64 for float64, else float32. Keras's `result_type` knows float64 on TensorFlow only."""
    return "float64" if keras.backend.standardize_dtype(dtype) == "float64" else "float32"


def common_dtype(tensors: Sequence[Tensor]) -> str:
    """float64 if one of the tensors is, else float32."""
    return "float32" if all(_is_narrow(t) for t in tensors) else "float64"


def _times(tensor: Tensor, factor: Any) -> Tensor:
    """The product; no operation where the factor is the number 1."""
    if isinstance(factor, int | float) and factor == 1:
        return tensor
    return scalar(factor, tensor.dtype) * tensor


def _sum(scalars: Sequence[Tensor]) -> Tensor:
    if not scalars:
        return ops.zeros((), "float32")
    dtype = common_dtype(scalars)
    first, *others = (ops.cast(s, dtype) for s in scalars)
    return sum(others, first)


def _is_narrow(tensor: Tensor) -> bool:
    return wide_dtype(tensor.dtype) == "float32"
