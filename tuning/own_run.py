"""One training of a user's own network, for `RhoSearch`."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import keras
import keras_tuner

from keras_sam import SAMModel
from recipes.seeding import set_seed
from tuning.fit_arguments import FitArguments


def build(build_model: Callable[[float], SAMModel], rho: float, seed: int) -> SAMModel:
    """The user's model at a rho and a seed.

    Raises:
        ValueError: If it is not what was asked for.
    """
    set_seed(seed)
    model = build_model(rho)
    if not isinstance(model, SAMModel) or model.rho != rho or not model.compiled:
        raise ValueError(
            "`build_model` must return a compiled keras_sam.SAMModel with the rho that it is "
            f"called with, {rho}. Received: {model!r} with rho {getattr(model, 'rho', None)}"
        )
    set_seed(seed)
    return model


def check_objective(name: str, names: Iterable[str]) -> None:
    """Raises if the objective is none of a run's metrics.

    Raises:
        ValueError: If so.
    """
    if name not in names:
        hint = ": pass `validation_data`" if name.startswith("val_") else ""
        raise ValueError(
            f"`objective` must be a metric of a run, {', '.join(names)}{hint}. "
            f"Received: `objective={name!r}`"
        )


def own_run(
    build_model: Callable[[float], SAMModel],
    rho: float,
    seed: int,
    epochs: int,
    objective: keras_tuner.Objective,
    arguments: FitArguments,
) -> tuple[SAMModel, dict[str, Any]]:
    """Builds and trains a model, and evaluates it with the weights of its best epoch.

    Args:
        build_model: From rho to a new, compiled SAMModel.
        rho: The radius.
        seed: Set before building and before fitting.
        epochs: How many to train.
        objective: What chooses the epoch.
        arguments: Those of `fit`, and the data to test on.

    Returns:
        The model, and what is recorded of it.

    Raises:
        ValueError: If the model is not what was asked for, or has no such metric.
    """
    name, direction = objective.name, objective.direction
    began = time.monotonic()
    model = build(build_model, rho, seed)
    best_epoch = keras.callbacks.EarlyStopping(
        name, mode=direction, patience=epochs, restore_best_weights=True
    )
    with warnings.catch_warnings():
        # EarlyStopping warns at every epoch of a metric that is not there, which is told below.
        warnings.filterwarnings("ignore", message="Early stopping conditioned on metric")
        history = model.fit(**arguments.of_run(epochs, [best_epoch])).history
    check_objective(name, history)
    values = [value if direction == "max" else -value for value in history[name]]
    diverged = not all(map(math.isfinite, [*values, *history["loss"]]))
    score = max(values)
    test = score if direction == "max" else -score
    if arguments.test_data is not None and not diverged:
        test = arguments.evaluate(model)[name.removeprefix("val_")]
    return model, {
        "rho": rho,
        "seed": seed,
        "epochs": epochs,
        "score": None if diverged else score,
        "test": None if diverged else test,
        "train_loss": None if diverged else history["loss"][-1],
        "parameters": sum(math.prod(v.shape) for v in model.trainable_variables),
        "seconds": round(time.monotonic() - began, 3),
    }
