"""JAX: differentiation."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import keras
from keras import ops

Tensor = Any


def value_and_grad(fn: Callable[..., tuple[Tensor, Any]]) -> Callable[..., Any]:
    """`fn(values, *args) -> (loss, aux)` becomes `-> ((loss, aux), gradients)`.

    The gradient of a value that the loss does not depend on is zero: JAX does not tell.
    """
    differentiated = jax.value_and_grad(fn, has_aux=True)

    def wrapped(values: Sequence[Tensor], *args: Any) -> tuple[tuple[Tensor, Any], list[Tensor]]:
        return differentiated([ops.convert_to_tensor(value) for value in values], *args)

    return wrapped


def dense(tensor: Tensor) -> Tensor:
    """The same tensor: gradients are never sparse here."""
    return tensor


def read(variable: keras.Variable) -> Tensor:
    """The variable's present value, inside a `StatelessScope` that of the scope."""
    return variable.value
