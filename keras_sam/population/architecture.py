"""Whether networks are of one architecture, so that their weights can be stacked."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_sam.backend import keras_internals, module_state

# What may differ between networks whose computation is the same.
_OWN = ("name", "seed", "build_config", "dtype")


def signature(network: keras.Model) -> list[tuple[str, Any]]:
    """What must be equal: layers with their settings, variables with their shapes.

    Names, seeds and initializers are left out.
    """
    layers = [
        (type(layer).__name__, _setting(_config(layer)))
        for layer in keras_internals.all_layers(network)
        if not isinstance(layer, keras.Model)
    ]
    variables = [
        (kind, (variable.name, tuple(variable.shape), variable.dtype))
        for kind, group in (
            ("trainable", network.trainable_variables),
            ("state", state(network)),
        )
        for variable in group
    ]
    return [*layers, *variables]


def state(network: keras.Model) -> list[keras.Variable]:
    """What a network has besides trainable weights."""
    return [*network.non_trainable_variables, *module_state(network)]


def check_same(
    first: Sequence[tuple[str, Any]], other: Sequence[tuple[str, Any]], seed: Any
) -> None:
    """Raises if two signatures differ.

    Raises:
        ValueError: If so; names the first difference.
    """
    if list(first) == list(other):
        return
    pairs = zip([*first, None], [*other, None], strict=False)
    ours, theirs = next((a, b) for a, b in pairs if a != b)
    raise ValueError(
        "`build` must make networks of one architecture for all seeds: the same layers with the "
        f"same settings and shapes. Received: {ours} and, for seed {seed}, {theirs}"
    )


def _config(layer: keras.Layer) -> Any:
    try:
        with keras_internals.without_tensorflow():
            return layer.get_config()
    except NotImplementedError:  # Keras asks for one only where a layer has arguments of its own.
        return {}


def _setting(config: Any) -> Any:
    """A config as text, without what may differ."""
    if isinstance(config, dict):
        kept = {
            key: _setting(value)
            for key, value in config.items()
            if key not in _OWN and not key.endswith("initializer")
        }
        return str(sorted(kept.items()))
    if isinstance(config, list | tuple):
        return str([_setting(value) for value in config])
    return str(config)
