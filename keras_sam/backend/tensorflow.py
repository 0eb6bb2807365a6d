"""TensorFlow: differentiation."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

Tensor = Any


def value_and_grad(fn: Callable[..., tuple[Tensor, Any]]) -> Callable[..., Any]:
    """`fn(values, *args) -> (loss, aux)` becomes `-> ((loss, aux), gradients)`.

    A gradient is `None` where the loss does not depend on the value, and may be `tf.IndexedSlices`.
    """

    def wrapped(
        values: Sequence[Tensor], *args: Any
    ) -> tuple[tuple[Tensor, Any], list[Tensor | None]]:
        values = [tf.convert_to_tensor(value) for value in values]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            loss, aux = fn(values, *args)
        return (loss, aux), tape.gradient(loss, values)

    return wrapped


def dense(tensor: Tensor) -> Tensor:
    """The same tensor, without the repeated rows that an Embedding's gradient has."""
    return tf.convert_to_tensor(tensor) if isinstance(tensor, tf.IndexedSlices) else tensor
