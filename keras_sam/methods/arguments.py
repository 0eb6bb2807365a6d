"""Checks of the rules' arguments."""

import numbers
from typing import Any

from keras_sam.validation import as_float


def number_in(
    argument: str, value: Any, low: float, high: float = float("inf"), ends: str = "[)"
) -> None:
    """Raises unless `value` is a number from `low` to `high`.

    Args:
        argument: The argument's name, for the message.
        value: What was received.
        low: The lower end.
        high: The upper end. Defaults to infinity.
        ends: "[" and "]" where the end belongs to the range, "(" and ")" where it does not.

    Raises:
        TypeError: If it is no number (a bool is none).
        ValueError: If it lies outside.
    """
    allowed = f"a number in {ends[0]}{low:g}, {high:g}{ends[1]}"
    received = f"Received: `{argument}={value!r}`"
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"`{argument}` must be {allowed}. {received}")
    number = as_float(value)
    above = number >= low if ends[0] == "[" else number > low
    below = number <= high if ends[1] == "]" else number < high
    if not (above and below):
        raise ValueError(f"`{argument}` must be {allowed}. {received}")
