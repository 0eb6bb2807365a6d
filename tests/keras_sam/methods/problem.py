"""A small problem with gradients by hand, and training on it with the pure layer.

L_t(w) = w'Hw / 2 + 0.1 sum w^4 + b_t'w, w in two tensors of (3, 2) and (4,), another b a step
"""

import contextlib

import keras
import numpy as np
from keras import ops

from keras_sam.backend import compiled
from keras_sam.methods import Method
from keras_sam.perturbation import normalized
from keras_sam.sam_gradient import sam_gradient

BACKEND = keras.backend.backend()
RNG = np.random.default_rng(0)
ROOT = RNG.normal(size=(10, 10))
H = ROOT @ ROOT.T / 10
B = RNG.normal(size=(12, 10))
W = RNG.normal(size=10)
SHAPES = ((3, 2), (4,))
RHO = 0.25  # A binary number: the same in float32, which schedules have.


def gradient(w, step):
    return H @ w + 0.4 * w**3 + B[step]


def double():
    """float64 on JAX too."""
    if BACKEND != "jax":
        return contextlib.nullcontext()
    import jax

    return jax.enable_x64(True) if hasattr(jax, "enable_x64") else jax.experimental.enable_x64()


def tensors(flat, dtype="float64"):
    return [
        ops.convert_to_tensor(part.reshape(shape), dtype=dtype)
        for part, shape in zip(np.split(flat, [6]), SHAPES)
    ]


def flat(parts):
    return np.concatenate([np.asarray(ops.convert_to_numpy(p), "float64").ravel() for p in parts])


class Loss:
    """`value_and_grad` of one step's loss, which counts how often it is asked."""

    def __init__(self, b, scale=1.0, quadratic=False):
        self.passes = 0
        self.b = b
        self.h = ops.convert_to_tensor(scale * H, dtype="float64")
        self.cubic = 0.0 if quadratic else 0.4 * scale

    def __call__(self, weights):
        self.passes += 1
        w = ops.concatenate([ops.reshape(weight, (-1,)) for weight in weights])
        product = ops.reshape(self.h @ ops.reshape(w, (-1, 1)), (-1,))
        g = product + self.cubic * w**3 + self.b
        loss = ops.sum(w * product) / 2 + self.cubic / 4 * ops.sum(w**4) + ops.sum(self.b * w)
        return (loss, None), [ops.reshape(g[:6], SHAPES[0]), ops.reshape(g[6:], SHAPES[1])]


def train(
    method=None,
    rho=RHO,
    steps=12,
    learning_rate=0.1,
    momentum=0.9,
    quadratic=False,
    as_tensor=False,
    perturbation=normalized,
    **options,
):
    """The weights after each step, as `reference.trajectory`, and the passes of each.

    A schedule, or `as_tensor`, makes rho a tensor, and the second pass a branch.
    """
    method = method or Method()
    as_tensor = as_tensor or callable(rho)
    passes = []

    def take(weights, state, b, rho):
        loss = Loss(b, quadratic=quadratic)
        result = sam_gradient(loss, weights, rho, perturbation, method, state, **options)
        passes.append(loss.passes)
        return result.gradients, result.state

    with double():
        # Outside of a program, JAX compiles each branch anew. Elsewhere steps are eager.
        step_function = compiled(take) if as_tensor and BACKEND == "jax" else take
        state, w, velocity, weights = method.state(tensors(W)), W, 0.0, []
        for step in range(steps):
            radius = rho(step) if callable(rho) else rho
            if as_tensor:
                radius = ops.cast(ops.convert_to_tensor(radius), "float64")
            b = ops.convert_to_tensor(B[step], dtype="float64")
            h, state = step_function(tensors(w), state, b, radius)
            velocity = momentum * velocity + flat(h)
            w = w - learning_rate * velocity
            weights.append(w)
    return np.array(weights), passes
