"""What a model that trains another one passes on to it, and shows of it."""

from typing import Any

import keras

from keras_sam.backend import keras_internals
from keras_sam.loss_function import compute_loss


class _Shown:
    """An attribute that is read from the wrapped model, unless the wrapper is given its own."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, wrapper: Any, owner: type | None = None) -> Any:
        if wrapper is None:
            return self
        model = getattr(wrapper, "model", None)
        return getattr(super(Wrapper, wrapper) if model is None else model, self._name)


class Wrapper(keras.Model):
    """A model whose `call`, loss and metrics are those of the model that it wraps.

    Attributes:
        model: The wrapped model; `None` in a subclass that has its own `call`.
    """

    model: Any
    _own_input_spec: Any = None

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        # `training` travels to the wrapped model, whose `call` may not take it, by Keras's context.
        return self.model(inputs)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        super().compile(*args, **kwargs)
        if self._wrapped_overrides("compute_loss"):
            keras_internals.lend_compiled_loss(self, self.model)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The total loss, by the wrapped model's own `compute_loss` if it overrides Keras's."""
        if self._wrapped_overrides("compute_loss"):
            return compute_loss(self.model, x, y, y_pred, sample_weight, training)
        return super().compute_loss(
            x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training
        )

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """The logs, those of the wrapped model's own `compute_metrics` included."""
        logs = super().compute_metrics(x, y, y_pred, sample_weight)
        if self._wrapped_overrides("compute_metrics"):
            logs = {**self.model.compute_metrics(x, y, y_pred, sample_weight), **logs}
        return logs

    @property
    def metrics(self) -> list[keras.Metric]:
        """All metrics, those that the wrapped model made itself included."""
        metrics = super().metrics
        if self.model is not None:
            metrics = [*metrics, *keras_internals.own_metrics(self.model)]
        return metrics

    def export(self, filepath: str, *args: Any, **kwargs: Any) -> Any:
        """Exports the plain net, with the arguments of `keras.Model.export`."""
        if self.model is None:
            return super().export(filepath, *args, **kwargs)
        return self.model.export(filepath, *args, **kwargs)

    # What Keras and its users read from a functional model. `compile` takes its losses and metrics
    # by the names of the outputs.
    output_names = _Shown()
    input_names = _Shown()
    inputs = _Shown()
    outputs = _Shown()
    input = _Shown()
    output = _Shown()
    input_shape = _Shown()
    output_shape = _Shown()

    @property
    def input_spec(self) -> Any:
        """What inputs must be like: as the wrapped model says, unless the wrapper is told."""
        model = getattr(self, "model", None)
        return self._own_input_spec if model is None else model.input_spec

    @input_spec.setter
    def input_spec(self, value: Any) -> None:
        self._own_input_spec = value

    def _wrapped_overrides(self, method: str) -> bool:
        return self.model is not None and (
            getattr(type(self.model), method) is not getattr(keras.Model, method)
        )
