"""Plain Keras and keras_sam, on each Keras backend."""

import itertools
from typing import Any

import keras
import numpy as np

from recipes import networks
from tests.benchmarks import method_arguments, synthetic
from tests.benchmarks.trainer import Trainer
from tests.benchmarks.variant import Variant


class KerasTrainer(Trainer):
    """Drives `model.train_function`, the compiled step that `fit` runs, on one batch."""

    def __init__(self, variant: Variant) -> None:
        keras.utils.set_random_seed(0)
        if variant.precision:
            keras.config.set_dtype_policy(f"mixed_{variant.precision}")
        model = network(variant)
        self.parameters = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
        if variant.rho is not None:
            from keras_sam import SAMModel

            masks = random_masks(model, variant.sparsity) if variant.sparsity else None
            given: dict[str, Any] = {"rho": variant.rho}
            if variant.method:
                given = method_arguments.arguments(variant.method, variant.rho)
            model = SAMModel(model, masks=masks, **given)
        model.compile(
            keras.optimizers.SGD(synthetic.LEARNING_RATE, synthetic.MOMENTUM),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=True if variant.jit else "auto",
        )
        self.model = model
        self.arrays = synthetic.batch(variant)
        x, y = map(keras.ops.convert_to_tensor, self.arrays)
        self.batch = (x, y, None)
        self.jax_state: Any = None

    def steps(self, count: int) -> None:
        if self.model.train_function is None:
            self.model.train_on_batch(*self.batch)  # Builds, traces, and is itself a step.
            count -= 1
        train_function = self.model.train_function
        backend = keras.backend.backend()
        if backend == "jax":
            state = self.jax_state or tuple(
                [v.value for v in variables] for variables in self._variables()
            )
            batches = itertools.repeat(self.batch)
            for _ in range(count):
                _, state = train_function(state, batches)
            self.jax_state = state
        else:
            batch = [self.batch] if backend == "torch" else itertools.repeat(self.batch)
            for _ in range(count):
                train_function(batch)

    def wait(self) -> None:
        last = self.model.trainable_variables[-1]
        keras.ops.convert_to_numpy(self.jax_state[0][-1] if self.jax_state else last)

    def fit(self, count: int) -> None:
        for variables, values in zip(self._variables(), self.jax_state or (), strict=False):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
        self.jax_state = None
        x, y = (np.concatenate([array] * count) for array in self.arrays)
        self.model.fit(x, y, batch_size=len(self.arrays[0]), shuffle=False, verbose=0)

    def _variables(self) -> tuple[list[keras.Variable], ...]:
        """The state of a step on JAX, in the order that Keras documents for `train_step`."""
        model = self.model
        return (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )


def network(variant: Variant) -> keras.Model:
    """The recipes' network of a variant."""
    shape = synthetic.INPUT_SHAPES[variant.network]
    if variant.network == "mlp":
        return networks.mlp(1.0, shape, synthetic.CLASSES)
    return networks.resnet18(variant.filters, shape, synthetic.CLASSES)


def random_masks(model: keras.Model, sparsity: float) -> dict[str, np.ndarray]:
    """Masks that keep each weight of each kernel with probability 1 - sparsity."""
    rng = np.random.default_rng(0)
    kernels = [v for v in model.trainable_variables if v.name == "kernel"]
    return {v.path: rng.random(tuple(v.shape)) >= sparsity for v in kernels}
