"""Optimizers that treat every entry of a weight by itself, and so may step a stack of weights.

The weights of all members, stacked along a first axis, are one weight to an ordinary optimizer.
Where each entry's update depends on that entry alone it does to each member what it would do to it
alone. Of what looks across a weight (a norm, a mean, a matrix) that is not true.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from keras_sam.optimizers import SGD

Tensor = Any
ELEMENTWISE = (
    SGD,
    keras.optimizers.SGD,
    keras.optimizers.Adadelta,
    keras.optimizers.Adagrad,
    keras.optimizers.Adam,
    keras.optimizers.AdamW,
    keras.optimizers.Adamax,
    keras.optimizers.Ftrl,
    keras.optimizers.Lion,
    keras.optimizers.Nadam,
    keras.optimizers.RMSprop,
)
# What an optimizer of these names takes over a whole weight.
_MIXING = {
    "Adafactor": "scales by means over rows, columns and the whole weight",
    "Lamb": "scales each update by the norms of weight and update",
    "LossScaleOptimizer": "skips a step of all members where the gradient of one overflows",
    "Muon": "orthogonalises each update as a matrix",
}
_OPTIONS = {
    "clipnorm": "clips by the norm of a whole gradient",
    "global_clipnorm": "clips by the norm of all gradients together",
    "use_ema": "puts averages in place of the weights after training",
    "loss_scale_factor": "scales the loss, which has no use here",
}


def optimizer_maker(optimizer: Any) -> Callable[[], keras.optimizers.Optimizer]:
    """A function that makes new optimizers of this kind, each for weights of its own.

    Args:
        optimizer: What `keras.Model.compile` takes, or such a function.

    Raises:
        TypeError: If it is neither.
        ValueError: If the optimizer looks across a weight; says how.
    """
    if callable(optimizer) and not isinstance(optimizer, keras.optimizers.Optimizer):
        make = optimizer
    else:
        instance = keras.optimizers.get(optimizer)
        config = copy.deepcopy(instance.get_config())

        def make() -> Any:
            return type(instance).from_config(copy.deepcopy(config))

        _check(instance)
    made = make()
    if not isinstance(made, keras.optimizers.Optimizer):
        raise TypeError(
            "`optimizer` must be a Keras optimizer, its name, or a function that makes one. "
            f"Received: `optimizer={optimizer!r}`"
        )
    _check(made)
    return make


def own_rates(
    optimizer: keras.optimizers.Optimizer,
    factor: keras.Variable | None,
    weight_decay: keras.Variable | None,
) -> None:
    """Gives each member along the first axis of the weights rates of its own.

    Args:
        optimizer: The optimizer, changed in place.
        factor: By what each member's learning rate is multiplied, or `None`.
        weight_decay: Each member's weight decay, or `None`.
    """
    original, is_coupled = optimizer.update_step, isinstance(optimizer, SGD)
    decoupled = optimizer._apply_weight_decay
    if weight_decay is not None:
        optimizer.weight_decay = None

    def update_step(gradient: Tensor, variable: Any, learning_rate: Any) -> None:
        if weight_decay is not None and is_coupled and optimizer._use_weight_decay(variable):
            decay = _along(weight_decay, variable)
            gradient = ops.cast(gradient, variable.dtype) + decay * ops.convert_to_tensor(variable)
        if factor is not None:
            learning_rate = ops.cast(learning_rate, variable.dtype) * _along(factor, variable)
        original(gradient, variable, learning_rate)

    def apply_weight_decay(variables: Sequence[Any]) -> None:
        decay = weight_decay
        if decay is None and factor is None:
            decoupled(variables)
        if is_coupled or (decay is None and not optimizer.weight_decay):
            return
        for variable in variables:
            if optimizer._use_weight_decay(variable):
                rate = ops.cast(optimizer.learning_rate, variable.dtype)
                own = ops.cast(optimizer.weight_decay or 0.0, variable.dtype)
                if decay is not None:
                    own = _along(decay, variable)
                if factor is not None:
                    rate = rate * _along(factor, variable)
                value = ops.convert_to_tensor(variable)
                variable.assign(value - value * own * rate)

    def one_by_one(gradients: Any, variables: Any, learning_rate: Any) -> None:
        for gradient, variable in zip(gradients, variables, strict=True):
            update_step(gradient, variable, learning_rate)

    if factor is not None or weight_decay is not None:
        optimizer.update_step = update_step
        optimizer._apply_weight_decay = apply_weight_decay
        if hasattr(optimizer, "_parallel_update_step"):  # On PyTorch: of all weights at once.
            optimizer._parallel_update_step = one_by_one


def _along(values: keras.Variable, variable: Any) -> Tensor:
    """One value a member, in the shape that multiplies a stack of weights."""
    shape = (-1, *[1] * (len(variable.shape) - 1))
    return ops.cast(ops.reshape(values, shape), variable.dtype)


def _check(optimizer: Any) -> None:
    name = type(optimizer).__name__
    for option, what in _OPTIONS.items():
        if getattr(optimizer, option, None):
            raise ValueError(
                "`optimizer` must treat every entry of a weight by itself, to step all members at "
                f"once; `{option}` {what}. "
                f"Received: `{name}({option}={getattr(optimizer, option)!r})`"
            )
    kinds = [type(optimizer)]
    if kinds[0].__module__.startswith("keras.src.backend."):  # What stands for one on PyTorch.
        kinds += kinds[0].__bases__
    if any(kind in ELEMENTWISE for kind in kinds) or getattr(kinds[0], "elementwise", False):
        return
    what = _MIXING.get(name, "is not known to")
    reason = f"{name} {what}" + (
        "; where it does, say `elementwise = True` in its class" if name not in _MIXING else ""
    )
    raise ValueError(
        "`optimizer` must treat every entry of a weight by itself, to step all members at once; "
        f"{reason}. Received: `optimizer={optimizer!r}`"
    )
