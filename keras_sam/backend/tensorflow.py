"""TensorFlow: differentiation."""

import contextlib
import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

Tensor = Any


def value_and_grad(fn: Callable[..., tuple[Tensor, Any]]) -> Callable[..., Any]:
    """`fn(values, *args) -> (loss, aux)` becomes `-> ((loss, aux), gradients)`.

    A gradient is `None` where the loss does not depend on the value, and may be `tf.IndexedSlices`.
    """

    def wrapped(
        values: Sequence[Tensor], *args: Any
    ) -> tuple[tuple[Tensor, Any], list[Tensor | None]]:
        values = [tf.convert_to_tensor(value) for value in values]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            loss, aux = fn(values, *args)
        return (loss, aux), tape.gradient(loss, values)

    return wrapped


def dense(tensor: Tensor) -> Tensor:
    """The same tensor, without the repeated rows that an Embedding's gradient has."""
    return tf.convert_to_tensor(tensor) if isinstance(tensor, tf.IndexedSlices) else tensor


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
