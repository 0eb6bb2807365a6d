"""PyTorch: members by `torch.vmap` or one by one; there is no program."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
import torch
from keras import ops, tree

from keras_sam.backend import torch as framework
from keras_sam.memory import available_memory

Tensor = Any

# Weights a member up to which it is vectorised on a CPU; on accelerators always.
VECTORIZED = 50_000


def map_members(
    fn: Callable[[Any, Any], Any], shared: Any, members: Any, loop: bool
) -> list[Tensor]:
    """`fn(shared, member)` of each member, a list of tensors each, stacked along a first axis.

    One member after the other too if PyTorch cannot vectorise an operation of `fn` (one that looks
    at a value, a random one).

    Args:
        fn: A function that returns a list of tensors.
        shared: A nest of tensors that is the same for all.
        members: A nest of tensors with a first axis of members.
        loop: Whether one member is computed after the other.
    """
    flat = tree.flatten(members)

    def of_one(tensors: Sequence[Tensor]) -> list[Tensor]:
        return fn(shared, tree.pack_sequence_as(members, list(tensors)))

    if not loop and flat[0].shape[0] > 1:
        try:
            with framework.vectorized():
                return list(torch.vmap(lambda *tensors: tuple(of_one(tensors)))(*flat))
        except (NotImplementedError, RuntimeError, TypeError, ValueError):
            pass  # An error of `fn` itself comes again below, without this one around it.
    results = [of_one(tensors) for tensors in zip(*(t.unbind() for t in flat), strict=True)]
    return [torch.stack(parts) for parts in zip(*results, strict=True)]


class Repeated:
    """A step for each of a number of inputs.

    Args:
        step: `(shared, each_t)`: reads and assigns variables, returns nothing.
        variables: All that it assigns. Not used here.
        one_step: Not used here.
        any_shape: Not used here.
    """

    def __init__(
        self,
        step: Callable[[Any, Any], None],
        variables: Sequence[keras.Variable],
        one_step: bool = False,
        any_shape: bool = False,
    ) -> None:
        self._step = step

    def __call__(self, shared: Any, each: Any) -> None:
        shared, each = tree.map_structure(_tensor, (shared, each))
        with torch.no_grad():
            for i in range(len(tree.flatten(each)[0])):
                self._step(shared, tree.map_structure(lambda t, i=i: t[i], each))


def apply(
    optimizer: keras.optimizers.Optimizer,
    gradients: Sequence[Tensor | None],
    weights: Sequence[keras.Variable],
) -> None:
    """Lets the optimizer step."""
    optimizer.apply(list(gradients), list(weights))


def run_once() -> AbstractContextManager[None]:
    """Nothing to do: single operations are not compiled."""
    return nullcontext()


def is_vectorized(weights: int, convolutional: bool) -> bool:
    """Whether members with so many weights each are computed at once."""
    on_cpu = ops.zeros(()).device.type == "cpu"
    return not on_cpu or (weights <= VECTORIZED and not convolutional)


def steps_apart(convolutional: bool) -> bool:
    """Whether a program is one step of one member."""
    return False


def padded(count: int) -> int:
    """So many members, and as many more as leave no device with fewer than another."""
    return count


def devices() -> int:
    """Over how many devices members are shared out."""
    return 1


def free_memory() -> int:
    """Bytes that arrays may still take."""
    if ops.zeros(()).device.type == "cuda":
        return torch.cuda.mem_get_info()[0]
    return available_memory()


def _tensor(leaf: Any) -> Any:
    return leaf if isinstance(leaf, torch.Tensor) else ops.convert_to_tensor(leaf)
