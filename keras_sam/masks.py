"""Pruning masks as state of a model: checked, stored with its weights, and kept exact."""

import base64
import math
import zlib
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
        path = path if path in by_path else _after_loading(path, by_path)
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


def packed(mask: np.ndarray) -> dict[str, Any]:
    """A boolean array as a config has it: its shape, and its bits compressed, in base 64."""
    bits = zlib.compress(np.packbits(mask).tobytes())
    return {"shape": list(mask.shape), "bits": base64.b64encode(bits).decode()}


def unpacked(config: Mapping[str, Any]) -> np.ndarray:
    """What `packed` was given.

    Example:

    >>> unpacked(packed(np.array([[True, False], [True, True]]))).tolist()
    [[True, False], [True, True]]
    """
    bits = np.frombuffer(zlib.decompress(base64.b64decode(config["bits"])), np.uint8)
    size = math.prod(config["shape"])
    return np.unpackbits(bits, count=size).astype(bool).reshape(config["shape"])


def _after_loading(path: Any, paths: Iterable[str]) -> Any:
    """The one path that is this one without the name of a Sequential, or has one more.

    A Sequential gives its name to its weights where it is built, but not where it is loaded.
    """
    if not isinstance(path, str):
        return path
    same = [p for p in paths if path.endswith(f"/{p}") or p.endswith(f"/{path}")]
    return same[0] if len(same) == 1 else path


def places(weights: Iterable[keras.Variable]) -> dict[str, str]:
    """From the path of each weight to where it stands: the number of its layer, and its name.

    Layers that are made anew have other names, and LoRA and quantization put other weights in their
    place or between them. Their order, and the name of a weight within its layer, stay.
    """
    layers: dict[str, int] = {}
    found = {}
    for weight in weights:
        layer, _, name = weight.path.rpartition("/")
        found[weight.path] = f"{layers.setdefault(layer, len(layers))}_{name}"
    return found


class Masks(keras.layers.Layer):
    """Holds one boolean variable a masked weight; a part of SAMModel, never called.

    It knows weights by their paths alone: quantization puts others in their place. The arrays are
    written to files by SAMModel, so that a model without masks can load them.

    Args:
        name: Name of the layer, as shown by `summary`. Defaults to "masks".
    """

    def __init__(self, name: str = "masks") -> None:
        super().__init__(name=name, dtype="float32")
        self.built = True
        self._by_path: dict[str, keras.Variable] = {}

    def of(self, weights: Iterable[keras.Variable]) -> dict[str, keras.Variable]:
        """From the path of each of these weights that is masked to its mask.

        A weight that has got another shape since (int4 packs two in one) is not masked any more.
        """
        return {
            weight.path: self._by_path[weight.path]
            for weight in weights
            if weight.path in self._by_path
            and tuple(weight.shape) == tuple(self._by_path[weight.path].shape)
        }

    def set(self, masks: Mapping[str, np.ndarray], weights: Sequence[keras.Variable]) -> None:
        """Takes on these masks, for weights not named none, and zeroes what they leave out.

        Args:
            masks: As returned by `check_masks`.
            weights: The variables that the paths name.
        """
        present = self.of(weights)
        for path, mask in present.items():
            if path not in masks:
                mask.assign(np.ones(mask.shape, bool))
        for weight in weights:
            if weight.path not in masks:
                continue
            if weight.path not in present:
                self._by_path[weight.path] = self.add_weight(
                    shape=weight.shape,
                    initializer="ones",
                    dtype="bool",
                    trainable=False,
                    name=weight.path.replace("/", "_"),
                )
            self._by_path[weight.path].assign(masks[weight.path])
        self.apply(weights)

    def apply(self, weights: Sequence[keras.Variable]) -> None:
        """Sets every masked one of these weights to exactly 0, whatever was done to it."""
        masks = self.of(weights)
        for weight in weights:
            if weight.path in masks:
                value = ops.convert_to_tensor(weight)  # JAX's `where` takes no variables.
                kept = ops.convert_to_tensor(masks[weight.path])
                weight.assign(ops.where(kept, value, ops.zeros_like(value)))

    def quantize(self, *args: Any, **kwargs: Any) -> None:
        """Does nothing: masks are bits already."""

    def save_own_variables(self, store: Any) -> None:
        pass

    def load_own_variables(self, store: Any) -> None:
        pass
