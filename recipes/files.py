"""Files that a crash cannot spoil, and lines of strict JSON in them."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import pathlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Writes a file so that a crash leaves the old content or the new, never a part.

    Raises:
        OSError: If it cannot be written, with the file's name. The old content is still there.
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with _naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise


def append_line(path: str | os.PathLike[str], text: str) -> None:
    """Appends a line so that a crash or another writer never mixes two lines.

    The line goes out in one write to a file opened for appending, and is on disk on return. What a
    crash tore off before is closed by a newline first, so that it costs no line but itself.
    """
    path = pathlib.Path(path)
    with _naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    line = text.encode() + b"\n"
    with _naming(path), open(path, "ab+", buffering=0) as file:
        if file.tell() > 0:
            file.seek(-1, os.SEEK_END)
            line = line if file.read(1) == b"\n" else b"\n" + line
        written = file.write(line)  # Unbuffered: one system call, which appends whatever the seek.
        if written != len(line):
            raise OSError(errno.ENOSPC, f"Only {written} of {len(line)} bytes were written")
        os.fsync(file.fileno())


def read_lines(file: str | os.PathLike[str], parse: Callable[[str], T]) -> list[T]:
    """Parses every line of a file; one that cannot be parsed is reported and skipped.

    Args:
        file: The file; if it does not exist, it has no lines.
        parse: From a line to what it stands for; for a line that is none, it raises.
    """
    file = pathlib.Path(file)
    if not file.exists():
        return []
    parsed = []
    for number, line in enumerate(file.read_bytes().split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            parsed.append(parse(line.decode()))
        except Exception as error:  # Whatever odd JSON leads to.
            warnings.warn(
                f"{file}, line {number}, is no record (torn by a crash?) and is skipped: "
                f"{line[:60]!r}... ({type(error).__name__})",
                stacklevel=2,
            )
    return parsed


@contextlib.contextmanager
def _naming(path: pathlib.Path) -> Iterator[None]:
    """Lets an error say which file it is about, as those of `write` do not."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def finite(value: Any) -> Any:
    """Plain data for strict JSON, at any depth: what is NaN or infinite is `None`."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def with_nan(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers and lists of numbers by name, with NaN again where `finite` has put `None`."""

    def restore(value: Any) -> Any:
        return math.nan if value is None else value

    return {
        key: [restore(item) for item in value] if isinstance(value, list) else restore(value)
        for key, value in metrics.items()
    }
