"""Checks of arguments that several classes share."""

import math
import numbers
from typing import Any

import numpy as np

LARGEST_INTEGER = 2**63 - 1


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
    number = _number(argument, value, alternative)
    if not math.isfinite(number) or number < 0:
        raise ValueError(f"`{argument}` must be finite and >= 0. Received: `{argument}={value}`")
    return number


def positive(argument: str, value: Any) -> float:
    """Returns `value` as a float if it is a finite number > 0.

    Args:
        argument: The argument's name, for the message.
        value: What was received.

    Raises:
        TypeError: If it is no number (a bool is none).
        ValueError: If it is 0, negative, NaN or infinite.
    """
    number = _number(argument, value)
    if not math.isfinite(number) or number <= 0:
        raise ValueError(f"`{argument}` must be finite and > 0. Received: `{argument}={value}`")
    return number


def integer(argument: str, value: Any, least: int) -> int:
    """Returns `value` as an int if it is an integer >= `least`.

    Args:
        argument: The argument's name, for the message.
        value: What was received.
        least: The smallest allowed value.

    Raises:
        TypeError: If it is no integer (a bool is none).
        ValueError: If it is too small, or beyond all that can be counted to (2^63 - 1).
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(
            f"`{argument}` must be an int >= {least}. "
            f"Received: `{argument}={value!r}` of {type(value)}"
        )
    count = int(value)
    if not least <= count <= LARGEST_INTEGER:
        allowed = f">= {least}" if count < least else f"at most {LARGEST_INTEGER}"
        raise ValueError(f"`{argument}` must be {allowed}. Received: `{argument}={value}`")
    return count


def boolean(argument: str, value: Any) -> bool:
    """Returns `value` as a bool if it is one, of Python or NumPy.

    Args:
        argument: The argument's name, for the message.
        value: What was received.

    Raises:
        TypeError: If it is anything else, 0, 1, `None` and "no" among it.
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(
            f"`{argument}` must be a bool. Received: `{argument}={value!r}` of {type(value)}"
        )
    return bool(value)


def floats(argument: str, value: Any, least: int = 0) -> np.ndarray:
    """Returns `value` as a float64 array of one axis, if it is a sequence of real numbers.

    Args:
        argument: The argument's name, for the message.
        value: What was received.
        least: The smallest allowed length.

    Raises:
        TypeError: If it is anything else.
        ValueError: If it has not one axis, or is too short.
    """
    try:
        array = np.asarray(value)
    except (RuntimeError, TypeError, ValueError):  # Of rows of different lengths, for one.
        array = np.array(None)
    if array.dtype.kind not in "iuf":
        raise TypeError(
            f"`{argument}` must be a sequence of numbers. "
            f"Received: `{argument}={value!r}` of {type(value)}"
        )
    if array.ndim != 1 or len(array) < least:
        raise ValueError(
            f"`{argument}` must be of one axis and at least {least} long. "
            f"Received: `{argument}` of shape {array.shape}"
        )
    return array.astype(np.float64)


def as_float(number: Any) -> float:
    """The number as a float; an int beyond all floats is infinite."""
    try:
        return float(number)
    except OverflowError:
        return math.copysign(math.inf, number > 0 or -1)


def _number(argument: str, value: Any, alternative: str = "") -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(
            f"`{argument}` must be a number{alternative}. "
            f"Received: `{argument}={value!r}` of {type(value)}"
        )
    return as_float(value)
