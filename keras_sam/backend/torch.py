"""PyTorch: differentiation."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import torch
from keras import ops, tree

Tensor = Any


def value_and_grad(fn: Callable[..., tuple[Tensor, Any]]) -> Callable[..., Any]:
    """`fn(values, *args) -> (loss, aux)` becomes `-> ((loss, aux), gradients)`.

    A gradient is `None` where the loss does not depend on the value. No graph outlives the call.
    """

    def wrapped(
        values: Sequence[Tensor], *args: Any
    ) -> tuple[tuple[Tensor, Any], list[Tensor | None]]:
        values = [ops.convert_to_tensor(v).detach().requires_grad_() for v in values]
        with torch.enable_grad():  # Whoever calls may have turned it off, as Keras's trainer does.
            loss, aux = fn(values, *args)
        gradients = [None] * len(values)
        if loss.requires_grad:
            gradients = list(torch.autograd.grad(loss, values, allow_unused=True))
        return tree.map_structure(_detached, (loss, aux)), gradients

    return wrapped


def dense(tensor: Tensor) -> Tensor:
    """The same tensor, without the repeated rows that an embedding's gradient may have."""
    return tensor.to_dense() if tensor.is_sparse else tensor


def read(variable: keras.Variable) -> Tensor:
    """The variable's present value, apart from any graph. It shares the variable's memory."""
    return variable.value.detach()


def _detached(leaf: Any) -> Any:
    return leaf.detach() if isinstance(leaf, torch.Tensor) else leaf
