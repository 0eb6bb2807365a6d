"""Checks of arguments that the functions and callbacks here share."""

import numbers
from collections.abc import Mapping
from typing import Any

from keras_sam.validation import as_float


def fraction(argument: str, value: Any) -> float:
    """Returns `value` as a float if it is a number in [0, 1).

    Args:
        argument: The argument's name, for the message.
        value: What was received.

    Raises:
        TypeError: If it is no number.
        ValueError: If it is outside [0, 1).
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(
            f"`{argument}` must be a number in [0, 1). Received: `{argument}={value!r}`"
        )
    number = as_float(value)
    if not 0 <= number < 1:
        raise ValueError(f"`{argument}` must be in [0, 1). Received: `{argument}={value!r}`")
    return number


def named(argument: str, value: Any, registry: Mapping[str, Any]) -> Any:
    """`registry[value]`, or `value` itself if it is callable.

    Args:
        argument: The argument's name, for the message.
        value: A name or a callable.
        registry: What names there are.

    Raises:
        ValueError: If it is neither.
    """
    if callable(value):
        return value
    if not isinstance(value, str) or value not in registry:
        raise ValueError(
            f"`{argument}` must be one of {sorted(registry)}, or a function. "
            f"Received: `{argument}={value!r}`"
        )
    return registry[value]
