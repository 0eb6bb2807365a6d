"""The parts of a run, as its recipe and its settings ask for them."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from keras_sam import Every, Late, methods, optimizers
from keras_sam.backend import programs
from recipes.datasets.data import Data
from recipes.running.config import RunConfig
from recipes.running.learning_rate import LearningRate
from recipes.running.recipe import find
from recipes.running.smoothed_crossentropy import SmoothedCrossentropy


def load_data(config: RunConfig) -> Data:
    """The data of a run.

    Raises:
        ValueError: If the recipe is unknown, or its data are not there.
    """
    recipe = find(config.recipe)
    assert recipe.data is not None
    return recipe.data(config)


def build_network(config: RunConfig, data: Data) -> keras.Model:
    """The plain network of a run, with the initial weights of its seed.

    Raises:
        ValueError: If the network is too large for the memory, or the recipe refuses the settings.
    """
    recipe = find(config.recipe)
    assert recipe.network is not None
    with _mixed_precision(config.mixed_precision), programs.run_once():
        try:
            return recipe.network(config, data)
        except Exception as error:
            if not _out_of_memory(error):
                raise
            raise ValueError(
                "`width` must be small enough for the network to fit into memory. "
                f"Received: `width={config.width:g}`"
            ) from error


def build_loss(config: RunConfig) -> keras.losses.Loss:
    """The loss of a run: that of its recipe, or cross-entropy of logits and integer labels.

    Raises:
        ValueError: If labels are to be smoothed, and the recipe has a loss of its own.
    """
    loss = find(config.recipe).loss
    if loss is None and config.label_smoothing:
        return SmoothedCrossentropy(config.label_smoothing)
    if config.label_smoothing:
        raise ValueError(
            f"`label_smoothing` must be 0 in the recipe {config.recipe}, which has a loss of its "
            f"own. Received: `label_smoothing={config.label_smoothing}`"
        )
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True) if loss is None else loss()


def build_metrics(config: RunConfig) -> Sequence[Any]:
    """What `compile` is given for the metric of a run."""
    recipe = find(config.recipe)
    return [recipe.metric.name] if recipe.metrics is None else recipe.metrics()


def build_optimizer(config: RunConfig, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """The optimizer of a run, with its learning rate over time."""
    rate = LearningRate.of_run(config, steps_per_epoch)
    if config.optimizer == "adam":
        return keras.optimizers.Adam(rate)
    if config.optimizer == "adamw":
        return keras.optimizers.AdamW(rate, weight_decay=config.weight_decay)
    return optimizers.SGD(rate, config.momentum, weight_decay=config.weight_decay or None)


def build_method(config: RunConfig) -> methods.Method:
    """The method of a run, from its text.

    Raises:
        TypeError: If it has no such argument.
        ValueError: If it is unknown, or an argument is out of range.

    Example:

    >>> build_method(RunConfig(recipe="digits", method="gsam(alpha=0.4)")).descent
    GSAM(alpha=0.4)
    """
    name, _, rest = config.method.partition("(")
    if name not in methods.METHODS:
        raise ValueError(
            f"`method` must be one of {', '.join(methods.METHODS)}. "
            f"Received: `method={config.method!r}`"
        )
    given = [pair.strip().partition("=") for pair in rest.rstrip(")").split(",") if pair.strip()]
    arguments = {key: ast.literal_eval(value) for key, _, value in given}
    try:
        return methods.METHODS[name](**arguments)
    except TypeError as error:
        raise ValueError(
            f"`method` must have arguments of {name}: {error}. Received: `method={config.method!r}`"
        ) from error


def build_schedule(config: RunConfig, radius: Any, steps_per_epoch: int) -> Any:
    """When there is a perturbation: at every update, at every k-th, or late in training.

    Args:
        config: The settings.
        radius: The rho, a number or a schedule of it.
        steps_per_epoch: Updates in an epoch.
    """
    if config.late:
        radius = Late(radius, config.late, total=config.epochs * steps_per_epoch)
    return radius if config.every == 1 else Every(radius, config.every)


@contextlib.contextmanager
def _mixed_precision(dtype: str | None) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32" if dtype is None else f"mixed_{dtype}")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _out_of_memory(error: Exception) -> bool:
    """Whether a framework could not allocate: each has an error and a text of its own."""
    if isinstance(error, MemoryError | OverflowError):
        return True
    texts = ("OOM", "RESOURCE_EXHAUSTED", "ResourceExhausted", "not enough memory", "allocate")
    text = f"{type(error).__name__} {error}"
    return any(part in text for part in texts)
