"""One process at a time in a folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
from collections.abc import Iterator


@contextlib.contextmanager
def locked(folder: str | os.PathLike[str], wait: bool = False) -> Iterator[None]:
    """Makes the folder and holds it; the lock ends with the process, however that dies.

    A folder that is empty at the end is removed.

    Args:
        folder: The folder.
        wait: Whether to wait for a process that holds it. Defaults to `False`.

    Raises:
        RuntimeError: If another process holds the folder and this one is not to wait.

    Example:

    ```python
    with locked("runs/digits/default"):
        ...
    ```
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise RuntimeError(f"{folder} is in use by another process.") from error
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                folder.rmdir()
    finally:
        os.close(descriptor)
