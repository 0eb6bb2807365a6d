"""Says what a model lacks before anything is computed."""

from typing import Any

import keras
from keras import tree

from keras_sam.sam_model import SAMModel

AVERAGING = ("sum_over_batch_size", "mean")


def check_model(model: Any) -> None:
    """Raises unless `model` is built, compiled, and its losses average over examples."""
    if not isinstance(model, keras.Model):
        raise TypeError(
            f"`model` must be a keras.Model. Received: `model={model!r}` of {type(model)}"
        )
    if not model.built:
        raise ValueError(
            "`model` must be built, so that its weights exist: call it on a batch first. "
            f"Received: a model that is not built, {model.name!r}"
        )
    if not model.compiled:
        raise ValueError(
            "`model` must be compiled with the loss to measure. "
            f"Received: a model that is not compiled, {model.name!r}"
        )
    for loss in tree.flatten(getattr(model, "loss", None)):
        reduction = getattr(loss, "reduction", AVERAGING[0])
        if reduction not in AVERAGING:
            raise ValueError(
                "`model` must be compiled with losses that average over the examples of a batch "
                f"(reduction {' or '.join(map(repr, AVERAGING))}): otherwise the loss of all data "
                f"depends on how they are batched. Received: `{loss!r}` with {reduction!r}"
            )


def check_any_loss(model: keras.Model, x: Any) -> None:
    """Raises if `model` has no loss of any kind on inputs `x`. JAX would take it to be 0."""
    wrapped = model.model if isinstance(model, SAMModel) else None
    overridden = any(
        type(m).compute_loss not in (keras.Model.compute_loss, SAMModel.compute_loss)
        for m in (model, wrapped)
        if m is not None
    )
    if overridden or getattr(model, "loss", None) is not None:
        return
    with keras.StatelessScope(collect_losses=True):
        model(x)
        if not model.losses:
            raise ValueError(
                "`model` must have a loss: `compile(loss=...)`, or layers that add one. "
                f"Received: a model without, {model.name!r}"
            )
