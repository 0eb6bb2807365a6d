"""TensorFlow: differentiation."""

import contextlib
import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import tree

from keras_sam.backend import keras_internals

Tensor = Any

ASSIGNS_IN_PLACE = True


def value_and_grad(
    fn: Callable[..., tuple[Tensor, Any]], own: Sequence[keras.Variable] = ()
) -> Callable[..., Any]:
    """`fn(values, *args) -> (loss, aux)` becomes `-> ((loss, aux), gradients)`.

    A gradient is `None` where the loss does not depend on the value, and may be `tf.IndexedSlices`.

    Args:
        fn: The function.
        own: The variables that `values` stand for. A `fn` that reads one of them itself, forwards
            or backwards, is a ValueError: the gradient would not be that at `values`.
    """

    def wrapped(
        values: Sequence[Tensor], *args: Any
    ) -> tuple[tuple[Tensor, Any], list[Tensor | None]]:
        values = [tf.convert_to_tensor(value) for value in values]
        with tf.GradientTape(watch_accessed_variables=bool(own)) as reads:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(values)
                loss, aux = fn(values, *args)
            gradients = tape.gradient(loss, values)
        keras_internals.refuse_reads(own, reads.watched_variables())
        return (loss, aux), gradients

    return wrapped


def in_place(
    fn: Callable[[], Tensor], weights: Sequence[keras.Variable], state: Sequence[keras.Variable]
) -> tuple[Tensor, list[Tensor | None]]:
    """`fn()` and its gradient by the weights, which it reads, and may assign, themselves."""
    with tf.GradientTape() as tape:
        loss = fn()
    return loss, tape.gradient(loss, list(weights))


def dense(tensor: Tensor) -> Tensor:
    """The same tensor, without the repeated rows that an Embedding's gradient has."""
    return tf.convert_to_tensor(tensor) if isinstance(tensor, tf.IndexedSlices) else tensor


def is_dense(tensor: Tensor) -> bool:
    """Whether it is an ordinary tensor."""
    return not isinstance(tensor, tf.SparseTensor | tf.RaggedTensor | tf.IndexedSlices)


def same_rows(tensors: Sequence[Tensor], batch: Any) -> tuple[int | Tensor, Any]:
    """The number of rows of the tensors, a scalar if unknown, and the batch.

    Where the graph finds other numbers when it runs, it ends with an error before anything that is
    computed from the batch.
    """
    known = [t.shape[0] for t in tensors if t.shape[0] is not None]
    if len(known) == len(tensors):
        return known[0], batch
    rows = [tf.shape(t)[0] for t in tensors]
    checks = [
        tf.debugging.assert_equal(
            n,
            rows[0],
            "`num_batch_splits` needs inputs, targets and sample weights with one row for each "
            "example, all the same number. Received: a batch with other numbers.",
        )
        for n in rows[1:]
    ]
    with tf.control_dependencies(checks):
        batch = tree.map_structure(lambda t: None if t is None else tf.identity(t), batch)
        return tf.identity(rows[0]), batch


def read(variable: keras.Variable) -> Tensor:
    """The variable's present value, a copy that later assignments leave as it is."""
    return tf.convert_to_tensor(variable.value)


def repeatable(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The same function: Keras's random numbers follow from the seeds among its arguments."""
    return fn


def branch(predicate: Any, true_fn: Callable[[], Any], false_fn: Callable[[], Any]) -> Any:
    """`true_fn()` where the scalar predicate holds, else `false_fn()`: one of the two is computed.

    Both return nests of tensors and `None` of one structure. Within `vectorized_map`, each is
    computed for the elements that take it.
    """
    return tf.cond(predicate, true_fn, false_fn)


def assigned(old: Tensor, new: Tensor) -> Tensor:
    """The new value, whose gradient is that of the old one: in place, they are one variable."""
    return tf.stop_gradient(new) + (old - tf.stop_gradient(old))


def module_state(model: keras.Model) -> list[keras.Variable]:
    """Nothing: a layer's state is in variables."""
    return []


def stateless_modules() -> contextlib.AbstractContextManager[None]:
    """Nothing that can be done: what captures a variable in a graph is refused instead."""
    return contextlib.nullcontext()


def hessian_vector_product(fn: Callable[..., tuple[Tensor, Any]]) -> Callable[..., list[Tensor]]:
    """`fn(values, *args) -> (loss, aux)` becomes `(values, vectors, *args) -> products`.

    The products are the derivative of the loss's gradient at `values` in the direction `vectors`,
    two lists of dense tensors with the same shapes and dtypes; a product is zero where the gradient
    does not depend on the value. Forward-over-reverse: one gradient pass, differentiated as it
    runs. Where TensorFlow has no forward derivative (the loop of an LSTM), reverse-over-reverse,
    which gives the same numbers and keeps more in memory. Can be used inside `vectorized_map`.
    """
    differentiated = value_and_grad(fn)

    def gradients(values: list[Tensor], *args: Any) -> list[Tensor | None]:
        return [None if g is None else dense(g) for g in differentiated(values, *args)[1]]

    def forward_over_reverse(
        values: list[Tensor], vectors: list[Tensor], *args: Any
    ) -> list[Tensor]:
        with tf.autodiff.ForwardAccumulator(values, vectors) as accumulator:
            slopes = gradients(values, *args)
        return [
            tf.zeros_like(value)
            if slope is None
            else dense(accumulator.jvp(slope, unconnected_gradients=tf.UnconnectedGradients.ZERO))
            for value, slope in zip(values, slopes, strict=True)
        ]

    def reverse_over_reverse(
        values: list[Tensor], vectors: list[Tensor], *args: Any
    ) -> list[Tensor]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            slopes = gradients(values, *args)
        used = [(slope, v) for slope, v in zip(slopes, vectors, strict=True) if slope is not None]
        products = tape.gradient(
            [slope for slope, _ in used],
            values,
            output_gradients=[v for _, v in used],
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        return [dense(product) for product in products]

    def wrapped(values: Sequence[Tensor], vectors: Sequence[Tensor], *args: Any) -> list[Tensor]:
        values = [tf.convert_to_tensor(value) for value in values]
        vectors = [
            tf.convert_to_tensor(vector, dtype=value.dtype)
            for value, vector in zip(values, vectors, strict=True)
        ]
        with _twice_differentiable_moments():
            try:
                return forward_over_reverse(values, vectors, *args)
            except (LookupError, NotImplementedError, TypeError, ValueError):
                pass  # An error of `fn` itself comes again below, without this one around it.
            return reverse_over_reverse(values, vectors, *args)

    return wrapped


def compiled(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The same function of tensors, `None` and nests of them, traced once for shapes alike."""
    # TensorFlow counts retracings by the code of a function, and would warn of many where several
    # models have one each. A `partial` has no code: each is counted by itself.
    own = functools.partial(fn)
    return tf.function(own, reduce_retracing=True, autograph=False)  # As Keras traces.


def vectorized_map(fn: Callable[[Any], Any], elements: Any) -> Any:
    """Applies `fn` to each element: `stack([fn(e_1), ..., fn(e_n)])` over the tensors' first axis.

    As one vectorised computation; one element after the other if TensorFlow cannot vectorise an
    operation of `fn` (the loop of an LSTM, a condition).
    """
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # TensorFlow logs the whole graph before it raises.
    try:
        return tf.vectorized_map(fn, elements, fallback_to_while_loop=True)
    except (LookupError, NotImplementedError, TypeError, ValueError):
        pass  # An error of `fn` itself comes again below, without this one around it.
    finally:
        logger.setLevel(level)
    return keras.ops.map(fn, elements)


@contextlib.contextmanager
def _twice_differentiable_moments() -> Iterator[None]:
    """Lends Keras's normalisation layers a variance whose second derivative is right.

    `tf.nn.moments` stops the gradient at the mean inside the variance. That leaves the variance's
    first derivative as it is, but not its second: Hessians of networks with LayerNormalization,
    GroupNormalization or BatchNormalization in training mode would be wrong.
    """
    original = tf.nn.moments
    tf.nn.moments = _moments
    try:
        yield
    finally:
        tf.nn.moments = original


def _moments(
    x: Tensor, axes: Any, shift: Any = None, keepdims: bool = False, name: str | None = None
) -> tuple[Tensor, Tensor]:
    """`tf.nn.moments`, which ignores `shift` and computes 16-bit moments in float32 as well."""
    wide = tf.cast(x, tf.float32) if x.dtype in (tf.float16, tf.bfloat16) else x
    mean = tf.reduce_mean(wide, axes, keepdims=True)
    variance = tf.reduce_mean(tf.math.squared_difference(wide, mean), axes, keepdims=keepdims)
    mean = mean if keepdims else tf.reshape(mean, tf.shape(variance))
    return tf.cast(mean, x.dtype), tf.cast(variance, x.dtype)
