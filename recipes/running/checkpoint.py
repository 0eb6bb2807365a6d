"""The state of a run after an epoch, in one file that is either whole or not there."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pathlib
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from recipes.files import write_atomically

# Names in the file, beside those of variables. The first is that of version 0.1.
_PROGRESS, _PLAIN, _OWN = "state", "plain", "own_"


class Checkpoint:
    """Saves and restores the values of variables, what else training has, and how far it is.

    The file is written under another name, flushed to disk and renamed, so that a process killed at
    any moment leaves the previous checkpoint or the new one. Each replica's own value is kept:
    BatchNorm statistics differ between the replicas of a MirroredStrategy.

    Args:
        path: The file.

    Example:

    ```python
    checkpoint = Checkpoint("runs/digits/default/checkpoint.npz")
    checkpoint.save(variables, {"epoch": 3}, {"random": generator.integers(9, size=2)})
    checkpoint.progress()               # {"epoch": 3}; None if there is no file
    checkpoint.restore(variables)       # {"random": array([...])}
    ```
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = pathlib.Path(path)

    def save(
        self,
        variables: Sequence[keras.Variable],
        progress: Mapping[str, Any],
        state: Mapping[str, Any] | None = None,
    ) -> None:
        """Replaces the file.

        Args:
            variables: Whose values are saved.
            progress: Plain data, which can be read without restoring anything.
            state: Plain data and NumPy arrays, by name. Defaults to none.
        """
        arrays = {}
        for index, variable in enumerate(variables):
            for replica, component in enumerate(_components(variable)):
                arrays[f"{index}_{replica}"] = keras.ops.convert_to_numpy(component)
        state = state or {}
        own = {key: value for key, value in state.items() if isinstance(value, np.ndarray)}
        plain = {key: value for key, value in state.items() if key not in own}
        arrays |= {_OWN + key: value for key, value in own.items()}
        arrays[_PROGRESS] = _bytes(progress)
        if plain:
            arrays[_PLAIN] = _bytes(plain)
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        write_atomically(self.path, buffer.getvalue())

    def progress(self) -> dict[str, Any] | None:
        """What was saved as `progress`; `None` without a file."""
        if not self.path.exists():
            return None
        with self._opened() as file:
            return _plain(file[_PROGRESS])

    def restore(self, variables: Sequence[keras.Variable]) -> dict[str, Any]:
        """Gives the variables their saved values and returns the state.

        Raises:
            ValueError: If the file is that of other variables, or of another number of replicas.
                No variable is changed then.
        """
        with self._opened() as file:
            arrays = dict(file)
        del arrays[_PROGRESS]
        state = _plain(arrays.pop(_PLAIN)) if _PLAIN in arrays else {}
        for key in [key for key in arrays if key.startswith(_OWN)]:
            state[key.removeprefix(_OWN)] = arrays.pop(key)
        targets = {
            f"{index}_{replica}": component
            for index, variable in enumerate(variables)
            for replica, component in enumerate(_components(variable))
        }
        shapes = {key: tuple(target.shape) for key, target in targets.items()}
        saved = {key: array.shape for key, array in arrays.items()}
        if saved != shapes:
            raise ValueError(
                f"{self.path} holds the state of another network or of another number of devices; "
                "remove it to start this run afresh. "
                f"Received: {len(saved)} arrays for {len(shapes)}"
            )
        for index, variable in enumerate(variables):
            if f"{index}_1" not in targets:
                variable.assign(arrays[f"{index}_0"])
                continue
            for replica, component in enumerate(_components(variable)):
                component.assign(arrays[f"{index}_{replica}"])
        return state

    def remove(self) -> None:
        """Removes the file, if it is there, and what killed processes have left of others."""
        self.path.unlink(missing_ok=True)
        self.clean()

    def clean(self) -> None:
        """Removes what processes that were killed while they wrote have left."""
        for left in self.path.parent.glob(f".{self.path.name}.*"):
            left.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Any]:
        try:
            with np.load(self.path, allow_pickle=False) as file:
                yield file
        # NumPy takes what is no archive for a pickle, and says so.
        except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError) as error:
            raise ValueError(
                f"{self.path} is damaged; remove it to start this run afresh. "
                f"Received: a file of {self.path.stat().st_size} bytes ({type(error).__name__})"
            ) from error


def _bytes(data: Mapping[str, Any]) -> np.ndarray:
    return np.frombuffer(json.dumps(dict(data)).encode(), np.uint8)


def _plain(array: np.ndarray) -> dict[str, Any]:
    return json.loads(array.tobytes())


def _components(variable: keras.Variable) -> list[Any]:
    """The variable's value on each replica; one entry without a distribution strategy."""
    value = variable.value
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if isinstance(value, tf.distribute.DistributedValues):
            return list(value.values)
    return [value]
