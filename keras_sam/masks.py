"""Pruning masks as state of a model: checked, stored with its weights, and kept exact."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops


def check_masks(
    masks: Mapping[str, Any] | Sequence[Any], trainable: Sequence[Any], weights: Sequence[Any]
) -> dict[str, np.ndarray]:
    """Returns masks as a dict from path to boolean array, or says what does not match.

    Args:
        masks: A dict from `variable.path` to an array, or a list parallel to `trainable` with
            `None` for a dense weight. Arrays are boolean or of 0 and 1.
        trainable: The model's trainable variables, which a list runs parallel to.
        weights: All the model's weights, whose paths a dict may name.

    Raises:
        TypeError: If `masks` is neither a dict nor a list.
        ValueError: If a path is unknown or ambiguous, or an array does not fit its weight.
    """
    if isinstance(masks, Mapping):
        named = dict(masks)
    elif isinstance(masks, Sequence) and not isinstance(masks, str):
        if len(masks) != len(trainable):
            raise ValueError(
                "`masks` as a list must run parallel to model.trainable_variables, "
                f"which has {len(trainable)} entries. Received: `len(masks)={len(masks)}`"
            )
        named = {v.path: m for v, m in zip(trainable, masks, strict=True) if m is not None}
    else:
        raise TypeError(
            "`masks` must be a dict from variable.path to a boolean array, or a list parallel to "
            f"model.trainable_variables. Received: `masks={masks!r}`"
        )
    by_path: dict[str, list[Any]] = {}
    for variable in weights:
        by_path.setdefault(variable.path, []).append(variable)
    checked = {}
    for path, mask in named.items():
        if len(by_path.get(path, [])) != 1:
            raise ValueError(
                "`masks` must name weights of the model by their `path`, each path being that of "
                f"one weight; this model's are {sorted(by_path)}. Received: `{path!r}`"
            )
        array = np.asarray(mask)
        shape = tuple(by_path[path][0].shape)
        if array.shape != shape:
            raise ValueError(
                f"`masks` must have the shape of their weights, {shape} for {path!r}. "
                f"Received: an array of shape {array.shape}"
            )
        if array.dtype != bool and not np.isin(array, (0, 1)).all():
            raise ValueError(
                f"`masks` must be boolean, or of 0 and 1 only. Received: `{path!r}: {array}`"
            )
        checked[path] = array.astype(bool)
    return checked


class Masks(keras.layers.Layer):
    """Holds one boolean variable a masked weight; a part of SAMModel, never called.

    The arrays are written to files by SAMModel, so that a model without masks can load them.

    Args:
        name: Name of the layer, as shown by `summary`. Defaults to "masks".
    """

    def __init__(self, name: str = "masks") -> None:
        super().__init__(name=name, dtype="float32")
        self.built = True
        self._masked: dict[str, tuple[keras.Variable, keras.Variable]] = {}

    @property
    def by_path(self) -> dict[str, keras.Variable]:
        """From the path of each masked weight to its mask."""
        return {path: mask for path, (_, mask) in self._masked.items()}

    def set(self, masks: Mapping[str, np.ndarray], weights: Iterable[keras.Variable]) -> None:
        """Takes on these masks, for weights not named none, and zeroes what they leave out.

        Args:
            masks: As returned by `check_masks`.
            weights: The variables that the paths name.
        """
        for path, (_, mask) in self._masked.items():
            if path not in masks:
                mask.assign(np.ones(mask.shape, bool))
        for weight in weights:
            if weight.path not in masks:
                continue
            if weight.path not in self._masked:
                mask = self.add_weight(
                    shape=weight.shape,
                    initializer="ones",
                    dtype="bool",
                    trainable=False,
                    name=weight.path.replace("/", "_"),
                )
                self._masked[weight.path] = (weight, mask)
            self._masked[weight.path][1].assign(masks[weight.path])
        self.apply()

    def apply(self) -> None:
        """Sets every masked weight to exactly 0.0, whatever an optimizer did to it."""
        for weight, mask in self._masked.values():
            value = ops.convert_to_tensor(weight)  # JAX's `where` takes no variables.
            kept = ops.convert_to_tensor(mask)
            weight.assign(ops.where(kept, value, ops.zeros_like(value)))

    def save_own_variables(self, store: Any) -> None:
        pass

    def load_own_variables(self, store: Any) -> None:
        pass
