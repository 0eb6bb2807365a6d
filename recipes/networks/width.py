"""Widths that are numbers of something."""


def whole(width: float) -> int:
    """The width as an int, where it counts filters or dimensions.

    Raises:
        ValueError: If it is no whole number.
    """
    if not float(width).is_integer():
        raise ValueError(f"`width` must be a whole number here. Received: `width={width}`")
    return int(width)
