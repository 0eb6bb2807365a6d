"""Checks of arguments that several measures share."""

import math
import numbers
from typing import Any


def positive_integer(argument: str, value: Any, least: int = 1) -> int:
    """Returns `value` as an int if it is an integer >= `least`.

    Args:
        argument: The argument's name, for the message.
        value: What was received.
        least: The smallest allowed value.

    Raises:
        TypeError: If it is no integer (a bool is none).
        ValueError: If it is too small.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(
            f"`{argument}` must be an int. Received: `{argument}={value!r}` of {type(value)}"
        )
    if value < least:
        raise ValueError(f"`{argument}` must be >= {least}. Received: `{argument}={value}`")
    return int(value)


def positive(argument: str, value: Any) -> float:
    """Returns `value` as a float if it is a finite number > 0.

    Args:
        argument: The argument's name, for the message.
        value: What was received.

    Raises:
        TypeError: If it is no number (a bool is none).
        ValueError: If it is not positive, NaN or infinite.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(
            f"`{argument}` must be a number. Received: `{argument}={value!r}` of {type(value)}"
        )
    if not math.isfinite(value) or value <= 0:
        raise ValueError(f"`{argument}` must be finite and > 0. Received: `{argument}={value}`")
    return float(value)
