"""Decoded arrays on disk: what has been read once needs neither TensorFlow nor time again."""

from __future__ import annotations

import io
import os
import pathlib
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping

import numpy as np
import platformdirs

from recipes.files import write_atomically

VARIABLE = "KERAS_SAM_CACHE"


def cached(
    name: str, names: tuple[str, ...], build: Callable[[], Mapping[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Reads arrays from the cache; where they are not there, or damaged, builds and keeps them.

    The file is NAME.npz in the folder that the environment variable KERAS_SAM_CACHE names, or else
    in the user's cache folder. It is written under another name and renamed: no crash and no other
    process leaves a part of it. Where nothing can be written, a warning says so.

    Args:
        name: The file's name.
        names: Names of the arrays.
        build: Makes the arrays, by these names.

    Returns:
        The arrays by their names.

    Example:

    ```python
    arrays = cached("squares", ("y",), lambda: {"y": np.arange(10) ** 2})
    ```
    """
    path = folder() / f"{name}.npz"
    arrays = _read(path, names)
    if arrays is not None:
        return arrays
    arrays = {key: np.asarray(array) for key, array in build().items()}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # NumPy's stubs mean other keywords.
    try:
        write_atomically(path, buffer.getvalue())
    except OSError as error:
        warnings.warn(
            f"{name} cannot be kept for the next time ({error}). Let the environment variable "
            f"{VARIABLE} name a folder that can be written to.",
            stacklevel=2,
        )
    return arrays


def folder() -> pathlib.Path:
    """The cache's folder, which may not be there yet."""
    return pathlib.Path(os.environ.get(VARIABLE) or platformdirs.user_cache_path("keras_sam"))


def _read(path: pathlib.Path, names: tuple[str, ...]) -> dict[str, np.ndarray] | None:
    """The arrays of a file that is whole; NumPy checks the sums that are kept beside them."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    # NumPy takes what is no archive for a pickle, and says so by a ValueError.
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error):
        return None
    return arrays if set(arrays) == set(names) else None
