"""A Keras model's loss as a pure function of its weights: the one idea of this package.

Inside a `keras.StatelessScope` a model computes with the values that it is handed, and what it
would assign is collected instead. So the loss at `w + e`, the loss with masked weights and a
Hessian-vector product need no change to any variable, and nothing has to be undone.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import keras
from keras import ops, tree

from keras_sam import backend
from keras_sam.backend import keras_internals
from keras_sam.loss_count import LossCount
from keras_sam.pass_scope import PassScope

Tensor = Any
Batch = tuple[Any, Any, Any]


class Outcome(NamedTuple):
    """What a pass computes besides the loss.

    Attributes:
        predictions: The model's outputs.
        masks: Their Keras masks, one entry for each leaf, `None` where there is none.
        state: The new values of `state_variables(model)`, `None` where they stay.
        weights: The values of trainable variables that the forward pass itself assigned, `None` for
            all others.
        divisor: How much the loss counts among those of other parts of a batch, in place of its
            number of examples; `None` if by that, or if it was not asked for.
        norms: Of the step that the pass belongs to, if its ascent is logged: those of gradient and
            perturbation.
    """

    predictions: Any
    masks: list[Tensor | None]
    state: list[Tensor | None]
    weights: list[Tensor | None]
    divisor: Tensor | None
    norms: Sequence[Tensor] = ()


LossFunction = Callable[[Sequence[Tensor], Sequence[Tensor], Batch], tuple[Tensor, Outcome]]

# What passes were seen to assign though Keras does not track it. With the model it is forgotten.
_found: WeakKeyDictionary[keras.Model, list[keras.Variable]] = WeakKeyDictionary()


def state_variables(model: keras.Model) -> list[keras.Variable]:
    """All that a training pass may read or update besides the trainable weights.

    Args:
        model: A built `keras.Model`.

    Returns:
        Its non-trainable variables (BatchNorm statistics, seeds, frozen weights, masks), the
        variables of its metrics, the buffers of PyTorch's modules, and what a pass was seen to
        assign although Keras does not track it (the states of a stateful RNN, Keras's global
        seed), each once.
    """
    variables = [
        *model.non_trainable_variables,
        *model.metrics_variables,
        *backend.module_state(model),
        *_found.get(model, []),
    ]
    return list({id(v): v for v in variables}.values())


def loss_function(
    model: keras.Model, training: bool = True, counting: LossCount | None = None
) -> LossFunction:
    """Returns `loss_fn(trainable_values, state_values, batch)`, which changes nothing.

        L(w) = compute_loss(model(x; m * w)),    m: the model's pruning masks, 1 where it has none

    Args:
        model: A built and compiled `keras.Model`. If it has an attribute `mask_variables`, a dict
            from the path of a weight to its boolean mask (as SAMModel has), the weights are masked.
        training: Whether the pass is one of training (dropout, batch statistics).
            Defaults to `True`.
        counting: What is to find `outcome.divisor`, if batches are computed in parts.
            Defaults to `None`.

    Returns:
        `loss_fn(trainable_values, state_values, batch) -> (loss, outcome)`, where
        `batch = (x, y, sample_weight)`. `trainable_values` runs parallel to
        `model.trainable_variables`, `state_values` to what `state_variables(model)` is now; it
        grows by what the pass assigns besides. `outcome` is an `Outcome`. The loss is the whole
        one: regularisation and `add_loss` included. On torch, a Dropout without a seed draws from
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

    def loss_fn(
        trainable_values: Sequence[Tensor], state_values: Sequence[Tensor], batch: Batch
    ) -> tuple[Tensor, Outcome]:
        x, y, sample_weight = batch
        current = dict(zip(map(id, state), state_values, strict=True))
        values = []
        for variable, value in zip(trainable, trainable_values, strict=True):
            if variable.path in masks:
                # `where`, not a product: no -0.0, and no NaN from a weight that is not there.
                mask = current[id(masks[variable.path])]
                value = ops.where(mask, value, ops.zeros_like(value))
            values.append(value)
        with (
            backend.stateless_modules(),
            PassScope(trainable, values, state, state_values) as scope,
        ):
            before = [scope.get_current_value(v) for v in state]
            y_pred = predictions(model, x, training)
            with counting.watch(model) if counting else nullcontext():
                loss = compute_loss(model, x, y, y_pred, sample_weight, training)
            count = counting.result(model, scope) if counting else None
        after = [scope.get_current_value(v) for v in state]
        if scope.unknown:
            found = _found.setdefault(model, [])
            found.extend(v for v in scope.unknown if id(v) not in map(id, found))
        return loss, Outcome(
            y_pred,
            [keras_internals.mask_of(leaf) for leaf in tree.flatten(y_pred)],
            [b if b is not a else None for a, b in zip(before, after, strict=True)],
            scope.assigned(trainable),
            count,
        )

    return loss_fn


def predictions(model: keras.Model, x: Any, training: bool) -> Any:
    """`model(x, training=...)`, whose `call` may not take `training`."""
    return model(x, **({"training": training} if _takes_training(model.call) else {}))


def compute_loss(
    model: keras.Model, x: Any, y: Any, y_pred: Any, sample_weight: Any, training: bool
) -> Tensor:
    """`model.compute_loss(...)`, whose override may be of the time before it took `training`."""
    arguments = {"training": training} if _takes_training(model.compute_loss) else {}
    return model.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, **arguments)


def _takes_training(function: Callable[..., Any]) -> bool:
    return "training" in inspect.signature(function).parameters
