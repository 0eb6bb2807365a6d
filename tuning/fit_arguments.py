"""The arguments of `fit` that a user's runs share: checked, copied for each run, told apart."""

from __future__ import annotations

import copy
import hashlib
import inspect
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_sam.backend import keras_internals

# Of `fit`: what examples are made of.
_DATA = ("x", "y", "sample_weight", "validation_data")
# How often and how far two passes over a dataset are compared.
_PASSES, _LOOK = 3, 3

_FACTORY = (
    "pass a function without arguments that makes it: it is called for each run, after the random "
    "states are set to the run's seed"
)


class FitArguments:
    """Arguments of `keras.Model.fit` by name, and the data to test on.

    Data may be given as a function that makes them, and so may callbacks: it is called for each
    run. A `PyDataset` and callbacks are copied for each run, so that none sees what another did.

    Args:
        arguments: Those by position.
        options: Those by name.
        test_data: (x, y), (x, y, sample_weight), a dataset, a function that makes one, or `None`.

    Raises:
        TypeError: If an argument is none of `fit`, or data would be used up by the first run.
        ValueError: If a dataset comes in another order at each pass: runs would not be paired.
    """

    def __init__(
        self, arguments: Sequence[Any], options: Mapping[str, Any], test_data: Any = None
    ) -> None:
        bound = inspect.signature(keras.Model.fit).bind(None, *arguments, **options)
        self.options = {name: value for name, value in bound.arguments.items() if name != "self"}
        self.test_data = test_data
        for name, value in (*self._data().items(), ("test_data", test_data)):
            _check(name, value)

    @property
    def epochs(self) -> int:
        """Epochs of a full run."""
        return int(self.options.get("epochs", 1))

    def of_run(self, epochs: int, more: Sequence[keras.callbacks.Callback]) -> dict[str, Any]:
        """The arguments for one run, with further callbacks."""
        data = {name: _own(value) for name, value in self._data().items()}
        callbacks = [*_callbacks(self.options.get("callbacks")), *more]
        return {**self.options, **data, "epochs": epochs, "callbacks": callbacks}

    def evaluate(self, model: keras.Model) -> dict[str, float]:
        """The metrics of a model on the data to test on."""
        data = _own(self.test_data)
        inputs = {"x": data}
        if isinstance(data, tuple | list):
            inputs = dict(zip(("x", "y", "sample_weight"), data, strict=False))
        return model.evaluate(**inputs, verbose=0, return_dict=True)

    def fingerprint(self) -> dict[str, Any]:
        """What tells these arguments from others, as plain data: shapes and a sum of all arrays."""
        plain = ("epochs", "batch_size", "steps_per_epoch", "class_weight", "shuffle")
        data = {**self._data(), "test_data": self.test_data}
        return {
            **{key: self.options[key] for key in plain if self.options.get(key) is not None},
            **{name: _print(value) for name, value in data.items() if value is not None},
        }

    def _data(self) -> dict[str, Any]:
        return {name: self.options[name] for name in _DATA if self.options.get(name) is not None}


def model_fingerprint(model: keras.Model) -> dict[str, Any]:
    """What tells a compiled model from others, whatever Keras has named its parts."""
    weights = [[list(w.shape), w.dtype] for w in model.weights]
    layers = [
        [type(layer).__name__, _nameless(_or_none(layer.get_config))]
        for layer in keras_internals.all_layers(model)
    ]
    return {
        "parameters": sum(math.prod(w.shape) for w in model.trainable_variables),
        "model": _digest([weights, layers]),
        "compile": _digest(_nameless(_or_none(model.get_compile_config))),
    }


def _check(name: str, value: Any) -> None:
    for part in value if isinstance(value, tuple | list) else [value]:
        if hasattr(part, "__next__"):
            raise TypeError(
                f"`{name}` must not be an iterator or a generator: the first run would use it up. "
                f"Pass arrays or a dataset, or {_FACTORY}. Received: `{name}={value!r}`"
            )
        if hasattr(part, "element_spec") and _reshuffles(part):
            raise ValueError(
                f"`{name}` must come in the same order at each pass, or runs of one seed would see "
                f"different batches. Where it is shuffled, {_FACTORY}. Received: `{name}={value!r}`"
            )


def _reshuffles(dataset: Any) -> bool:
    passes = [
        [np.asarray(leaf) for batch in dataset.take(_LOOK) for leaf in keras.tree.flatten(batch)]
        for _ in range(_PASSES)
    ]
    return any(not _same(passes[0], other) for other in passes[1:])


def _same(first: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return len(first) == len(other) and all(
        np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
        for a, b in zip(first, other, strict=True)
    )


def _own(value: Any) -> Any:
    """A run's own data: made by the function that the user gave, or a copy of what has a state."""
    if _is_function(value):
        return value()
    if isinstance(value, keras.utils.PyDataset):
        return _copied("data", value)
    return value


def _callbacks(callbacks: Any) -> list[keras.callbacks.Callback]:
    if callbacks is None:
        return []
    if _is_function(callbacks):
        return list(callbacks())
    return [_copied("callbacks", callback) for callback in callbacks]


def _copied(name: str, value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except Exception as error:
        raise TypeError(
            f"`{name}` must be made anew for each run, and {type(value).__name__} cannot be copied "
            f"({error}): {_FACTORY}."
        ) from error


def _is_function(value: Any) -> bool:
    return inspect.isroutine(value) or inspect.isfunction(getattr(value, "func", None))


def _print(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_print(part) for part in value]
    if isinstance(value, Mapping):
        return {str(key): _print(part) for key, part in value.items()}
    if _is_function(value):
        return f"made by {getattr(value, '__qualname__', type(value).__name__)}"
    if hasattr(value, "element_spec"):
        return f"{type(value).__name__} {value.element_spec}"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        array = keras.ops.convert_to_numpy(value) if not isinstance(value, np.ndarray) else value
        sum_of_all = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]
        return f"{array.dtype}{list(array.shape)} {sum_of_all}"
    return type(value).__name__


def _or_none(config: Callable[[], Any]) -> Any:
    try:
        return config()
    except Exception:  # Of a class of the user's that has none: the shapes of weights must do.
        return None


def _nameless(config: Any) -> Any:
    """A config without the names that Keras counts up, and without what JSON cannot hold."""
    if isinstance(config, Mapping):
        left_out = ("name", "layers", "input_layers", "output_layers", "build_config", "model")
        return {str(k): _nameless(v) for k, v in config.items() if k not in left_out}
    if isinstance(config, list | tuple):
        return [_nameless(item) for item in config]
    return config if isinstance(config, bool | int | float | str | None) else str(type(config))


def _digest(data: Any) -> str:
    text = json.dumps(data, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
