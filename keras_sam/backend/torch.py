"""PyTorch: differentiation."""

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

import keras
import torch
from keras import ops, tree

Tensor = Any


_nested = ContextVar("nested", default=False)


def value_and_grad(fn: Callable[..., tuple[Tensor, Any]]) -> Callable[..., Any]:
    """`fn(values, *args) -> (loss, aux)` becomes `-> ((loss, aux), gradients)`.

    A gradient is `None` where the loss does not depend on the value. Within another such `fn`,
    gradients can be differentiated again; otherwise no graph outlives the call.
    """

    def wrapped(
        values: Sequence[Tensor], *args: Any
    ) -> tuple[tuple[Tensor, Any], list[Tensor | None]]:
        nested = _nested.get()
        values = [_input(ops.convert_to_tensor(value), nested) for value in values]
        token = _nested.set(True)
        try:
            with torch.enable_grad():  # Whoever calls may have turned it off, as the trainer does.
                loss, aux = fn(values, *args)
        finally:
            _nested.reset(token)
        gradients: list[Tensor | None] = [None] * len(values)
        if loss.requires_grad:
            gradients = list(
                torch.autograd.grad(loss, values, create_graph=nested, allow_unused=True)
            )
        result = (loss, aux), gradients
        return result if nested else tree.map_structure(_detached, result)

    return wrapped


def dense(tensor: Tensor) -> Tensor:
    """The same tensor, without the repeated rows that an embedding's gradient may have."""
    return tensor.to_dense() if tensor.is_sparse else tensor


def read(variable: keras.Variable) -> Tensor:
    """The variable's present value, apart from any graph. It shares the variable's memory."""
    return variable.value.detach()


def _input(value: Tensor, nested: bool) -> Tensor:
    """A tensor to differentiate by, and one that nothing but the function's argument reaches."""
    return (
        value.view_as(value) if nested and value.requires_grad else value.detach().requires_grad_()
    )


def _detached(leaf: Any) -> Any:
    return leaf.detach() if isinstance(leaf, torch.Tensor) else leaf
