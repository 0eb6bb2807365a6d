"""Sparse evolutionary training."""

import numpy as np

from keras_sam.sparsity.regrowth import Regrowth
from keras_sam.validation import integer


class SET(Regrowth):
    """Sparse evolutionary training: drops the smallest weights and grows random ones.

    In each layer, of k weights kept, the `round(fraction * k)` of smallest magnitude are dropped
    (halves up), and as many grow at random places, from 0.0. The number of weights stays as the
    masks of the SAMModel have it; the paper starts from random masks with an Erdős-Rényi
    distribution.

    Args:
        frequency: Steps between updates; the paper updates once an epoch.
        fraction: Fraction of the kept weights to move, in [0, 1). Defaults to 0.3, as in the paper.
        begin_step: Optimizer step from which updates are counted. Defaults to 0.
        end_step: Optimizer step after which nothing moves. Defaults to `None`, no end.
        seed: Seed of the places, an int >= 0. Each update depends on it and on its step alone.
            Defaults to 0.

    Raises:
        TypeError: If an argument is of the wrong type, or the model trained is not a SAMModel.
        ValueError: If an argument is out of range, or the model has no masks.

    Example:

    >>> import keras, numpy as np
    >>> from keras_sam import SAMModel, sparsity
    >>> net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8), keras.layers.Dense(1)])
    >>> masks = sparsity.prune(net, 0.5, score="random", distribution="erk")
    >>> sam = SAMModel(net, rho=0, masks=masks)
    >>> sam.compile("sgd", "mse")
    >>> x, y = np.ones((64, 4)), np.ones((64, 1))
    >>> history = sam.fit(x, y, batch_size=8, verbose=0, callbacks=[sparsity.SET(frequency=4)])
    >>> sparsity.summary(sam).sparsity
    0.5

    References:
        - Mocanu et al. 2018, https://arxiv.org/abs/1707.04780, algorithm 1; dropping by magnitude
          alone, whatever the sign, as in Evci et al. 2020, https://arxiv.org/abs/1911.11134
    """

    def __init__(
        self,
        frequency: int,
        *,
        fraction: float = 0.3,
        begin_step: int = 0,
        end_step: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(begin_step, end_step, frequency, fraction)
        self.seed = integer("seed", seed, least=0)

    def growth_scores(self, step: int, weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        rng = np.random.default_rng([self.seed, step])
        return {path: rng.random(w.shape, np.float32) for path, w in weights.items()}
