"""Everything of Keras that is used here without being public, each with the reason.

tests/keras_sam/test_keras_internals.py calls each one, so that a Keras that changes them is seen.
"""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import keras


def build_from_batch(model: keras.Model, batch: tuple[Any, Any, Any]) -> None:
    """Creates all variables of model, loss and metrics from the shapes of a batch.

    Inside a `StatelessScope` no variable can be created, so this must come first. Keras's public
    `build` knows nothing of loss and metrics, and cannot build from nested inputs with dtypes.
    """
    model._symbolic_build(data_batch=batch)


def lend_compiled_loss(lender: keras.Model, borrower: keras.Model) -> None:
    """Makes `borrower.compute_loss` use the loss that `lender` was compiled with.

    For a wrapped model that overrides `compute_loss` and calls `super().compute_loss`. Compiling it
    as well would give it loss trackers, and an optimizer state, of its own.
    """
    borrower._compile_loss = lender._compile_loss


def own_metrics(model: keras.Model) -> list[keras.Metric]:
    """The metrics that a model made itself, as attributes, without those that `compile` made.

    Keras leaves out a nested model's metrics; a wrapped model's own ones belong in the logs.
    """
    return list(model._metrics)


def all_layers(model: keras.Model) -> list[keras.Layer]:
    """Every layer at any depth. `model.layers` stops at the first level."""
    return list(model._flatten_layers())


def attach(model: keras.Model, attribute: str, layer: keras.Layer) -> None:
    """Gives a model that may be built already another layer. Keras locks built models."""
    model._tracker.unlock()
    setattr(model, attribute, layer)


def release(layer: keras.Layer, variables: Iterable[keras.Variable]) -> None:
    """Lets a layer forget variables of its own. Keras has no public way to."""
    for variable in variables:
        layer._untrack_variable(variable)


@contextmanager
def recorded_loss_masks() -> Iterator[list[Any]]:
    """Collects the mask of each loss that is computed inside, `None` where it has none.

    A loss averages over the entries that its mask leaves. The mask comes from the predictions, from
    an ignored class or from both, and only the loss itself joins them.
    """
    module: Any = sys.modules[keras.losses.Loss.__module__]
    original = module.apply_mask
    masks: list[Any] = []

    def recording(sample_weight: Any, mask: Any, *args: Any, **kwargs: Any) -> Any:
        masks.append(mask)
        return original(sample_weight, mask, *args, **kwargs)

    module.apply_mask = recording
    try:
        yield masks
    finally:
        module.apply_mask = original
