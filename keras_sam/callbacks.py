"""Callbacks for `keras.Model.fit`."""

import inspect
import math
import warnings
from collections.abc import Sequence, Set
from typing import Any

import keras

from keras_sam.memory import NotEnoughMemoryError
from keras_sam.sharpness import (
    LossSurface,
    NotConvergedError,
    hessian_eigenvalues,
    hessian_trace,
    sam_sharpness,
)
from keras_sam.sharpness.eigenvalues import require_lanczos_memory
from keras_sam.validation import integer, nonnegative, positive

LOGS = {
    "eigenvalue": "hessian_eigenvalue",
    "trace": "hessian_trace",
    "sharpness": "sam_sharpness",
}


class SharpnessCallback(keras.callbacks.Callback):
    """Measures how sharp the loss is while a model trains.

    After each `every`-th epoch it adds to the logs

        hessian_eigenvalue    lambda_max(H)
        hessian_trace         tr(H)
        sam_sharpness         max over ||e|| <= rho of L(w + e) - L(w), by SAM's one step

    with L the loss over `data`, in inference mode and regularisation losses included by default.
    After the other epochs, and where the loss is not finite, they are NaN, so that every epoch has
    a row and a row for each column. An eigenvalue that does not converge, or for which memory has
    become short, is NaN, too, with one warning a training, which goes on.

    Callbacks see the logs in their order: put this one before `CSVLogger`, `TensorBoard`,
    `EarlyStopping` and `ModelCheckpoint`. The progress bar and `History` come after all others.

    The cost of one measurement, in gradients of `data`: the eigenvalue takes 21 Hessian-vector
    products or more, the trace `num_samples`, each of two to three gradients; the sharpness one
    and a half gradients. With all three, about 80: to measure on 1,000 examples costs as much as to
    train on 80,000.

    Args:
        data: As for `keras_sam.sharpness.LossSurface`. It is read once, when training starts.
        every: Measure after every so many epochs, >= 1. Defaults to 1.
        measures: Some of "eigenvalue", "trace" and "sharpness". Defaults to all.
        rho: The radius of the sharpness, >= 0, in the units of the weights. Defaults to 0.05.
        num_samples: Random vectors for the trace, >= 2. Defaults to 10.
        tolerance: Relative accuracy of the eigenvalue, > 0. Defaults to 1e-2.
        max_products: After about how many products the eigenvalue is given up. Defaults to 1000.
        seed: Of the random vectors, an int >= 0. Same seed, same numbers. Defaults to 0.
        **options: The keyword arguments of `LossSurface`.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is out of range; in `fit`, as for `LossSurface`.

    Example:

    >>> import numpy as np
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    >>> model.compile("sgd", loss="mse")
    >>> data = np.ones((2, 1)), np.zeros((2, 1))
    >>> history = model.fit(*data, epochs=2, verbose=0, callbacks=[SharpnessCallback(data)])
    >>> [round(value, 6) for value in history.history["hessian_eigenvalue"]]
    [2.0, 2.0]
    """

    def __init__(
        self,
        data: Any,
        every: int = 1,
        *,
        measures: Sequence[str] = tuple(LOGS),
        rho: float = 0.05,
        num_samples: int = 10,
        tolerance: float = 1e-2,
        max_products: int = 1000,
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__()
        self._data = data
        self._every = integer("every", every, least=1)
        self._measures = _measures(measures)
        self._rho = nonnegative("rho", rho)
        self._num_samples = integer("num_samples", num_samples, least=2)
        self._tolerance = positive("tolerance", tolerance)
        self._max_products = integer("max_products", max_products, least=1)
        self._seed = integer("seed", seed, least=0)
        inspect.signature(LossSurface).bind(None, data, **options)  # No unknown ones.
        self._options = options
        self._surface: LossSurface | None = None
        self._warned = False

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._warned = False
        # Now, so that data or a model that cannot be measured is no surprise after hours.
        if self._surface is None or self._surface.model is not self.model:
            self._surface = LossSurface(self.model, self._data, **self._options)
        if "eigenvalue" in self._measures:
            require_lanczos_memory(self._surface.size, 1)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        values = dict.fromkeys(self._measures, math.nan)
        if (epoch + 1) % self._every == 0:
            values |= self._measure()
        if logs is not None:
            logs.update({LOGS[measure]: value for measure, value in values.items()})

    def _measure(self) -> dict[str, float]:
        surface = self._surface
        assert surface is not None  # Keras has called `on_train_begin`.
        surface.refresh()
        if not math.isfinite(surface.loss()):
            return {}
        return {measure: getattr(self, f"_{measure}")(surface) for measure in self._measures}

    def _eigenvalue(self, surface: LossSurface) -> float:
        try:
            (value,) = hessian_eigenvalues(
                surface,
                tolerance=self._tolerance,
                max_products=self._max_products,
                seed=self._seed,
            )
        except (NotConvergedError, NotEnoughMemoryError) as error:
            if not self._warned:
                warnings.warn(
                    f"No {LOGS['eigenvalue']} in an epoch, which is NaN in the logs, as will be "
                    f"others of this training without a warning: {error}",
                    stacklevel=2,
                )
            self._warned = True
            return math.nan
        return float(value)

    def _trace(self, surface: LossSurface) -> float:
        return hessian_trace(surface, num_samples=self._num_samples, seed=self._seed).value

    def _sharpness(self, surface: LossSurface) -> float:
        return sam_sharpness(surface, rho=self._rho)


def _measures(measures: Any) -> list[str]:
    if not isinstance(measures, Sequence | Set):
        raise TypeError(
            f"`measures` must be a list of some of {list(LOGS)}. Received: `measures={measures!r}`"
        )
    if isinstance(measures, str) or not measures or any(name not in [*LOGS] for name in measures):
        raise ValueError(
            f"`measures` must be some of {list(LOGS)}. Received: `measures={measures!r}`"
        )
    return list(measures)
