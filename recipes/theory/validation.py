"""Checks of arguments, in one sentence each."""

from typing import Any

import numpy as np


def require(name: str, value: Any, holds: Any, allowed: str) -> None:
    """Raises a ValueError that names the argument unless `holds`, which may be an array."""
    if not np.all(holds):
        raise ValueError(f"`{name}` must be {allowed}. Received: `{name}={value!r}`")


def symmetric_matrices(name: str, value: Any) -> np.ndarray:
    """`value` as floats of shape (n, d, d), if that is what it is.

    Raises:
        ValueError: If it is not, or not finite, or not symmetric.
    """
    array = np.asarray(value, float)
    square = array.ndim == 3 and array.shape[1] == array.shape[2] and array.size > 0
    require(f"{name}.shape", array.shape, square, "(n, d, d), n and d >= 1")
    largest = np.abs(array).max()
    fine = np.isfinite(largest) and np.allclose(
        array, array.swapaxes(1, 2), rtol=0, atol=1e-9 * largest
    )
    require(name, value, fine, "finite and symmetric")
    return array
