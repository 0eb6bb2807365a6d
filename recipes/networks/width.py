"""Widths that are numbers of something."""


def whole(width: float, heads: int = 1) -> int:
    """The width as an int, where it counts filters or dimensions.

    Args:
        width: Of the network.
        heads: Attention heads that share it evenly. Defaults to 1.

    Raises:
        ValueError: If it is no whole number, or no multiple of the heads.

    Example:

    >>> whole(8.0, heads=4)
    8
    """
    if not float(width).is_integer():
        raise ValueError(f"`width` must be a whole number here. Received: `width={width}`")
    if heads >= 1 and width % heads:
        raise ValueError(
            f"`width` must be a multiple of `heads`. Received: `width={width:g}`, `heads={heads}`"
        )
    return int(width)
