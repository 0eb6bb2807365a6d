"""Dynamic sparsity: dropping weights and growing others, at a constant number in each layer."""

import numpy as np
from keras import ops

from keras_sam.sparsity import arguments
from keras_sam.sparsity.mask_schedule import MaskSchedule
from keras_sam.sparsity.pruning import checked_scores
from keras_sam.sparsity.structures import top


class Regrowth(MaskSchedule):
    """Base of SET and RigL: at each update, a fraction of each layer's weights changes place.

    The kept weights of smallest magnitude are dropped; as many others grow, by a score that the
    subclass gives. They start at 0.0, dropped ones that grow again included.

    Args:
        begin_step: Optimizer step from which updates are counted; the first one is `frequency`
            steps later.
        end_step: Optimizer step after which nothing changes any more, or `None`.
        frequency: Steps between updates.
        fraction: Fraction of each layer's kept weights to move, in [0, 1).

    Raises:
        TypeError: If an argument is of the wrong type, or the model trained is not a SAMModel.
        ValueError: If an argument is out of range, or the model has no masks.
    """

    def __init__(
        self, begin_step: int, end_step: int | None, frequency: int, fraction: float
    ) -> None:
        super().__init__(begin_step, end_step, frequency)
        self.fraction = arguments.fraction("fraction", fraction)

    def due(self) -> int | None:
        step = super().due()
        return None if step == self.begin_step else step

    def fraction_at(self, step: int) -> float:
        """The fraction of each layer's kept weights that is dropped at a step."""
        return self.fraction

    def growth_scores(self, step: int, weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Scores of all weights; of those that are not kept, the highest grow.

        Args:
            step: The step that is due.
            weights: The masked weights, by path.

        Returns:
            Finite arrays of the weights' shapes, by path.
        """
        raise NotImplementedError

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        super().on_train_begin(logs)
        if not self.model.masks:
            raise ValueError(
                f"`{type(self).__name__}` needs a SAMModel with masks to move: "
                "SAMModel(model, masks=sparsity.prune(model, 0.9, distribution='erk', "
                f"score='random')). Received: `model={self.model!r}`, which has none"
            )

    def update(self, step: int) -> None:
        masks = self.model.masks
        weights = {
            v.path: ops.convert_to_numpy(v.value) for v in self.model.weights if v.path in masks
        }
        scores = checked_scores(self.growth_scores(step, weights), weights)
        fraction = self.fraction_at(step)
        dropped, grown = {}, {}
        for path, mask in masks.items():
            count = int(np.floor(fraction * mask.sum() + 0.5))
            dropped[path], grown[path] = drop_and_grow(mask, weights[path], scores[path], count)
        # Twice, because a weight that is masked in between comes back as 0.0.
        self.model.masks = dropped
        self.model.masks = grown


def drop_and_grow(
    mask: np.ndarray, weight: np.ndarray, score: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Moves `count` of the weights that a mask keeps.

    Args:
        mask: The boolean mask.
        weight: The weights, same shape.
        score: By which weights grow, same shape, finite.
        count: How many, at most `mask.sum()`.

    Returns:
        Two masks: without the `count` kept weights of smallest magnitude; and with the `count`
        weights of highest score that the first one leaves out.

    Example:

    >>> mask, weight = np.array([True, True, False, False]), np.array([0.1, 0.5, 0.0, 0.0])
    >>> drop_and_grow(mask, weight, score=np.array([1.0, 9.0, 2.0, 3.0]), count=1)
    (array([False,  True, False, False]), array([False,  True, False,  True]))
    """
    dropped = top(np.where(mask, np.abs(weight), -np.inf), int(mask.sum()) - count)
    grown = top(np.where(dropped, -np.inf, score), count)
    return dropped, dropped | grown
