"""The order in which Keras's `fit` sees the examples, without any training."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from recipes.seeding import set_seed


def fit_order(seed: int, examples: int, epochs: int, *, peeks: bool, validates: bool) -> np.ndarray:
    """The rows that `fit` over arrays takes, epoch by epoch, after `set_seed(seed)`.

    Keras shuffles by the framework's own random state, on each backend in its own way, so that only
    `fit` itself knows. Here it goes over row numbers in place of examples, all in one batch: the
    size of batches does not change the order.

    Args:
        seed: What the random states are set to before.
        examples: Number of examples.
        epochs: Passes over them.
        peeks: Whether the model has a loss or metrics, for which `fit` looks at a batch first.
        validates: Whether there are validation data, which draw a number an epoch on PyTorch.

    Returns:
        Integers of shape (epochs, examples).

    Example:

    >>> order = fit_order(0, 5, 2, peeks=True, validates=False)
    >>> order.shape, sorted(order[0].tolist())
    ((2, 5), [0, 1, 2, 3, 4])
    """
    rows = np.arange(examples, dtype="int32")[:, None]
    model = _Rows()
    model.compile(loss="mse" if peeks else None)
    draws = validates and keras.backend.backend() == "torch"
    set_seed(seed)
    model.fit(
        rows,
        rows,
        batch_size=examples,
        epochs=epochs,
        verbose=0,
        validation_data=(rows[:1], rows[:1]) if draws else None,
    )
    return np.stack(model.seen)


class _Rows(keras.Model):
    """Notes what `fit` hands to it, and computes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.built = True
        self.seen: list[np.ndarray] = []

    def call(self, x: Any) -> Any:
        return keras.ops.cast(x, "float32")

    def make_train_function(self, force: bool = False) -> None:
        def of_jax(state: Any, batches: Any) -> Any:
            return self._note(next(batches)), state

        self.train_function: Any = {
            "tensorflow": lambda batches: self._note(next(batches)),
            "jax": of_jax,
            "torch": lambda batches: self._note(batches[0]),
        }[keras.backend.backend()]

    def make_test_function(self, force: bool = False) -> None:
        self.test_function: Any = lambda batches: {}  # Of PyTorch.

    def _note(self, batch: Any) -> dict[str, Any]:
        x, _, _ = keras.utils.unpack_x_y_sample_weight(batch)
        self.seen.append(np.array(keras.ops.convert_to_numpy(x), "int32")[:, 0])
        return {}
