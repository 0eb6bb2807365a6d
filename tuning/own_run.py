"""One training of a user's own network, for `RhoSearch`."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import keras_tuner

from keras_sam import SAMModel


def own_run(
    build_model: Callable[[float], SAMModel],
    rho: float,
    seed: int,
    epochs: int,
    objective: keras_tuner.Objective,
    test_data: Any,
    arguments: Sequence[Any],
    options: Mapping[str, Any],
) -> tuple[SAMModel, dict[str, Any]]:
    """Builds and trains a model, and evaluates it with the weights of its best epoch.

    Args:
        build_model: From rho to a new, compiled SAMModel.
        rho: The radius.
        seed: Set before building and before fitting.
        epochs: How many to train.
        objective: What chooses the epoch.
        test_data: What is evaluated at the end, or `None`.
        arguments: Those of `fit`.
        options: Those of `fit`, by name; callbacks are copied.

    Returns:
        The model, and what is recorded of it.

    Raises:
        ValueError: If the model is not what was asked for, or has no such metric.
    """
    name, direction = objective.name, objective.direction
    began = time.monotonic()
    keras.utils.set_random_seed(seed)
    model = build_model(rho)
    if not isinstance(model, SAMModel) or model.rho != rho:
        raise ValueError(
            "`build_model` must return a compiled keras_sam.SAMModel with the rho that it is "
            f"called with, {rho}. Received: {model!r} with rho {getattr(model, 'rho', None)}"
        )
    keras.utils.set_random_seed(seed)
    best_epoch = keras.callbacks.EarlyStopping(
        name, mode=direction, patience=epochs, restore_best_weights=True
    )
    callbacks = [*copy.deepcopy(options.get("callbacks") or []), best_epoch]
    fitting = {**options, "epochs": epochs, "callbacks": callbacks}
    history = model.fit(*arguments, **fitting).history
    if name not in history:
        raise ValueError(
            f"`objective` must be a metric of a run: {', '.join(history)}. "
            f"Received: `objective={name!r}`"
        )
    values = [value if direction == "max" else -value for value in history[name]]
    diverged = not all(map(math.isfinite, [*values, *history["loss"]]))
    score = max(values)
    test = score if direction == "max" else -score
    if test_data is not None and not diverged:
        inputs = test_data if isinstance(test_data, tuple) else (test_data,)
        metrics = model.evaluate(*inputs, verbose=0, return_dict=True)
        test = metrics[name.removeprefix("val_")]
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
