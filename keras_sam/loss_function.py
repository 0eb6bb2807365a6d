"""A Keras model's loss as a pure function of its weights: the one idea of this package.

Inside a `keras.StatelessScope` a model computes with the values that it is handed, and what it
would assign is collected instead. So the loss at `w + e`, the loss with masked weights and a
Hessian-vector product need no change to any variable, and nothing has to be undone.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
from keras import ops

Tensor = Any
Batch = tuple[Any, Any, Any]
LossFunction = Callable[
    [Sequence[Tensor], Sequence[Tensor], Batch], tuple[Tensor, tuple[Any, list[Tensor | None]]]
]


def state_variables(model: keras.Model) -> list[keras.Variable]:
    """All that a training pass may read or update besides the trainable weights.

    Args:
        model: A built `keras.Model`.

    Returns:
        Its non-trainable variables (BatchNorm statistics, seeds, frozen weights, masks) and the
        variables of its metrics, each once.
    """
    variables = [*model.non_trainable_variables, *model.metrics_variables]
    return list({id(v): v for v in variables}.values())


def loss_function(model: keras.Model, training: bool = True) -> LossFunction:
    """Returns `loss_fn(trainable_values, state_values, batch)`, which changes nothing.

        L(w) = compute_loss(model(x; m * w)),    m: the model's pruning masks, 1 where it has none

    Args:
        model: A built and compiled `keras.Model`. If it has an attribute `mask_variables`, a dict
            from the path of a weight to its boolean mask (as SAMModel has), the weights are masked.
        training: Whether the pass is one of training (dropout, batch statistics).
            Defaults to `True`.

    Returns:
        `loss_fn(trainable_values, state_values, batch) -> (loss, (y_pred, new_state))`, where
        `batch = (x, y, sample_weight)`. `trainable_values` runs parallel to
        `model.trainable_variables`, `state_values` and `new_state` to `state_variables(model)`;
        `new_state` is `None` where the pass left a variable as it was. The loss is the whole one:
        regularisation and `add_loss` included. On torch, a Dropout without a seed draws from
        PyTorch's own generator, which is no part of the state.

    Example:

    >>> import keras, numpy as np
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    >>> model.compile(loss="mse")
    >>> loss_fn = loss_function(model)
    >>> x = y = np.ones((1, 1), "float32")
    >>> state = [v.value for v in state_variables(model)]
    >>> loss, _ = loss_fn([np.array([[3.0]], "float32")], state, (x, y, None))
    >>> float(loss)  # (3 * 1 - 1)^2, whatever the model's own weight is
    4.0
    """
    trainable = model.trainable_variables
    state = state_variables(model)
    masks: Mapping[str, keras.Variable] = getattr(model, "mask_variables", {})
    call_arguments = {"training": training} if _takes_training(model.call) else {}

    def loss_fn(
        trainable_values: Sequence[Tensor], state_values: Sequence[Tensor], batch: Batch
    ) -> tuple[Tensor, tuple[Any, list[Tensor | None]]]:
        x, y, sample_weight = batch
        current = dict(zip(map(id, state), state_values, strict=True))
        mapping = list(zip(state, state_values, strict=True))
        for variable, value in zip(trainable, trainable_values, strict=True):
            if variable.path in masks:
                # `where`, not a product: no -0.0, and no NaN from a weight that is not there.
                mask = current[id(masks[variable.path])]
                value = ops.where(mask, value, ops.zeros_like(value))
            mapping.append((variable, value))
        with keras.StatelessScope(state_mapping=mapping, collect_losses=True) as scope:
            before = [scope.get_current_value(v) for v in state]
            y_pred = model(x, **call_arguments)
            loss = compute_loss(model, x, y, y_pred, sample_weight, training)
        after = [scope.get_current_value(v) for v in state]
        new_state = [b if b is not a else None for a, b in zip(before, after, strict=True)]
        return loss, (y_pred, new_state)

    return loss_fn


def compute_loss(
    model: keras.Model, x: Any, y: Any, y_pred: Any, sample_weight: Any, training: bool
) -> Tensor:
    """`model.compute_loss(...)`, whose override may be of the time before it took `training`."""
    arguments = {"training": training} if _takes_training(model.compute_loss) else {}
    return model.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, **arguments)


def _takes_training(function: Callable[..., Any]) -> bool:
    return "training" in inspect.signature(function).parameters
