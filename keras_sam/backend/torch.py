"""PyTorch: differentiation."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import keras
import torch
from keras import ops, tree
from torch.nn.attention import SDPBackend, sdpa_kernel

from keras_sam.backend import keras_internals
from keras_sam.backend.torch_modules import module_state as module_state
from keras_sam.backend.torch_modules import stateless_modules as stateless_modules

Tensor = Any


class _Context(threading.local):
    """What the functions below are being called from, each thread by itself.

    Attributes:
        nested: From the function that another derivative is taken of.
        vectorized: From the function of a `torch.vmap`, which the tape does not work in.
    """

    def __init__(self) -> None:
        # Not as defaults of the class: torch.compile fails where an attribute comes into being.
        self.nested = False
        self.vectorized = False


_context = _Context()


ASSIGNS_IN_PLACE = True


def value_and_grad(
    fn: Callable[..., tuple[Tensor, Any]], own: Sequence[keras.Variable] = ()
) -> Callable[..., Any]:
    """`fn(values, *args) -> (loss, aux)` becomes `-> ((loss, aux), gradients)`.

    A gradient is `None` where the loss does not depend on the value. Within another such `fn`,
    gradients can be differentiated again; otherwise no graph outlives the call.

    Args:
        fn: The function.
        own: The variables that `values` stand for. A `fn` that depends on one of their parameters
            in place of the value is a ValueError.
    """

    def wrapped(
        values: Sequence[Tensor], *args: Any
    ) -> tuple[tuple[Tensor, Any], list[Tensor | None]]:
        if _context.vectorized:
            return _by_transform(fn, values, *args)
        nested = _context.nested
        values = [_input(ops.convert_to_tensor(value), nested) for value in values]
        _context.nested = True
        try:
            # Whoever calls may have turned gradients off, as Keras's trainer does.
            with torch.enable_grad(), _twice_differentiable() if nested else nullcontext():
                loss, aux = fn(values, *args)
        finally:
            _context.nested = nested
        result = (loss, aux), _gradients([loss], values, create_graph=nested)
        if own and any(gradient is None for gradient in result[1]):
            keras_internals.refuse_reads(own, _parameters(loss))
        return result if nested else tree.map_structure(_detached, result)

    return wrapped


def _by_transform(
    fn: Callable[..., tuple[Tensor, Any]], values: Sequence[Tensor], *args: Any
) -> tuple[tuple[Tensor, Any], list[Tensor | None]]:
    """`value_and_grad` within `torch.vmap`; 0 is the gradient of what the loss does not use."""
    structure: Any = None

    def tensors_of(values: list[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        nonlocal structure
        loss, structure = fn(values, *args)
        # PyTorch takes tuples of tensors, and nothing else.
        return loss, tuple(t for t in tree.flatten(structure) if isinstance(t, torch.Tensor))

    values = [ops.convert_to_tensor(value) for value in values]
    gradients, (loss, tensors) = torch.func.grad_and_value(tensors_of, has_aux=True)(values)
    left = iter(tensors)
    aux = tree.map_structure(
        lambda leaf: next(left) if isinstance(leaf, torch.Tensor) else leaf, structure
    )
    return (loss, aux), gradients


def in_place(
    fn: Callable[[], Tensor], weights: Sequence[keras.Variable], state: Sequence[keras.Variable]
) -> tuple[Tensor, list[Tensor | None]]:
    """`fn()` and its gradient by the weights, which it reads, and may assign, themselves."""
    with torch.enable_grad():
        loss = fn()
    return loss.detach(), _gradients([loss], [weight.value for weight in weights])


def dense(tensor: Tensor) -> Tensor:
    """The same tensor, without the repeated rows that an embedding's gradient may have."""
    return tensor.to_dense() if tensor.is_sparse else tensor


def is_dense(tensor: Tensor) -> bool:
    """Whether it is an ordinary tensor."""
    return tensor.layout is torch.strided


def same_rows(tensors: Sequence[Tensor], batch: Any) -> tuple[int, Any]:
    """The number of rows of tensors that have the same, an int, and the batch."""
    return tensors[0].shape[0], batch


def read(variable: keras.Variable) -> Tensor:
    """The variable's present value, apart from any graph. It shares the variable's memory."""
    return variable.value.detach()


def repeatable(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, except that all calls draw the random numbers of the first.

    Keras's Dropout without a `seed`, and modules of PyTorch, draw them from PyTorch's generators
    and not from the seeds among the arguments. Afterwards these are where the first call left them.
    """
    start: list[Tensor] | None = None

    @torch.compiler.disable(recursive=False)
    def repeated(*args: Any) -> Any:
        nonlocal start
        present = [generator.get_rng_state() for generator in _generators()]
        if start is None:
            start = present
            return fn(*args)
        _set_random_state(start)
        try:
            return fn(*args)
        finally:
            _set_random_state(present)

    return repeated


def branch(predicate: Any, true_fn: Callable[[], Any], false_fn: Callable[[], Any]) -> Any:
    """`true_fn()` where the scalar predicate holds, else `false_fn()`: one of the two is computed.

    Both return nests of tensors and `None` of one structure. Within `vectorized_map`, both are
    computed and one is chosen.
    """
    if not _context.vectorized:
        return true_fn() if predicate else false_fn()
    return tree.map_structure(
        lambda a, b: None if a is None else torch.where(predicate, a, b), true_fn(), false_fn()
    )


def assigned(old: Tensor, new: Tensor) -> Tensor:
    """The new value, whose gradient is that of the old one: in place, they are one parameter."""
    return new.detach() + (old - old.detach())


def hessian_vector_product(fn: Callable[..., tuple[Tensor, Any]]) -> Callable[..., list[Tensor]]:
    """`fn(values, *args) -> (loss, aux)` becomes `(values, vectors, *args) -> products`.

    The products are the derivative of the loss's gradient at `values` in the direction `vectors`,
    two lists of tensors with the same shapes and dtypes; a product is zero where the gradient does
    not depend on the value. Reverse-over-reverse: not all of PyTorch's operations have a forward
    derivative. Can be used inside `vectorized_map`.
    """

    def by_tape(values: list[Tensor], vectors: list[Tensor], *args: Any) -> list[Tensor]:
        values = [_input(value, nested=False) for value in values]
        with torch.enable_grad(), _twice_differentiable():
            loss, _ = fn(values, *args)
        slopes = _gradients([loss], values, create_graph=True)
        used = [(slope, v) for slope, v in zip(slopes, vectors, strict=True) if slope is not None]
        products = _gradients([slope for slope, _ in used], values, [v for _, v in used])
        return [
            torch.zeros_like(value) if product is None else dense(product)
            for value, product in zip(values, products, strict=True)
        ]

    def by_transform(values: list[Tensor], vectors: list[Tensor], *args: Any) -> list[Tensor]:
        gradient = torch.func.grad(lambda v: fn(v, *args)[0])
        with _twice_differentiable():
            pull_back = torch.func.vjp(gradient, values)[1]
        return pull_back(vectors)[0]  # The Hessian is symmetric.

    def wrapped(values: Sequence[Tensor], vectors: Sequence[Tensor], *args: Any) -> list[Tensor]:
        values = [ops.convert_to_tensor(value) for value in values]
        vectors = [
            ops.convert_to_tensor(vector, dtype=value.dtype)
            for value, vector in zip(values, vectors, strict=True)
        ]
        return (by_transform if _context.vectorized else by_tape)(values, vectors, *args)

    return wrapped


def compiled(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The same function: PyTorch is quick to run and slow to compile."""
    return fn


def vectorized_map(fn: Callable[[Any], Any], elements: Any) -> Any:
    """Applies `fn` to each element: `stack([fn(e_1), ..., fn(e_n)])` over the tensors' first axis.

    As one vectorised computation; one element after the other if PyTorch cannot vectorise an
    operation of `fn` (one that looks at a value, a random one).
    """
    try:
        with vectorized():
            return torch.vmap(fn)(elements)
    except (NotImplementedError, RuntimeError, TypeError, ValueError):
        pass  # An error of `fn` itself comes again below, without this one around it.
    each = zip(*(tensor.unbind() for tensor in tree.flatten(elements)), strict=True)
    results = [fn(tree.pack_sequence_as(elements, list(tensors))) for tensors in each]
    return tree.map_structure(lambda *parts: torch.stack(parts), *results)


@contextmanager
def vectorized() -> Iterator[None]:
    """Where a `torch.vmap` is under way, and the tape does not work."""
    _context.vectorized = True
    try:
        yield
    finally:
        _context.vectorized = False


def _gradients(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    grad_outputs: Sequence[Tensor] | None = None,
    create_graph: bool = False,
) -> list[Tensor | None]:
    """`torch.autograd.grad`, which takes no outputs that depend on nothing."""
    grad_outputs = [None] * len(outputs) if grad_outputs is None else grad_outputs
    used = [pair for pair in zip(outputs, grad_outputs, strict=True) if pair[0].requires_grad]
    if not used or not inputs:
        return [None] * len(inputs)
    outputs, grad_outputs = zip(*used, strict=True)
    gradients = torch.autograd.grad(
        outputs, inputs, grad_outputs, create_graph=create_graph, allow_unused=True
    )
    return list(gradients)


def _parameters(output: Tensor) -> Iterator[Tensor]:
    """The parameters that a tensor was computed from."""
    seen, nodes = set(), [output.grad_fn]
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            yield node.variable
        nodes.extend(before for before, _ in node.next_functions)


def _input(value: Tensor, nested: bool) -> Tensor:
    """A tensor to differentiate by, and one that nothing but the function's argument reaches."""
    if nested and value.requires_grad:
        return value.view_as(value)
    return value.detach().requires_grad_()


def _generators() -> list[Any]:
    """The modules that keep a random state: of the CPU, and of the device in use if another."""
    device = ops.zeros(()).device
    return [torch] if device.type == "cpu" else [torch, torch.get_device_module(device)]


def _set_random_state(states: Sequence[Tensor]) -> None:
    for generator, state in zip(_generators(), states, strict=True):
        generator.set_rng_state(state)


def _twice_differentiable() -> AbstractContextManager[Any]:
    """PyTorch's fused attention has a first derivative only."""
    return sdpa_kernel(SDPBackend.MATH)


def _detached(leaf: Any) -> Any:
    return leaf.detach() if isinstance(leaf, torch.Tensor) else leaf
