"""One process at a time in a folder."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterator

import filelock


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
    file = folder / ".lock"
    lock = filelock.FileLock(file)
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except filelock.Timeout as error:
        raise RuntimeError(f"{folder} is in use by another process.") from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            file.unlink()  # While it is held: who waits for it sees that, and makes it anew.
        lock.release()
        with contextlib.suppress(OSError):
            folder.rmdir()
