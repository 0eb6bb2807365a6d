"""Checks of arguments that the functions and callbacks here share."""

import numbers
from collections.abc import Mapping
from typing import Any


def check_sparsity(argument: str, sparsity: Any) -> None:
    """Raises if it is not a number in [0, 1).

    Args:
        argument: The argument's name, for the message.
        sparsity: What was received.

    Raises:
        TypeError: If it is no number.
        ValueError: If it is outside [0, 1).
    """
    if isinstance(sparsity, bool) or not isinstance(sparsity, float | numbers.Real):
        raise TypeError(
            f"`{argument}` must be a number in [0, 1). Received: `{argument}={sparsity!r}`"
        )
    if not 0 <= float(sparsity) < 1:
        raise ValueError(f"`{argument}` must be in [0, 1). Received: `{argument}={sparsity!r}`")


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
