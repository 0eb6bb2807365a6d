"""Which weights of a model may be pruned, and along which axis each sums over its inputs."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import keras

from keras_sam.backend import keras_internals
from keras_sam.sam_model import SAMModel
from keras_sam.selection import is_kernel

Filter = Callable[[keras.Layer, keras.Variable], bool] | Collection[str]


@dataclass(frozen=True, eq=False)
class Kernel:
    """A weight that may be pruned.

    Attributes:
        variable: The `keras.Variable`.
        input_axis: The axis that the layer sums over (its inputs), or `None` if there is none.
    """

    variable: keras.Variable
    input_axis: int | None

    @property
    def path(self) -> str:
        return self.variable.path


def prunable(layer: keras.Layer, variable: keras.Variable) -> bool:
    """Whether a weight is pruned by default: it multiplies the layer's inputs or recurrent state.

    In Keras's layers, and in others that follow their naming, these are the floating-point weights
    called kernel, recurrent_kernel, depthwise_kernel and pointwise_kernel: those of Dense, Conv,
    DepthwiseConv, SeparableConv, EinsumDense, attention and the recurrent cells. Biases,
    normalisation and embeddings are not among them.

    Args:
        layer: The layer that owns the weight.
        variable: The weight.

    Returns:
        `True` if the weight is pruned unless a `filter` says otherwise.

    Raises:
        TypeError: If one of the two is of another type.

    Example: everything that is pruned by default, but not the last layer.

    >>> import keras
    >>> from keras_sam import sparsity
    >>> model = keras.Sequential(
    ...     [keras.Input((8,)), keras.layers.Dense(4, name="a"), keras.layers.Dense(2, name="b")]
    ... )
    >>> masks = sparsity.prune(
    ...     model, 0.5, filter=lambda layer, w: sparsity.prunable(layer, w) and layer.name != "b"
    ... )
    >>> [path.split("/")[-2] for path in masks]
    ['a']
    """
    for argument, value, kind in (
        ("layer", layer, keras.Layer),
        ("variable", variable, keras.Variable),
    ):
        if not isinstance(value, kind):
            raise TypeError(
                f"`{argument}` must be a keras.{kind.__name__}. Received: `{argument}={value!r}`"
            )
    return is_kernel(variable)


def plain_model(model: keras.Model) -> keras.Model:
    """The net inside a SAMModel, or the model itself.

    Args:
        model: A built `keras.Model`.

    Returns:
        The `keras.Model` that holds the weights.

    Raises:
        TypeError: If `model` is not a `keras.Model`.
        ValueError: If it is not built.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a keras.Model. Received: `model={model!r}`")
    if isinstance(model, SAMModel) and model.model is not None:
        model = model.model
    if not model.built or not model.variables:
        raise ValueError(
            "`model` must be built, so that it has weights: call it on a batch, or give it a "
            f"keras.Input. Received: `model={model!r}`"
        )
    return model


def check_filter(filter: Any) -> None:
    """Raises a TypeError unless it is `None`, a function, a path or a collection of paths."""
    paths = isinstance(filter, Collection) and all(isinstance(path, str) for path in filter)
    if filter is not None and not callable(filter) and not paths:
        raise TypeError(
            "`filter` must be a function `(layer, variable) -> bool`, or a list of paths. "
            f"Received: `filter={filter!r}` of {type(filter)}"
        )


def find_kernels(model: keras.Model, filter: Filter | None = None) -> list[Kernel]:
    """The trainable weights to prune, in the order of `model.trainable_variables`.

    Args:
        model: A built `keras.Model`.
        filter: `filter(layer, variable) -> bool`, or the `variable.path`s to prune. Defaults to
            `None`, the kernels that `prunable` names.

    Returns:
        A list of `Kernel`, not empty.

    Raises:
        TypeError: If `filter` is neither a function nor a collection of paths.
        ValueError: If nothing is left to prune, a path is unknown, or two weights share one path.
    """
    check_filter(filter)
    model = plain_model(model)
    owners = _owners(model)
    variables = {v.path: v for v in model.trainable_variables}
    if len(variables) < len(model.trainable_variables):
        raise ValueError(
            "`model` must have weights with different paths, since masks are found by them. Give "
            "its layers different names. Received: `model.trainable_variables="
            f"{[v.path for v in model.trainable_variables]}`"
        )
    if filter is None:
        filter = prunable
    if callable(filter):
        chosen = [v for path, v in variables.items() if filter(owners[path], v)]
    else:
        paths = {filter} if isinstance(filter, str) else set(filter)
        if unknown := sorted(map(str, paths - set(variables))):
            raise ValueError(
                f"`filter` must list paths of trainable weights, which are {list(variables)}. "
                f"Received: `filter` with {unknown}"
            )
        chosen = [v for path, v in variables.items() if path in paths]
    if not chosen:
        raise ValueError(
            "`model` has no trainable weight to prune; `filter` chooses among "
            f"{list(variables)}. Received: `model={model!r}`, `filter={filter!r}`"
        )
    return [Kernel(v, _input_axis(owners[v.path], v)) for v in chosen]


def _owners(model: keras.Model) -> dict[str, keras.Layer]:
    """The layer that made each weight: of all layers that hold it, the innermost."""
    owners: dict[str, keras.Layer] = {}
    # A layer around another has more layers in it.
    innermost_first = sorted(
        keras_internals.all_layers(model), key=lambda layer: len(keras_internals.all_layers(layer))
    )
    for layer in innermost_first:
        for variable in layer.trainable_variables:
            owners.setdefault(variable.path, layer)
    return owners


def _input_axis(layer: keras.Layer, variable: keras.Variable) -> int | None:
    layers = keras.layers
    if isinstance(layer, layers.EinsumDense):
        inputs, rest = layer.equation.replace(" ", "").split(",")
        kernel, outputs = rest.split("->")
        summed = [
            axis for axis, name in enumerate(kernel) if name in inputs and name not in outputs
        ]
        return summed[-1] if summed else None
    depthwise = isinstance(layer, layers.DepthwiseConv1D | layers.DepthwiseConv2D)
    if depthwise or variable.name == "depthwise_kernel" or len(variable.shape) < 2:
        return None
    if isinstance(layer, layers.Conv1DTranspose | layers.Conv2DTranspose | layers.Conv3DTranspose):
        return len(variable.shape) - 1
    return len(variable.shape) - 2
