"""`check_model`: does a model compute with the weights that it is handed?"""

import math
import types
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_sam.backend import keras_internals, repeatable
from keras_sam.convolution_check import strided_pointwise_convolutions
from keras_sam.sam_model import SAMModel
from keras_sam.two_ways import Arrays, TwoWays
from keras_sam.validation import positive

EPSILONS = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float64": 2.0**-52}
Difference = tuple[float, str]  # And of what.


class ModelCheck(NamedTuple):
    """How far what SAM computes is from the model's own computation in place, relatively.

    Attributes:
        inference_loss: The loss at w, in inference mode; all that follows in training mode.
        loss: The loss at w.
        gradient: The gradient at w, as one vector.
        state: What the pass makes of batch statistics, seeds, recurrent states and the like: of the
            variable that differs most.
        perturbed_gradient: The gradient at w + e, as one vector.
        step: The weights, and the state, after one step of SAM with SGD of learning rate 1, which
            is compiled as the model is. NaN for a SAMModel that has its own `call`.
        layers: Convolutions that oneDNN may compute wrongly, see `convolution_check`.
    """

    inference_loss: float
    loss: float
    gradient: float
    state: float
    perturbed_gradient: float
    step: float
    layers: list[str]


def check_model(
    model: keras.Model, batch: Any, *, rho: float = 0.05, tolerance: float = 5e-2
) -> ModelCheck:
    """Compares what SAM computes with the model's own computation in place, on one batch.

    SAM hands a model the weights w + e without assigning them. A model that reads its weights, or
    keeps its state, in another way would train wrongly. Here

        e = rho * g / (||g|| + 1e-12),    g = dL/dw at w,    g' = dL/dw at w + e

    are computed by SAM's loss function, by assigning w + e to the model's variables and asking the
    framework for the gradient, and by a step of SAMModel. Afterwards the model is as before, to the
    last bit.

    Args:
        model: A built and compiled `keras.Model`; or a SAMModel, whose model and masks are checked.
        batch: One batch, `(x, y)` or `(x, y, sample_weight)`.
        rho: The length of the ascent step, > 0. Defaults to 0.05.
        tolerance: The relative difference that is allowed, > 0. Defaults to 5e-2. In float32 there
            are about 1e-6, and more where an activation is within rounding of a kink.

    Returns:
        A `ModelCheck`.

    Raises:
        TypeError: If `model` is no model, or one of the numbers none.
        ValueError: If a difference is above the tolerance; it says which, and of what. If one of
            the two numbers is not above 0, or the model is not compiled.

    Warns:
        UserWarning: If oneDNN may compute the gradient of a layer wrongly.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(loss="mse")
    >>> check_model(model, (np.ones((4, 2)), np.zeros((4, 1)))).layers
    []
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a keras.Model. Received: `model={model!r}`")
    if not model.compiled:
        raise ValueError(f"`model` must be compiled. Received: `model={model!r}`, which is not")
    if not isinstance(batch, tuple) or len(batch) not in (2, 3):
        raise TypeError(
            f"`batch` must be a tuple (x, y) or (x, y, sample_weight). Received: `batch={batch!r}`"
        )
    rho, tolerance = positive("rho", rho), positive("tolerance", tolerance)
    x, y, sample_weight = keras.tree.map_structure(
        lambda t: None if t is None else ops.convert_to_tensor(t),
        keras.utils.unpack_x_y_sample_weight(batch),
    )
    keras_internals.build_from_batch(model, (x, y, sample_weight))
    ways = TwoWays(model, (x, y, sample_weight))
    with ways.restored():
        ways.handed(ways.start)  # Shows state that Keras does not track.
    ways = TwoWays(model, (x, y, sample_weight))
    with ways.restored():
        differences = _differences(model, ways, (x, y, sample_weight), rho)
    check = ModelCheck(
        **{what: value for what, (value, _) in differences.items()},
        layers=strided_pointwise_convolutions(model),
    )
    if check.layers:
        warnings.warn(
            f"oneDNN may compute the kernel gradients of {check.layers} wrongly: 1x1 convolutions "
            "with a stride and few input channels. Set the environment variable "
            "TF_ENABLE_ONEDNN_OPTS=0, or slice x[:, ::2, ::2] and convolve with stride 1.",
            stacklevel=2,
        )
    # NaN on both ways is no difference, on one it is one.
    wrong = [f"{what} ({of})" for what, (value, of) in differences.items() if value > tolerance]
    if wrong:
        raise ValueError(
            "`model` must compute with the values that it is handed: what SAM computes differs "
            f"from the model's own computation by more than {tolerance:g} in {', '.join(wrong)}. "
            f"Received: {check}"
        )
    return check


def _differences(
    model: keras.Model, ways: TwoWays, batch: Any, rho: float
) -> dict[str, Difference]:
    # All draw the same random numbers, PyTorch's own among them.
    same = repeatable(lambda fn, *arguments: fn(*arguments))
    sam, own = same(ways.handed, ways.start), same(ways.own, ways.start)
    norm = _norm(own.gradient)
    moved = [
        (w + rho * g / (norm + 1e-12)).astype(w.dtype)
        for w, g in zip(own.weights, own.gradient, strict=True)
    ]
    sam_moved, own_moved = same(ways.handed, moved), same(ways.own, moved)
    ways.restore()
    stepped = same(_step, model, ways, batch, rho)
    ways.restore()

    weights, state = ([v.path for v in variables] for variables in (ways.weights, ways.state))
    small = 1e-5 * abs(own.loss)  # No gradient beside the rounding of the loss.
    result = {
        "inference_loss": (_relative(*ways.inference_losses()), "the loss"),
        "loss": (_relative(sam.loss, own.loss), "the loss"),
        "gradient": _of_vectors(weights, sam.gradient, own.gradient, small),
        "state": max(
            _of_each([*weights, *state], [*sam.weights, *sam.state], [*own.weights, *own.state])
        ),
        "perturbed_gradient": _of_vectors(weights, sam_moved.gradient, own_moved.gradient, small),
        "step": (math.nan, ""),
    }
    if stepped is not None:
        expected = [w - g for w, g in zip(own.weights, own_moved.gradient, strict=True)]
        rounding = max(100 * EPSILONS.get(str(w.dtype), 2.0**-23) for w in own.weights)
        scale = max(_norm(own_moved.gradient), small, rounding * _norm(own.weights))
        of_weights = _of_vectors(weights, stepped[0], expected, scale, of_both=False)
        # Keras's metrics are no state of the model: the step takes in more of them than a pass.
        metrics = {id(v) for v in model.metrics_variables}
        kept = [i for i, v in enumerate(ways.state) if id(v) not in metrics]
        result["step"] = max(
            of_weights,
            *_of_each(*([items[i] for i in kept] for items in (state, stepped[1], own.state))),
        )
    return result


def _step(
    model: keras.Model, ways: TwoWays, batch: Any, rho: float
) -> tuple[Arrays, Arrays] | None:
    """Weights and state after a step of a SAMModel around the same variables."""
    net: Any = model
    masks = None
    if isinstance(model, SAMModel):
        net, masks = model.model, model.masks or None
    if net is None:
        return None
    kept: Any = types.SimpleNamespace()
    of_model: Any = types.SimpleNamespace()
    keras_internals.lend_compiled_loss(net, kept)
    keras_internals.lend_compiled_loss(model, of_model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of a `train_step` of the model's own.
        sam = SAMModel(net, rho, masks=masks)
    try:
        sam.compile(
            keras.optimizers.SGD(1.0), run_eagerly=model.run_eagerly, jit_compile=model.jit_compile
        )
        keras_internals.lend_compiled_loss(of_model, sam)
        keras_internals.lend_compiled_loss(of_model, net)
        x, y, sample_weight = batch
        sam.train_on_batch(x, y, sample_weight)
    finally:
        keras_internals.lend_compiled_loss(kept, net)
    weights = [np.array(ops.convert_to_numpy(v)) for v in ways.weights]
    return weights, ways.state_arrays()


def _relative(a: float, b: float) -> float:
    return abs(a - b) / max(abs(a), abs(b), 1e-12)


def _of_vectors(
    names: Sequence[str], a: Arrays, b: Arrays, least: float, of_both: bool = True
) -> Difference:
    """The difference of two vectors relative to the longer, and the part that differs most."""
    scale = max(_norm(a), _norm(b), least, 1e-12) if of_both else max(least, 1e-12)
    parts = [
        (_norm([x.astype("float64") - y]), name) for name, x, y in zip(names, a, b, strict=True)
    ]
    total = math.sqrt(sum(difference**2 for difference, _ in parts))
    return total / scale, max(parts, default=(0.0, ""))[1]


def _of_each(names: Sequence[str], a: Arrays, b: Arrays) -> list[Difference]:
    """The difference of each array, relative to it."""
    return [
        (0.0, ""),
        *(
            (
                _norm([x.astype("float64") - y.astype("float64")])
                / max(_norm([x]), _norm([y]), 1e-6),
                name,
            )
            for name, x, y in zip(names, a, b, strict=True)
        ),
    ]


def _norm(arrays: Arrays) -> float:
    return math.sqrt(sum(float(np.sum(np.square(a.astype("float64")))) for a in arrays))
