"""Checks of SAMModel's arguments."""

import numbers
import warnings
from typing import Any

import keras
import numpy as np
from keras.optimizers.schedules import LearningRateSchedule

from keras_sam.backend import keras_internals
from keras_sam.methods import GEOMETRIES, METHODS, Method
from keras_sam.perturbation import ETA
from keras_sam.selection import check_selection
from keras_sam.validation import nonnegative

LARGEST_RHO = float(np.finfo("float32").max)


def valid_rho(rho: Any) -> float | LearningRateSchedule:
    """Returns rho as a float, or the schedule that it is."""
    if isinstance(rho, LearningRateSchedule):
        return rho
    rho = nonnegative("rho", rho, " or a keras.optimizers.schedules.LearningRateSchedule")
    if rho > LARGEST_RHO:
        raise ValueError(
            f"`rho` must be at most {LARGEST_RHO:.4g}, the largest float32: beyond it all weights "
            f"would be NaN. Received: `rho={rho}`"
        )
    return rho


def valid_method(method: Any) -> Method:
    """Returns the method, or the one that a name stands for with its default arguments."""
    if isinstance(method, str):
        if method not in METHODS:
            raise ValueError(
                f"`method` must be a keras_sam.methods.Method or one of {sorted(METHODS)}. "
                f"Received: `method={method!r}`"
            )
        return METHODS[method]()
    if not isinstance(method, Method):
        raise TypeError(
            "`method` must be a keras_sam.methods.Method, such as keras_sam.methods.gsam(), or a "
            f"name. Received: `method={method!r}` of {type(method)}"
        )
    return method


def warn_of_what_is_left_out(model: keras.Model) -> None:
    """Warns where a model to be wrapped does more in its own `fit` than SAMModel will do."""
    name = type(model).__name__
    if type(model).train_step is not keras.Model.train_step:
        warnings.warn(
            f"{name} has a `train_step` of its own, which SAMModel replaces. "
            "Put what it computes into `compute_loss`, which SAMModel calls.",
            stacklevel=3,
        )
    if getattr(model, "preprocessor", None) is not None:
        warnings.warn(
            f"{name} has a `preprocessor`, which its own `fit` applies and SAMModel's does not. "
            "Give it `preprocessor=None`, and preprocess the data: `dataset.map(preprocessor)`.",
            stacklevel=3,
        )


def check_compile(optimizer: Any, loss: Any, others: dict[str, Any]) -> None:
    """Raises unless these are arguments of `keras.Model.compile`."""
    if others:
        raise TypeError(
            "`compile` takes the arguments of keras.Model.compile. What a wrapped model's own "
            "`compile` takes besides (several optimizers, losses of its own `train_step`) "
            "belongs to a training that SAMModel replaces by one loss and one optimizer. "
            f"Received: {', '.join(f'`{name}={value!r}`' for name, value in others.items())}"
        )
    for argument, value in (("optimizer", optimizer), ("loss", loss)):
        if isinstance(value, str) and value == "auto":
            raise ValueError(
                f"`{argument}` must be one of Keras's: what a task of keras_hub takes for "
                f'"auto", it alone knows. Received: `{argument}={value!r}`'
            )


def check_splits(num_batch_splits: Any) -> None:
    """Raises unless `num_batch_splits` is `None` or an int >= 1."""
    if num_batch_splits is not None:
        _check_count("num_batch_splits", num_batch_splits, " or None")


def check_stateless(model: keras.Model, num_batch_splits: int) -> None:
    """Raises if a layer carries states from batch to batch, a row each."""
    layers = keras_internals.all_layers(model)
    stateful = [layer.name for layer in layers if getattr(layer, "stateful", False)]
    if stateful:
        raise ValueError(
            "`num_batch_splits` needs a model without stateful layers: their states belong to the "
            "rows of a whole batch, and a split has other rows. "
            f"Received: `num_batch_splits={num_batch_splits}` and layers {stateful}"
        )


def check_ascent(
    normalize: Any, adaptive: Any, eta: Any, geometry: Any, perturb: Any, ascent_steps: Any
) -> None:
    """Raises if an argument about the perturbation is no such, or if two contradict each other."""
    check_switch("normalize", normalize)
    if isinstance(adaptive, str) and adaptive != "kernels":
        raise ValueError(
            f'`adaptive` must be a bool or "kernels". Received: `adaptive={adaptive!r}`'
        )
    if not isinstance(adaptive, str):
        check_switch("adaptive", adaptive)
    nonnegative("eta", eta)
    if not adaptive and eta != ETA:
        raise ValueError(
            "`eta` belongs to the scale of `adaptive`. "
            f"Received: `eta={eta}` with `adaptive={adaptive!r}`"
        )
    if geometry is not None and not callable(geometry):
        allowed = f"None, one of {sorted(GEOMETRIES)} or a function (weights, gradients, rho) -> e"
        received = f"Received: `geometry={geometry!r}`"
        if not isinstance(geometry, str):
            raise TypeError(f"`geometry` must be {allowed}. {received}")
        if geometry not in GEOMETRIES:
            raise ValueError(f"`geometry` must be {allowed}. {received}")
    if geometry is not None and (adaptive or not normalize):
        raise ValueError(
            "`geometry` replaces the perturbation that `normalize` and `adaptive` choose: leave "
            f"these as they are. Received: `geometry={geometry!r}`, `normalize={normalize}`, "
            f"`adaptive={adaptive!r}`"
        )
    check_selection("perturb", perturb)
    _check_count("ascent_steps", ascent_steps)


def check_switch(argument: str, value: Any) -> None:
    """Raises unless `value` is a bool."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"`{argument}` must be a bool. Received: `{argument}={value!r}`")


def _check_count(argument: str, value: Any, alternative: str = "") -> None:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(
            f"`{argument}` must be an int{alternative}. Received: `{argument}={value!r}`"
        )
    if value < 1:
        raise ValueError(f"`{argument}` must be >= 1. Received: `{argument}={value}`")
