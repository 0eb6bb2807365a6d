"""What a record says of the place where it was made."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from typing import Any


def environment(*packages: str) -> dict[str, Any]:
    """Versions of Python and of some packages, and the machine.

    Args:
        *packages: Names of installed packages. Defaults to NumPy and SciPy.

    Example:

    >>> sorted(environment("numpy"))
    ['device', 'numpy', 'platform', 'python']
    """
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        **{name: importlib.metadata.version(name) for name in packages or ("numpy", "scipy")},
        "device": cpu(),
    }


def cpu() -> str:
    """The CPU with its number of cores."""
    return f"CPU ({platform.machine()}, {os.cpu_count()} cores)"
