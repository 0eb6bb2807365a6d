"""The state of a run after an epoch, in one file that is either whole or not there."""

from __future__ import annotations

import io
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from recipes.files import write_atomically


class Checkpoint:
    """Saves and restores the values of variables, with a small JSON state beside them.

    The file is written under another name, flushed to disk and renamed, so that a process killed at
    any moment leaves the previous checkpoint or the new one. Each replica's own value is kept:
    BatchNorm statistics differ between the replicas of a MirroredStrategy.

    Args:
        path: The file.

    Example:

    ```python
    checkpoint = Checkpoint("runs/digits/default/checkpoint.npz")
    checkpoint.save(variables, {"epoch": 3})
    state = checkpoint.restore(variables)     # {"epoch": 3}; None if there is no file
    ```
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = pathlib.Path(path)

    def save(self, variables: Sequence[keras.Variable], state: Mapping[str, Any]) -> None:
        """Replaces the file by these values and this state."""
        arrays = {}
        for index, variable in enumerate(variables):
            for replica, component in enumerate(_components(variable)):
                arrays[f"{index}_{replica}"] = keras.ops.convert_to_numpy(component)
        arrays["state"] = np.frombuffer(json.dumps(dict(state)).encode(), np.uint8)
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        write_atomically(self.path, buffer.getvalue())

    def state(self) -> dict[str, Any] | None:
        """The saved state; `None` without a file."""
        if not self.path.exists():
            return None
        with np.load(self.path, allow_pickle=False) as file:
            return json.loads(file["state"].tobytes())

    def restore(self, variables: Sequence[keras.Variable]) -> dict[str, Any] | None:
        """Gives the variables their saved values and returns the state; `None` without a file.

        Raises:
            ValueError: If the file is that of other variables, or of another number of replicas.
                No variable is changed then.
        """
        if not self.path.exists():
            return None
        with np.load(self.path, allow_pickle=False) as file:
            arrays = dict(file)
        state = json.loads(arrays.pop("state").tobytes())
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
        """Removes the file, if it is there."""
        self.path.unlink(missing_ok=True)


def _components(variable: keras.Variable) -> list[Any]:
    """The variable's value on each replica; one entry without a distribution strategy."""
    value = variable.value
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if isinstance(value, tf.distribute.DistributedValues):
            return list(value.values)
    return [value]
