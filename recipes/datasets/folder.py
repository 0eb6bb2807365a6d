"""Prepared arrays in a folder that the user names."""

from __future__ import annotations

import os
import pathlib
import zipfile
from collections.abc import Sequence

import numpy as np

VARIABLE = "KERAS_SAM_DATA"


def prepared_arrays(file: str, names: Sequence[str], what: str) -> dict[str, np.ndarray]:
    """Reads a .npz file from the folder that the environment variable KERAS_SAM_DATA names.

    Args:
        file: The file, relative to the folder.
        names: Arrays that it must hold.
        what: What the file holds, for messages.

    Returns:
        The arrays by their names.

    Raises:
        ValueError: If the variable is not set, the file is not there, cannot be read, or lacks an
            array.

    Example:

    ```python
    arrays = prepared_arrays("graphs/molecules.npz", ("edges", "y"), "molecules")
    ```
    """
    folder = os.environ.get(VARIABLE)
    path = pathlib.Path(folder or ".") / file
    if not folder or not path.is_file():
        raise ValueError(
            f"{what} must be prepared as {file}, with the arrays {', '.join(names)}, in the folder "
            f"that the environment variable {VARIABLE} or the flag --data-dir names. "
            f"Received: `{VARIABLE}={folder}`"
        )
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} cannot be read, prepare it anew: {error}") from error
    missing = [name for name in names if name not in arrays]
    if missing:
        raise ValueError(
            f"{path} must hold the arrays {', '.join(names)}. Received: none named {missing[0]}"
        )
    return arrays


def strings(array: np.ndarray) -> list[str]:
    """The strings of an array of UTF-8 bytes, joined by newlines."""
    return array.tobytes().decode().split("\n")
