"""Checks of arguments that several classes share."""

import math
import numbers
from typing import Any


def nonnegative(argument: str, value: Any, alternative: str = "") -> float:
    """Returns `value` as a float if it is a finite number >= 0.

    Args:
        argument: The argument's name, for the message.
        value: What was received.
        alternative: What else the argument may be, for the message.

    Raises:
        TypeError: If it is no number (a bool is none).
        ValueError: If it is negative, NaN or infinite.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(
            f"`{argument}` must be a number{alternative}. "
            f"Received: `{argument}={value!r}` of {type(value)}"
        )
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"`{argument}` must be finite and >= 0. Received: `{argument}={value}`")
    return float(value)
