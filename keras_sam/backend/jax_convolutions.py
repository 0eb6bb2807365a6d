"""JAX: convolutions as XLA's CPU library takes them, wherever in a program they stand.

XLA computes a convolution on a CPU by a library (Eigen) where the images' channels come last and
the kernel is `(..., in, out)`, and else by plain loops, twenty times slower. Gradients come in
other orders. XLA itself transposes their operands, but only of those outside of branches and loops:
its pass, `ConvCanonicalization`, looks at a program's entry alone. Here all are transposed.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, jaxpr_as_fun

Tensor = Any


def channels_last(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The same function of tensors, its convolutions in the order that CPUs compute fast."""

    def wrapped(*args: Any) -> Any:
        program, result = jax.make_jaxpr(fn, return_shape=True)(*args)
        leaves = jaxpr_as_fun(_rewritten(program))(*jax.tree.leaves(args))
        return jax.tree.unflatten(jax.tree.structure(result), leaves)

    return wrapped


def _rewritten(part: Any) -> Any:
    """A program, or a parameter of an operation, which may be one: itself if it has none of them.

    (Operations that share a program are compiled once.)
    """
    if isinstance(part, ClosedJaxpr):
        program = _rewritten(part.jaxpr)
        return part if program is part.jaxpr else part.replace(jaxpr=program)
    if isinstance(part, Jaxpr):
        operations = [_operation(eqn) for eqn in part.eqns]
        return part if _same(operations, part.eqns) else part.replace(eqns=operations)
    if type(part) is tuple:
        entries = tuple(_rewritten(entry) for entry in part)
        return part if _same(entries, part) else entries
    return part


def _operation(eqn: JaxprEqn) -> JaxprEqn:
    if eqn.primitive is not jax.lax.conv_general_dilated_p:
        names, parts = list(eqn.params), list(eqn.params.values())
        new = [_rewritten(part) for part in parts]
        same = _same(new, parts)
        return eqn if same else eqn.replace(params=dict(zip(names, new, strict=True)))
    operands: list[Any] = [v.aval for v in eqn.invars]
    shapes = [jax.ShapeDtypeStruct(operand.shape, operand.dtype) for operand in operands]
    call = jax.jit(partial(_convolution, **eqn.params))
    return jax.make_jaxpr(call)(*shapes).eqns[0].replace(invars=eqn.invars, outvars=eqn.outvars)


def _same(new: Sequence[Any], old: Sequence[Any]) -> bool:
    return all(a is b for a, b in zip(new, old, strict=True))


def _convolution(
    images: Tensor, kernel: Tensor, *, dimension_numbers: Any, **parameters: Any
) -> Tensor:
    """The convolution of these operands, by one of transposed operands."""
    rank = images.ndim
    of_images, of_kernel, of_result = (_last(spec) for spec in dimension_numbers)
    batch_first = (0, rank - 1, *range(1, rank - 1))
    result = jax.lax.conv_general_dilated_p.bind(
        images.transpose(of_images),
        kernel.transpose((*of_kernel[1:], of_kernel[0])),
        dimension_numbers=jax.lax.ConvDimensionNumbers(
            batch_first, (rank - 1, rank - 2, *range(rank - 2)), batch_first
        ),
        **parameters,
    )
    return result.transpose([of_result.index(axis) for axis in range(rank)])


def _last(spec: tuple[int, ...]) -> tuple[int, ...]:
    """`(batch, channels, *space)`, or `(out, in, *space)`, with the second at the end."""
    first, second, *space = spec
    return (first, *space, second)
