"""What a `RhoSearch` that trains its runs together asks for, told before anything is trained."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np

from keras_sam import SAMModel
from keras_sam.backend import keras_internals
from keras_sam.population.cohort import OPTIONS
from keras_sam.population.data import checked
from tuning.fit_arguments import FitArguments, model_fingerprint
from tuning.own_run import build

# Arguments of `fit` that a population has not, with what they are without, and why not.
_WITHOUT: dict[str, tuple[Any, str]] = {
    "callbacks": (None, "each is called with one model"),
    "class_weight": (None, "pass `sample_weight`"),
    "validation_split": (0.0, "pass `validation_data`"),
    "initial_epoch": (0, "runs begin at their start"),
    "steps_per_epoch": (None, "an epoch is all examples"),
    "validation_steps": (None, "all examples are evaluated"),
    "validation_freq": (1, "each epoch is one to choose from"),
}
ONE_BY_ONE = "`population=False` trains one run after the other"


def arrays(name: str, value: Any) -> Any:
    """Data as arrays, with floating-point numbers in Keras's default precision, as `fit` has them.

    Args:
        name: The argument's name.
        value: An array or a nest of arrays.

    Raises:
        ValueError: If they are anything else.
    """

    def as_array(leaf: Any) -> Any:
        if leaf is None:
            return None
        array = None
        if hasattr(leaf, "shape") and not inspect.isroutine(leaf):
            try:
                array = np.asarray(keras.ops.convert_to_numpy(leaf))
            except Exception:  # Ragged, or of no numbers.
                array = None
        if array is None or not array.ndim or array.dtype.kind not in "fiub":
            raise ValueError(
                f"`{name}` must be arrays of numbers with `population=True`: all runs take their "
                f"batches from the same memory, while a function or a dataset makes data for each. "
                f"{ONE_BY_ONE}. Received: `{name}` with {type(leaf)}"
            )
        return array.astype(keras.config.floatx()) if array.dtype.kind == "f" else array

    return keras.tree.map_structure(as_array, value)


def triple(name: str, value: Any) -> Any:
    """`(x, y, sample_weight)` of what is evaluated, or `None`.

    Raises:
        ValueError: If it is no such tuple of arrays.
    """
    if value is None:
        return None
    if not isinstance(value, tuple | list) or not 1 <= len(value) <= 3:
        arrays(name, value)  # Says what it must not be.
        value = (value,)
    x, y, weight = (*(arrays(name, part) for part in value), None, None)[:3]
    checked(x, y, weight)
    return x, y, weight


def check_arguments(arguments: FitArguments) -> None:
    """Refuses arguments of `fit` that need one model a run.

    Raises:
        ValueError: If there is one; names it.
    """
    for name, (without, why) in _WITHOUT.items():
        value = arguments.options.get(name, without)
        if value is not None and value != without and not (name == "callbacks" and value == []):
            raise ValueError(
                f"`{name}` must be {without!r} with `population=True`: {why}. {ONE_BY_ONE}. "
                f"Received: `{name}={value!r}`"
            )
    shuffle = arguments.options.get("shuffle", True)
    if not isinstance(shuffle, bool):
        raise ValueError(
            "`shuffle` must be True or False with `population=True`. "
            f"Received: `shuffle={shuffle!r}`"
        )


def checked_model(
    build_model: Callable[[float], SAMModel], rhos: Iterable[float], seed: int
) -> SAMModel:
    """The user's model at rho 0, if a population can train it, and it differs by rho alone.

    Args:
        build_model: From rho to a compiled SAMModel.
        rhos: Radii that are tried.
        seed: A seed.

    Raises:
        ValueError: If not; says why.
    """
    model = build(build_model, 0.0, seed)
    _check(model)
    kind = _kind(model)
    for rho in rhos:
        for what, mark in _kind(build(build_model, rho, seed)).items():
            if mark != kind[what]:
                raise ValueError(
                    "`build_model` must make the same model for all rhos with `population=True`, "
                    f"which trains them as one. {ONE_BY_ONE}. "
                    f"Received: another {what} for rho {rho:g} than for rho 0"
                )
    return model


def options(model: SAMModel) -> dict[str, Any]:
    """The arguments of SAMModel that a population takes."""
    return {name: getattr(model, name) for name in OPTIONS}


def _check(model: SAMModel) -> None:
    wrong = None
    network, given = model.model, keras_internals.compile_arguments(model)
    if type(model) is not SAMModel or network is None:
        wrong = "a SAMModel itself, of no subclass, whose step may be another", repr(model)
    elif not network.built:
        wrong = "one whose weights exist: begin it with a keras.Input", "a model that is not built"
    elif given["run_eagerly"]:
        wrong = "one that runs as a program", "`run_eagerly=True` in `compile`"
    elif model.replicas() > 1 or keras.distribution.distribution() is not None:
        wrong = "one for one device", "a model that several devices share"
    elif any(v.constraint is not None for v in network.trainable_variables):
        wrong = "one without constraints of weights, which look across members", "constraints"
    elif any(_dtype(v) != "float32" for v in network.trainable_variables):
        found = sorted({_dtype(v) for v in network.trainable_variables})
        wrong = "one with weights in float32", f"weights in {', '.join(found)}"
    elif keras.backend.backend() == "torch" and (names := _unseeded_dropout(network)):
        wrong = (
            "one whose dropout has a `seed`: without, PyTorch draws it from the same random state "
            "as the order of the batches",
            f"layers without: {', '.join(names)}",
        )
    if wrong is not None:
        must, received = wrong
        raise ValueError(
            f"`build_model` must return, with `population=True`, {must}. {ONE_BY_ONE}. "
            f"Received: {received}"
        )


def _kind(model: SAMModel) -> dict[str, Any]:
    """What must not differ from rho to rho."""
    settings = {k: v for k, v in options(model).items() if not inspect.isroutine(v)}
    weights = hashlib.sha256()
    for weight in (*model.model.get_weights(), *model.masks.values()):
        weights.update(np.ascontiguousarray(weight).tobytes())
    return {
        "network": model_fingerprint(model.model)["model"],
        "optimizer, loss or metric": model_fingerprint(model)["compile"],
        "argument of SAMModel": {name: str(value) for name, value in settings.items()},
        "initial weight or mask": weights.hexdigest(),
    }


def _dtype(variable: keras.Variable) -> str:
    return keras.backend.standardize_dtype(variable.dtype)


def _unseeded_dropout(network: keras.Model) -> list[str]:
    rates = ("rate", "dropout", "recurrent_dropout")
    return [
        layer.name
        for layer in keras_internals.all_layers(network)
        if getattr(layer, "seed", 0) is None and any(getattr(layer, rate, 0) for rate in rates)
    ]
