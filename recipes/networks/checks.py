"""Checks of networks' arguments."""

from __future__ import annotations


def check_sizes(**sizes: object) -> None:
    """Raises a ValueError unless all are integers >= 1."""
    for argument, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ValueError(
                f"`{argument}` must be an integer >= 1. Received: `{argument}={size!r}`"
            )


def check_dropout(dropout: float) -> None:
    """Raises a ValueError unless it is a share in [0, 1)."""
    if isinstance(dropout, bool) or not 0.0 <= dropout < 1.0:
        raise ValueError(f"`dropout` must be in [0, 1). Received: `dropout={dropout!r}`")


def scaled(width: float, *sizes: int) -> list[int]:
    """The sizes times a factor, rounded.

    Raises:
        ValueError: If it is no positive number, or one of the sizes would be 0.
    """
    results = [round(size * width) if 0 < width < float("inf") else 0 for size in sizes]
    if min(results) < 1:
        raise ValueError(
            f"`width` must be a finite number that leaves at least 1 of each of {sizes}. "
            f"Received: `width={width!r}`"
        )
    return results
