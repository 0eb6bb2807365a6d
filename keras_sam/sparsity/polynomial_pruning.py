"""Gradual magnitude pruning on a polynomial schedule."""

from typing import Any

import numpy as np
from keras import ops

from keras_sam.sparsity.arguments import fraction, named
from keras_sam.sparsity.distributions import DISTRIBUTIONS, Distribution, kept_count
from keras_sam.sparsity.kernels import Filter, check_filter, find_kernels
from keras_sam.sparsity.mask_schedule import MaskSchedule
from keras_sam.sparsity.pruning import checked_scores, shrink
from keras_sam.validation import positive


class PolynomialPruning(MaskSchedule):
    """Prunes the smallest weights little by little while a SAMModel trains.

        s(t) = s_f + (s_i - s_f) * (1 - (t - begin_step) / (end_step - begin_step))^power

    At each update the weights of smallest magnitude are set to zero, for good, until the sparsity
    is s(t). Exactly `round((1 - s(t)) * n)` of n weights are left (halves up).

    Args:
        final_sparsity: s_f, reached at `end_step`, in [0, 1).
        begin_step: Optimizer step at which pruning begins, an int >= 0.
        end_step: Optimizer step at which it ends, an int > begin_step.
        frequency: Steps between updates; the last one is at `end_step` in any case.
            Defaults to 100.
        initial_sparsity: s_i, at `begin_step`. Defaults to 0.0.
        power: The exponent. Defaults to 3.0.
        distribution: "uniform", "global" or "erk", as for `prune`. Defaults to "uniform", as in
            the paper.
        filter: Which weights to prune, as for `prune`. Defaults to `None`.

    Raises:
        TypeError: If an argument is of the wrong type, or the model trained is not a SAMModel.
        ValueError: If an argument is out of range, or weights are not finite.

    Example: SGD (rho=0) to 50 % sparsity.

    >>> import keras, numpy as np
    >>> from keras_sam import SAMModel, sparsity
    >>> sam = SAMModel(keras.Sequential([keras.Input((4,)), keras.layers.Dense(8)]), rho=0)
    >>> sam.compile("sgd", "mse")
    >>> callback = sparsity.PolynomialPruning(0.5, begin_step=0, end_step=4, frequency=1)
    >>> x, y = np.ones((64, 4)), np.ones((64, 8))
    >>> history = sam.fit(x, y, batch_size=8, verbose=0, callbacks=[callback])
    >>> sparsity.summary(sam).sparsity
    0.5

    References:
        - Zhu and Gupta 2017, https://arxiv.org/abs/1710.01878, section 3, equation 1
    """

    end_step: int

    def __init__(
        self,
        final_sparsity: float,
        begin_step: int,
        end_step: int,
        *,
        frequency: int = 100,
        initial_sparsity: float = 0.0,
        power: float = 3.0,
        distribution: str | Distribution = "uniform",
        filter: Filter | None = None,
    ) -> None:
        super().__init__(begin_step, end_step, frequency)
        self.final_sparsity = fraction("final_sparsity", final_sparsity)
        self.initial_sparsity = fraction("initial_sparsity", initial_sparsity)
        if initial_sparsity > final_sparsity:
            raise ValueError(
                "`initial_sparsity` must not be above `final_sparsity`, since nothing grows back. "
                f"Received: `initial_sparsity={initial_sparsity}`, "
                f"`final_sparsity={final_sparsity}`"
            )
        self.power = positive("power", power)
        self.distribution: Distribution = named("distribution", distribution, DISTRIBUTIONS)
        check_filter(filter)
        self.filter = filter

    def due(self) -> int | None:
        step = int(ops.convert_to_numpy(self.model.optimizer.iterations))
        return self.end_step if step >= self.end_step else super().due()

    def sparsity(self, step: int) -> float:
        """s(t).

        Args:
            step: t, from begin_step to end_step.

        Returns:
            A float in [0, 1).
        """
        left = 1 - (step - self.begin_step) / (self.end_step - self.begin_step)
        return self.final_sparsity + (self.initial_sparsity - self.final_sparsity) * (
            left**self.power
        )

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        super().on_train_begin(logs)
        # Masks that exist from the start need no second tracing of the training step.
        masks = self._masks()
        if self._updated is None:
            self.model.masks = {**self.model.masks, **masks}
        else:
            self.update(self._updated)

    def update(self, step: int) -> None:
        masks = self._masks()
        weights = {
            k.path: ops.convert_to_numpy(k.variable.value)
            for k in find_kernels(self.model, self.filter)
        }
        scores = checked_scores({path: np.abs(w) for path, w in weights.items()}, weights)
        size = sum(mask.size for mask in masks.values())
        left = sum(int(mask.sum()) for mask in masks.values())
        kept = min(kept_count(self.sparsity(step), size), left)
        self.model.masks = {
            **self.model.masks,
            **shrink(masks, scores, kept, self.distribution),
        }

    def _masks(self) -> dict[str, np.ndarray]:
        present = self.model.masks
        return {
            k.path: present.get(k.path, np.ones(k.variable.shape, bool))
            for k in find_kernels(self.model, self.filter)
        }
