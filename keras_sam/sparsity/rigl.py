"""The rigged lottery: sparse training whose weights grow where the gradient is large."""

import math
from typing import Any

import numpy as np

from keras_sam.sparsity.objective import Objective, batches
from keras_sam.sparsity.regrowth import Regrowth


class RigL(Regrowth):
    """Drops the smallest weights and grows those whose gradient is largest.

        fraction(t) = fraction / 2 * (1 + cos(pi * t / end_step))

    In each layer, of k weights kept, the `round(fraction(t) * k)` of smallest magnitude are dropped
    (halves up), and as many grow where `|dL/dw|` is largest, from 0.0. The gradient is that of all
    weights, masked ones included, before the drop. The number of weights stays as the masks of the
    SAMModel have it; the paper starts from random masks, with distribution "erk" at best.

    A callback does not see the batch that is trained on, so the gradient is that of `data`.

    Args:
        data: What the gradient is taken on: one batch, a tuple `(x, y)` or
            `(x, y, sample_weight)`, or a finite iterable of batches, used in turn, one an update.
            They are kept in memory.
        end_step: Optimizer step after which nothing moves; the paper takes 3/4 of all steps.
        frequency: Steps between updates. Defaults to 100, as in the paper.
        fraction: Fraction of the kept weights to move at first, in [0, 1). Defaults to 0.3, as in
            the paper.
        begin_step: Optimizer step from which updates are counted. Defaults to 0.

    Raises:
        TypeError: If an argument is of the wrong type, or the model trained is not a SAMModel.
        ValueError: If an argument is out of range, or the model has no masks.

    Example:

    >>> import keras, numpy as np
    >>> from keras_sam import SAMModel, sparsity
    >>> x = y = np.eye(4)
    >>> net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, name="d")], name="net")
    >>> sam = SAMModel(net, rho=0.05, masks={"net/d/kernel": np.roll(np.eye(4), 1, axis=1)})
    >>> sam.compile(keras.optimizers.SGD(0.0), "mse")
    >>> rigl = sparsity.RigL((x, y), end_step=10, frequency=1, fraction=0.9)
    >>> history = sam.fit(x, y, verbose=0, callbacks=[rigl])  # One step: all four move.
    >>> sparsity.summary(sam).kernels[0].kept
    4

    References:
        - Evci et al. 2020, https://arxiv.org/abs/1911.11134, section 3 and algorithm 1
    """

    end_step: int

    def __init__(
        self,
        data: Any,
        end_step: int,
        *,
        frequency: int = 100,
        fraction: float = 0.3,
        begin_step: int = 0,
    ) -> None:
        super().__init__(begin_step, end_step, frequency, fraction)
        self.batches = batches(data)

    def fraction_at(self, step: int) -> float:
        return self.fraction / 2 * (1 + math.cos(math.pi * step / self.end_step))

    def growth_scores(self, step: int, weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        update = (step - self.begin_step) // self.frequency - 1
        batch = self.batches[update % len(self.batches)]
        gradient = Objective(self.model, [batch]).gradient(weights)
        return {path: np.abs(g) for path, g in gradient.items()}
