"""Says what a request needs before it is tried."""

import psutil


class NotEnoughMemoryError(ValueError):
    """The machine has less main memory left than a request needs."""


def require_memory(needed: float, purpose: str, remedy: str) -> None:
    """Raises if the machine has less main memory left than a request needs.

    Args:
        needed: Bytes.
        purpose: What needs them, as the subject of a sentence.
        remedy: What would need less, and the arguments as received.

    Raises:
        NotEnoughMemoryError: If `needed` exceeds the memory that is available now.
    """
    available = available_memory()
    if needed > available:
        raise NotEnoughMemoryError(
            f"{purpose} would need {needed / 2**30:.3g} GiB of memory, and "
            f"{available / 2**30:.3g} GiB are available. {remedy}"
        )


def available_memory() -> int:
    """Bytes of main memory that can be had without swapping."""
    return psutil.virtual_memory().available
