"""Everything of Keras that is used here without being public, each with the reason.

tests/keras_sam/test_keras_internals.py calls each one, so that a Keras that changes them is seen.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
from keras.src import backend
from keras.src.backend.common import global_state
from keras.src.backend.common.stateless_scope import get_stateless_scope
from keras.src.utils import module_utils, rng_utils


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


@contextmanager
def replaced_losses(model: keras.Model, replace: Callable[[Any], Any]) -> Iterator[None]:
    """Where `replace(loss)` stands for each loss that a model was compiled with, and is built for.

    Keras alone knows which outputs and targets a loss is called with.
    """
    compiled = getattr(model, "_compile_loss", None)
    if compiled is None or not compiled.built:
        yield
        return
    own = compiled._flat_losses
    compiled._flat_losses = [entry._replace(loss=replace(entry.loss)) for entry in own]
    try:
        yield
    finally:
        compiled._flat_losses = own


def loss_tracker(model: keras.Model) -> keras.metrics.Mean | None:
    """The metric that a compiled model logs as "loss". A metric of the user's may be called so."""
    return model._loss_tracker


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


def seed_global_generator(seed: int) -> None:
    """Lets Keras's random numbers without a seed of their own follow from this one.

    `keras.utils.set_random_seed` does it too, and imports TensorFlow wherever it is installed.
    """
    global_state.set_global_attribute(rng_utils.GLOBAL_RANDOM_SEED, seed)
    # By its name: Keras 3.12 has no constant for it.
    global_state.set_global_attribute("global_seed_generator", None)


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


def mask_of(tensor: Any) -> Any:
    """The mask that Keras's layers attach to a tensor; metrics read it there."""
    return backend.get_keras_mask(tensor)


def set_mask(tensor: Any, mask: Any) -> None:
    """Attaches a mask to a tensor, which operations on tensors do not carry on."""
    backend.set_keras_mask(tensor, mask)


def is_saving() -> bool:
    """Whether Keras writes a file, which holds weights and masks besides the config."""
    return global_state.get_global_attribute("shared_objects/id_to_config_map") is not None


def present_scope() -> keras.StatelessScope | None:
    """The `StatelessScope` in force. PyTorch's modules are handed its values one by one."""
    return get_stateless_scope()


def refuse_reads(variables: Sequence[keras.Variable], read: Iterable[Any]) -> None:
    """Raises if the framework's own tensor of a variable is among those that were read.

    Args:
        variables: The variables.
        read: Tensors or variables of the framework.

    Raises:
        ValueError: If so; names the variables.
    """
    # Their own tensors, whatever a scope says.
    own = {id(variable._value): variable.path for variable in variables}
    paths = sorted({own[id(tensor)] for tensor in read if id(tensor) in own})
    if paths:
        raise ValueError(
            "`model` must compute with the values that Keras hands to its layers: SAM takes the "
            "gradient at w + e without ever assigning it. What captures a weight in a graph of its "
            "own (a TFSMLayer) or computes it anew in the backward pass (keras.remat on "
            f"TensorFlow) does not. Received: a model that reads {paths} past Keras"
        )


def compile_arguments(model: keras.Model) -> dict[str, Any]:
    """What a model was compiled with, by name, as it was given: losses and metrics themselves.

    `get_compile_config` has them serialized, which a function of the user's does not survive.
    """
    return dict(model._compile_config.config)


@contextmanager
def without_tensorflow() -> Iterator[None]:
    """Keeps Keras from importing TensorFlow, which takes seconds, only to compare types with it.

    `get_config` asks of each value whether it is one of TensorFlow's. Where that has not been
    imported none can be.
    """
    tensorflow = module_utils.tensorflow
    if "tensorflow" in sys.modules or tensorflow._available is not None:
        yield
        return
    tensorflow._available = False
    try:
        yield
    finally:
        tensorflow._available = None
