"""A folder belongs to one set of settings."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from recipes.files import write_atomically


def claim(path: str | os.PathLike[str], settings: Mapping[str, Any], update: bool = False) -> None:
    """Writes settings to a file, or checks that they are those in it.

    Args:
        path: The file.
        settings: Plain data.
        update: If `True`, the settings replace those in the file. Defaults to `False`.

    Raises:
        ValueError: If the file holds other settings.
    """
    path = pathlib.Path(path)
    mine = json.loads(json.dumps(settings))  # By way of JSON, for what is the same there.
    if path.exists() and not update:
        differences = _differences(read_settings(path), mine)
        if differences:
            raise ValueError(
                f"{path.parent} holds a search with other settings. Take another folder, or allow "
                "the update to go on in this one. Received: " + "; ".join(differences)
            )
    else:
        write_atomically(path, json.dumps(mine, indent=1).encode())


def read_settings(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The settings in a file.

    Raises:
        ValueError: If the file holds none, as after a full disk.
    """
    path = pathlib.Path(path)
    try:
        settings = json.loads(path.read_bytes())
    except ValueError as error:
        settings = error
    if not isinstance(settings, dict):
        raise ValueError(
            f"{path} is damaged: it must hold the settings of a search. Remove it, and the same "
            "command goes on with the records that are there."
        )
    return settings


def _differences(before: Any, now: Any, name: str = "") -> list[str]:
    """What differs between two pieces of plain data, by the path to it."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        found = []
        for key in [*before, *(key for key in now if key not in before)]:
            path = f"{name}.{key}" if name else key
            found += _differences(before.get(key), now.get(key), path)
        return found
    return [] if before == now else [f"{name}: {before} -> {now}"]
