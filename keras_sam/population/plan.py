"""How many members at once, and how: by the size of one, and by the memory there is."""

import dataclasses
import math
from typing import Any

import keras

from keras_sam.backend import keras_internals, programs
from keras_sam.memory import NotEnoughMemoryError

# How often a member's weights are in memory during a step: w, g, w + e, g', what the optimizer
# returns, and a copy on the way. The optimizer's own variables, two at most, are counted apart.
_COPIES = 6
_SLOTS = 3
# How often an activation is: itself and its gradient.
_PASSES = 2


@dataclasses.dataclass(frozen=True)
class Plan:
    """How members are computed.

    Attributes:
        chunk: Members that one program holds.
        loop: Whether the program computes them one after the other.
        one_step: Whether a program is one step.
    """

    chunk: int
    loop: bool
    one_step: bool


def plan(
    network: keras.Model, members: int, batch_size: int, chunk: int | None, vectorize: bool | None
) -> Plan:
    """Says how members are computed.

    Args:
        network: The network of one.
        members: How many there are.
        batch_size: Examples in a batch.
        chunk: How many at once, as the user wants it; `None` for as many as the memory allows.
        vectorize: Whether all at once or one after the other; `None` to decide by size.

    Raises:
        NotEnoughMemoryError: If there is less memory than they need.
    """
    weights = sum(math.prod(v.shape) for v in network.trainable_variables)
    convolutional = any(_is_convolution(layer) for layer in keras_internals.all_layers(network))
    vectorized = programs.is_vectorized(weights, convolutional) if vectorize is None else vectorize
    one_step = vectorize is None and chunk is None and programs.steps_apart(convolutional)
    loop = not vectorized
    size = sum(math.prod(v.shape) * _bytes(v.dtype) for v in network.variables)
    working = _COPIES * size + _PASSES * batch_size * _activations(network)
    free = programs.free_memory() - _SLOTS * size * members
    # A loop holds the working memory of a few members, those that are computed side by side.
    fitting = math.floor(free / working) if working else members
    if loop:
        fitting = members if fitting >= min(2, members) else fitting
    wanted = 1 if one_step else chunk or min(members, max(1, fitting))
    if fitting < min(wanted, members):
        needed = _SLOTS * size * members + working * (2 if loop else min(wanted, members))
        remedy = f"`chunk={fitting}` fits." if fitting > 0 else "Not even `chunk=1` fits."
        raise NotEnoughMemoryError(
            f"{members} members, {min(wanted, members)} at once, would need "
            f"{needed / 2**30:.3g} GiB of memory, and {programs.free_memory() / 2**30:.3g} GiB are "
            f"available. {remedy} "
            f"Received: `chunk={chunk}`, `batch_size={batch_size}`"
        )
    chunks = math.ceil(members / min(wanted, members))
    even = math.ceil(members / chunks)
    return Plan(min(chunk, members) if chunk else even, loop, one_step)


def _is_convolution(layer: Any) -> bool:
    return "Conv" in type(layer).__name__


def _activations(network: keras.Model) -> int:
    """Bytes that the outputs of all layers take for one example, as far as layers know them."""
    total = 0
    for layer in keras_internals.all_layers(network):
        try:
            outputs = keras.tree.flatten(layer.output)
        except (AttributeError, ValueError):  # Called never, several times, or inside a subclass.
            continue
        total += sum(4 * math.prod(n or 1 for n in output.shape[1:]) for output in outputs)
    return total


def _bytes(dtype: Any) -> int:
    name = keras.backend.standardize_dtype(dtype)
    return 1 if name == "bool" else int("".join(c for c in name if c.isdigit())) // 8
