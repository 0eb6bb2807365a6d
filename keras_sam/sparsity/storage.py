"""Arrays of many zeros as compressed bytes, to measure what a pruned model takes to store."""

import math
import zlib

import numpy as np

DENSE, SPARSE = b"d", b"s"


def pack(array: np.ndarray) -> bytes:
    """The array's numbers, compressed: all of them, or a bit mask and those that are not zero.

    Whichever is shorter is taken. Shape and dtype are not stored; the model knows them.

    Args:
        array: An array of any shape.

    Returns:
        Bytes that `unpack` turns back into equal numbers.

    Example:

    >>> zeros = np.zeros(10_000, "float32")
    >>> zeros[::10] = np.random.default_rng(0).normal(size=1000)
    >>> len(pack(zeros)) < 5_500  # of 40,000 bytes: 1,000 numbers, and 10,000 bits compressed
    True
    >>> bool((unpack(pack(zeros), (10_000,), "float32") == zeros).all())
    True
    """
    kept = array != 0
    sparse = zlib.compress(np.packbits(kept).tobytes() + array[kept].tobytes())
    dense = zlib.compress(np.ascontiguousarray(array).tobytes())
    return SPARSE + sparse if len(sparse) < len(dense) else DENSE + dense


def unpack(packed: bytes, shape: tuple[int, ...], dtype: np.dtype | str) -> np.ndarray:
    """The array that was packed.

    Args:
        packed: From `pack`.
        shape: The array's shape.
        dtype: The array's dtype.

    Returns:
        The array.
    """
    data = zlib.decompress(packed[1:])
    if packed[:1] == DENSE:
        return np.frombuffer(data, dtype).reshape(shape).copy()
    size = math.prod(shape)
    mask_bytes = -(-size // 8)
    kept = np.unpackbits(np.frombuffer(data[:mask_bytes], np.uint8), count=size).astype(bool)
    array = np.zeros(size, dtype)
    array[kept] = np.frombuffer(data[mask_bytes:], dtype)
    return array.reshape(shape)
