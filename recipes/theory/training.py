"""Trains one network at many radii and seeds through SAMModel: the only place that does."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

# Steps in one go at most: fewer returns to Python.
_STEPS = 500


class Member(NamedTuple):
    """One network to train."""

    seed: int
    rho: float


def train(
    build: Callable[[int], Any],
    members: Sequence[Member],
    data: Callable[[int], tuple[Any, Any]],
    optimizer: Callable[[], Any],
    loss: Any,
    *,
    batch_size: int,
    epochs: int,
    normalize: bool = True,
    shuffle: bool = True,
    after_epoch: Callable[[int, Any], Mapping[str, float]] | None = None,
) -> Iterator[tuple[Member, Any, dict[str, list[float]]]]:
    """Trains members one after the other; those of one radius share the traced step.

    Members of one seed start from the same weights and see the same batches.

    Args:
        build: From a seed to a built `keras.Model`; all of one architecture.
        members: What to train. A rho of 0 is the plain optimizer.
        data: From a seed to inputs and targets, NumPy arrays of one shape for all seeds.
        optimizer: A new Keras optimizer.
        loss: From targets and outputs to the loss of each example, or a `keras.losses.Loss`.
        batch_size: Examples a step.
        epochs: Passes over the data.
        normalize: Whether SAM is the normalised one. Defaults to `True`.
        shuffle: Whether an epoch has an order of its own, which the seed fixes. Defaults to `True`.
        after_epoch: From a seed and its network to numbers that are kept. Defaults to nothing.

    Yields:
        Each member with its trained network, which is good until the next is asked for, and the
        curves over epochs: `loss` and what `after_epoch` measured.
    """
    import keras

    from keras_sam import SAMModel
    from recipes.seeding import set_seed

    class Measured(keras.callbacks.Callback):
        def __init__(self, seed: int, curves: dict[str, list[float]]) -> None:
            super().__init__()
            self.seed, self.curves = seed, curves

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            assert after_epoch is not None
            for name, value in after_epoch(self.seed, self.model.model).items():
                self.curves.setdefault(name, []).append(float(value))

    for rho in dict.fromkeys(member.rho for member in members):
        sam: Any = None
        for member in members:
            if member.rho != rho:
                continue
            network = build(member.seed)
            x, y = data(member.seed)
            if sam is None:
                sam = SAMModel(network, rho, normalize=normalize)
                steps = math.ceil(len(x) / batch_size)
                sam.compile(optimizer(), loss, steps_per_execution=min(steps, _STEPS))
                sam.optimizer.build(sam.trainable_variables)
                start = [np.array(variable) for variable in sam.optimizer.variables]
            else:
                sam.model.set_weights(network.get_weights())
                for variable, value in zip(sam.optimizer.variables, start, strict=True):
                    variable.assign(value)
            set_seed(member.seed)  # Of the order of the examples.
            curves: dict[str, list[float]] = {}
            callbacks = [Measured(member.seed, curves)] if after_epoch is not None else []
            history = sam.fit(
                x,
                y,
                batch_size=batch_size,
                epochs=epochs,
                shuffle=shuffle,
                verbose=0,
                callbacks=callbacks,
            )
            yield member, sam.model, {"loss": history.history["loss"], **curves}
