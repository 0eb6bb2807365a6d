"""JAX: differentiation."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax
import keras
from jax.experimental.sparse import JAXSparse
from keras import ops

from keras_sam.backend.jax_convolutions import channels_last

Tensor = Any

ASSIGNS_IN_PLACE = False  # Keras's step is a function of all tracked state, as JAX wants it.


def value_and_grad(
    fn: Callable[..., tuple[Tensor, Any]], own: Sequence[keras.Variable] = ()
) -> Callable[..., Any]:
    """`fn(values, *args) -> (loss, aux)` becomes `-> ((loss, aux), gradients)`.

    The gradient of a value that the loss does not depend on is zero: JAX does not tell. `own` is
    not used: a traced function has no other access to a variable than by its scope.
    """
    differentiated = jax.value_and_grad(fn, has_aux=True)

    def wrapped(values: Sequence[Tensor], *args: Any) -> tuple[tuple[Tensor, Any], list[Tensor]]:
        return differentiated([ops.convert_to_tensor(value) for value in values], *args)

    return wrapped


def in_place(
    fn: Callable[[], Tensor], weights: Sequence[keras.Variable], state: Sequence[keras.Variable]
) -> tuple[Tensor, list[Tensor]]:
    """`fn()` and its gradient by the weights, by Keras's own scope; `state` is then assigned."""

    def scoped(values: list[Tensor]) -> tuple[Tensor, list[Tensor | None]]:
        with keras.StatelessScope(zip(weights, values, strict=True), collect_losses=True) as scope:
            loss = fn()
        return loss, [scope.get_current_value(variable) for variable in state]

    values = [weight.value for weight in weights]
    (loss, new), gradients = jax.value_and_grad(scoped, has_aux=True)(values)
    for variable, value in zip(state, new, strict=True):
        if value is not None:
            variable.assign(value)
    return loss, gradients


def dense(tensor: Tensor) -> Tensor:
    """The same tensor: gradients are never sparse here."""
    return tensor


def is_dense(tensor: Tensor) -> bool:
    """Whether it is an ordinary tensor."""
    return not isinstance(tensor, JAXSparse)


def same_rows(tensors: Sequence[Tensor], batch: Any) -> tuple[int, Any]:
    """The number of rows of tensors that have the same, an int, and the batch."""
    return tensors[0].shape[0], batch


def read(variable: keras.Variable) -> Tensor:
    """The variable's present value, inside a `StatelessScope` that of the scope."""
    return variable.value


def repeatable(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The same function: Keras's random numbers follow from the seeds among its arguments."""
    return fn


def branch(predicate: Any, true_fn: Callable[[], Any], false_fn: Callable[[], Any]) -> Any:
    """`true_fn()` where the scalar predicate holds, else `false_fn()`: one of the two is computed.

    Both return nests of tensors and `None` of one structure. Within `vectorized_map`, both are
    computed and one is chosen.
    """

    def chosen(predicate: Any) -> Any:
        return jax.lax.cond(predicate, true_fn, false_fn)

    return (channels_last(chosen) if jax.default_backend() == "cpu" else chosen)(predicate)


def hessian_vector_product(fn: Callable[..., tuple[Tensor, Any]]) -> Callable[..., list[Tensor]]:
    """`fn(values, *args) -> (loss, aux)` becomes `(values, vectors, *args) -> products`.

    The products are the derivative of the loss's gradient at `values` in the direction `vectors`,
    two lists of tensors with the same shapes and dtypes. Forward-over-reverse: one gradient pass,
    differentiated as it runs.
    """
    gradient = jax.grad(fn, has_aux=True)

    def wrapped(values: Sequence[Tensor], vectors: Sequence[Tensor], *args: Any) -> list[Tensor]:
        values = [ops.convert_to_tensor(value) for value in values]
        vectors = [
            ops.convert_to_tensor(vector, dtype=value.dtype)
            for value, vector in zip(values, vectors, strict=True)
        ]
        _, products, _ = jax.jvp(lambda v: gradient(v, *args), (values,), (vectors,), has_aux=True)
        return products

    return wrapped


def compiled(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The same function of tensors, `None` and nests of them, compiled once for shapes alike."""
    return jax.jit(fn)


def vectorized_map(fn: Callable[[Any], Any], elements: Any) -> Any:
    """Applies `fn` to each element: `stack([fn(e_1), ..., fn(e_n)])` over the tensors' first axis.

    As one vectorised computation.
    """
    return jax.vmap(fn)(elements)


def assigned(old: Tensor, new: Tensor) -> Tensor:
    """The new value: Keras on JAX differentiates through the assignment."""
    return new


def module_state(model: keras.Model) -> list[keras.Variable]:
    """Nothing: a layer's state is in variables."""
    return []


def stateless_modules() -> AbstractContextManager[None]:
    """Nothing to do: layers that wrap functions of JAX hand them their variables' values."""
    return nullcontext()
