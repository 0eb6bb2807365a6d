"""A linear model under each method, and the same in NumPy."""

import copy

import keras
import numpy as np
from keras import layers

from keras_sam import Every, Late, SAMModel
from keras_sam.methods import ae_sam, friendly, gsam, looksam, mix, msam, vasso
from tests.keras_sam import reference as linear
from tests.keras_sam.methods import reference

RNG = np.random.default_rng(3)
BATCHES, SIZE = 6, 4
X = RNG.normal(size=(BATCHES * SIZE, 4)).astype("float32")
Y = RNG.normal(size=(BATCHES * SIZE, 3)).astype("float32")
KERNEL = RNG.normal(size=(4, 3)).astype("float32")
MASK = np.arange(12).reshape(4, 3) % 5 != 0
RATE, MOMENTUM, RHO = 0.1, 0.9, 0.5

# SAMModel's arguments, the method in NumPy, rho in NumPy.
METHODS = {
    "gsam": ({"method": gsam(0.4)}, lambda: reference.GSAM(0.4), RHO),
    "mix": ({"method": mix(0.7)}, lambda: reference.Mix(0.7), RHO),
    "looksam": (
        {"method": looksam(0.5), "rho": Every(RHO, 3)},
        lambda: reference.LookSAM(0.5),
        reference.every(RHO, 3),
    ),
    "friendly": ({"method": friendly(0.8, 0.7)}, lambda: reference.Friendly(0.8, 0.7), RHO),
    "vasso": ({"method": vasso(0.4)}, lambda: reference.VaSSO(0.4), RHO),
    "msam": ({"method": msam(0.8)}, lambda: reference.MSAM(0.8), RHO),
    "ae_sam": ({"method": ae_sam(0.2, 0.6)}, lambda: reference.AESAM(0.2, 0.6), RHO),
    "late": ({"rho": Late(RHO, 3)}, reference.SAM, reference.late(RHO, 3)),
    "two steps": ({"ascent_steps": 2, "rho": Every(RHO, 2)}, reference.SAM, None),
    "all together": (
        {"method": ae_sam(0.2, 0.6) | friendly(0.8, 0.7) | looksam(0.5)},
        lambda: Together(),
        RHO,
    ),
}


class Together(reference.AESAM, reference.Friendly, reference.LookSAM):
    """AE-SAM's radius, F-SAM's direction, LookSAM's descent."""

    def __init__(self):
        reference.LookSAM.__init__(self, 0.5)
        reference.Friendly.__init__(self, 0.8, 0.7)
        reference.AESAM.__init__(self, 0.2, 0.6)


def build(name, optimizer=None, masked=False, compiled=True, jit_compile="auto", **options):
    """A compiled SAMModel; `compile` takes the options that it knows."""
    for_compile = {key: options.pop(key) for key in ("steps_per_execution",) if key in options}
    net = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    net.set_weights([KERNEL, np.zeros(3)])
    sam = SAMModel(net, **{"rho": RHO, **METHODS[name][0], **options})
    if masked:
        sam.masks = {net.layers[0].kernel.path: MASK}
    if compiled:
        optimizer = optimizer or keras.optimizers.SGD(RATE, momentum=MOMENTUM)
        sam.compile(optimizer, "mse", jit_compile=jit_compile, **for_compile)
    return sam


def batch(step):
    rows = slice(step * SIZE, (step + 1) * SIZE)
    return X[rows], Y[rows]


def flat(model):
    """The trained weights as one vector."""
    arrays = [keras.ops.convert_to_numpy(v) for v in model.trainable_variables]
    return np.concatenate([a.astype("float64").ravel() for a in arrays])


def slope(w, x, y, masked=False):
    """The gradient of the mean squared error at a flat vector of weights."""
    mask = MASK if masked else np.ones((4, 3))
    kernel, bias = linear.gradients([w[:12].reshape(4, 3) * mask, w[12:]], x, y)
    return np.concatenate([(kernel * mask).ravel(), bias])


def loss(w, x, y):
    """The mean squared error at a flat vector of weights."""
    return linear.loss([w[:12].reshape(4, 3), w[12:]], x, y)


def expected(name, steps=BATCHES, masked=False, parts=1):
    """The weights after each step, in NumPy.

    With `parts`, each part of a batch takes a step of its own from the same state, and what comes
    out, gradients and states, is averaged: what splits do, and replicas.
    """
    _, make, rho = METHODS[name]
    ascent_steps = METHODS[name][0].get("ascent_steps", 1)
    rho = reference.every(RHO, 2) if rho is None else rho
    start = np.concatenate([(KERNEL * (MASK if masked else 1.0)).ravel(), np.zeros(3)])
    method, w, velocity, weights = make(), start.astype("float64"), 0.0, []
    for step in range(steps):
        x, y = batch(step)
        radius = rho(step) if callable(rho) else rho
        twins = [copy.deepcopy(method) for _ in range(parts)]
        gradients = [
            twin.step(
                lambda at, x=x_part, y=y_part: slope(at, x, y, masked), w, radius, ascent_steps
            )
            for twin, x_part, y_part in zip(twins, np.split(x, parts), np.split(y, parts))
        ]
        for key in vars(method):
            values = [getattr(twin, key) for twin in twins]
            setattr(method, key, None if values[0] is None else sum(values) / parts)
        if getattr(method, "u", None) is not None:
            method.u = method.u / np.linalg.norm(method.u)
        velocity = MOMENTUM * velocity + sum(gradients) / parts
        w = w - RATE * velocity
        weights.append(w)
    return np.array(weights)
