"""PyTorch: modules inside Keras layers, and passes computed anew, follow the `StatelessScope`.

A module of PyTorch reads its own parameters, and what `torch.utils.checkpoint` computes anew in the
backward pass (`keras.remat`) comes when the scope of the forward pass is over.
"""

import copy
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from weakref import WeakKeyDictionary

import keras
import torch
from keras.layers import TorchModuleWrapper
from torch.utils import checkpoint

from keras_sam.backend import keras_internals

_CALL, _CHECKPOINT = TorchModuleWrapper.call, checkpoint.checkpoint
_lock = threading.Lock()
_lent = 0  # How many passes are under way.
_buffers: WeakKeyDictionary[torch.nn.Module, dict[str, keras.Variable]] = WeakKeyDictionary()


def stateless_modules() -> AbstractContextManager[None]:
    """Where `TorchModuleWrapper` and `torch.utils.checkpoint` compute by the `StatelessScope`.

    Outside of any scope, as in other threads, they do what they always do. Not under
    `torch.compile`, which has to see the functions that it knows.
    """
    return nullcontext() if torch.compiler.is_compiling() else _lending()


def module_state(model: keras.Model) -> list[keras.Variable]:
    """A variable for each buffer (running statistics) of the modules that `model` wraps."""
    return [v for layer in module_layers(model) for v in _buffer_variables(layer.module).values()]


def module_layers(model: keras.Model) -> list[TorchModuleWrapper]:
    """The layers, at any depth, that wrap a module of PyTorch."""
    layers = keras_internals.all_layers(model)
    return [layer for layer in layers if isinstance(layer, TorchModuleWrapper)]


@contextmanager
def _lending() -> Iterator[None]:
    global _lent
    with _lock:
        _lent += 1
        TorchModuleWrapper.call, checkpoint.checkpoint = _call, _checkpoint
    try:
        yield
    finally:
        with _lock:
            _lent -= 1
            if not _lent:
                TorchModuleWrapper.call, checkpoint.checkpoint = _CALL, _CHECKPOINT


def _call(
    layer: TorchModuleWrapper, *args: Any, training: bool | None = None, **kwargs: Any
) -> Any:
    scope = keras_internals.present_scope()
    if scope is None:
        return _CALL(layer, *args, training=training, **kwargs)
    layer.train(training is not False)
    own = {id(variable._value): variable for variable in layer.variables}
    values = {}
    for name, parameter in layer.module.named_parameters():
        handed = scope.get_current_value(own[id(parameter)]) if id(parameter) in own else None
        values[name] = parameter if handed is None else handed
    buffers = _buffer_variables(layer.module)
    for name, variable in buffers.items():
        handed = scope.get_current_value(variable)
        values[name] = (variable._value if handed is None else handed).detach().clone()
    outputs = torch.func.functional_call(layer.module, values, args, kwargs)
    if layer.training:
        for name, variable in buffers.items():
            scope.add_update((variable, values[name]))  # The module has changed the copy.
    return outputs


def _checkpoint(function: Any, *args: Any, **kwargs: Any) -> Any:
    scope = keras_internals.present_scope()
    if scope is None:
        return _CHECKPOINT(function, *args, **kwargs)
    values = dict(scope.state_mapping)

    def in_scope(*args: Any, **kwargs: Any) -> Any:
        if keras_internals.present_scope() is scope:
            return function(*args, **kwargs)
        again = copy.copy(scope)
        again.state_mapping, again.losses = dict(values), []
        with stateless_modules(), again:
            return function(*args, **kwargs)

    return _CHECKPOINT(in_scope, *args, **kwargs)


def _buffer_variables(module: torch.nn.Module) -> dict[str, keras.Variable]:
    """Variables that share the memory of the module's buffers."""
    variables = _buffers.setdefault(module, {})
    for name, buffer in module.named_buffers():
        known = variables.get(name)
        if known is None or known._value.data_ptr() != buffer.data_ptr():
            variables[name] = keras.Variable(
                buffer, trainable=False, dtype=keras.backend.standardize_dtype(buffer.dtype)
            )
    return variables
