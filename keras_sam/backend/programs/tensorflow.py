"""TensorFlow: members by `tf.vectorized_map` or `tf.map_fn`, steps by `tf.while_loop`."""

import functools
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
import tensorflow as tf

from keras_sam.memory import available_memory

Tensor = Any

# Weights a member up to which it is vectorised. SAM steps of digits MLPs on 2 cores, 25 members,
# ms a member-step vectorised and looped: .31 .52 (2,370 weights), .58 .80 (13,050), 4.7 2.1
# (109,770). The loop computes members side by side on the cores.
VECTORIZED = 20_000


def map_members(
    fn: Callable[[Any, Any], Any], shared: Any, members: Any, loop: bool
) -> list[Tensor]:
    """`fn(shared, member)` of each member, a list of tensors each, stacked along a first axis.

    Args:
        fn: A function that returns a list of tensors.
        shared: A nest of tensors that is the same for all.
        members: A nest of tensors with a first axis of members.
        loop: Whether members are computed one by one, side by side where there are cores.
    """
    flat = tf.nest.flatten(members)

    def of_one(tensors: Sequence[Tensor]) -> list[Tensor]:
        return fn(shared, tf.nest.pack_sequence_as(members, list(tensors)))

    if flat[0].shape[0] == 1:
        return [t[None] for t in of_one([t[0] for t in flat])]
    if not loop:
        logger = tf.get_logger()
        level = logger.level
        logger.setLevel(logging.ERROR)  # It warns of each operation that it puts into a loop.
        try:
            return tf.vectorized_map(of_one, flat, fallback_to_while_loop=True)
        finally:
            logger.setLevel(level)
    specs = [tf.TensorSpec(t.shape[1:], t.dtype) for t in flat]
    # Traced apart: `map_fn` asks for the dtypes of the results before it traces.
    traced = tf.function(of_one, autograph=False).get_concrete_function(specs)
    signature = tf.nest.map_structure(
        lambda t: tf.TensorSpec(t.shape, t.dtype), traced.structured_outputs
    )
    return tf.map_fn(lambda tensors: traced(*tensors), flat, fn_output_signature=signature)


class Repeated:
    """A step for each of a number of inputs, as one graph.

    Args:
        step: `(shared, each_t)`: reads and assigns variables, returns nothing.
        variables: All that it assigns.
        one_step: Not used here.
        any_shape: Whether one graph serves for all numbers of examples and of steps.
    """

    def __init__(
        self,
        step: Callable[[Any, Any], None],
        variables: Sequence[keras.Variable],
        one_step: bool = False,
        any_shape: bool = False,
    ) -> None:
        def run(shared: Any, each: Any) -> None:
            count = tf.shape(tf.nest.flatten(each)[0])[0]

            def body(i: Tensor) -> tuple[Tensor]:
                step(shared, tf.nest.map_structure(lambda t: t[i], each))
                return (i + 1,)

            tf.while_loop(lambda i: i < count, body, (tf.constant(0),), parallel_iterations=1)

        # A `partial`, whose traces TensorFlow counts by themselves and not by its code.
        self._run = tf.function(functools.partial(run), autograph=False, reduce_retracing=True)
        self._any_shape = any_shape
        self._traces: dict[Any, Any] = {}

    def __call__(self, shared: Any, each: Any) -> None:
        if not self._any_shape:
            self._run(shared, each)
            return
        # (examples, ...) and (steps, members, batch, ...); a member's own are (members, examples).
        specs = {name: _with_free(nest, (0,)) for name, nest in shared.items() if name != "own_y"}
        if "own_y" in shared:
            specs["own_y"] = _with_free(shared["own_y"], (1,))
        free = (specs, _with_free(each, (0, 2)))
        key = str(free)
        if key not in self._traces:
            self._traces[key] = self._run.get_concrete_function(*free)
        self._traces[key](*tf.nest.flatten((shared, each)))


def _with_free(nest: Any, axes: Sequence[int]) -> Any:
    """The specification of tensors whose sizes along some axes may be any."""

    def spec(tensor: Tensor) -> tf.TensorSpec:
        shape = [None if i in axes else n for i, n in enumerate(tensor.shape)]
        return tf.TensorSpec(shape, tensor.dtype)

    return tf.nest.map_structure(spec, nest)


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
    if tf.config.list_physical_devices("GPU"):
        return not convolutional  # Batched filters are a loop there too.
    return weights <= VECTORIZED and not convolutional


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
    return available_memory()
