"""TensorFlow: the training step, replicas of `tf.distribute`, XLA inside the replica."""

import warnings
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from keras import tree

from keras_sam.backend import keras_internals
from keras_sam.methods import Setting
from keras_sam.training_step import Gradients, Tensor, TrainingStep


class SAMTrainer(TrainingStep):
    """The TensorFlow side of SAMModel: `compile`, `train_step` and what a strategy needs."""

    # Set by `compile`. A requested "auto" is saved as "auto": the machine that loads it may differ.
    _requested_jit_compile: bool | str = "auto"
    _jit_in_replica = False

    def compile(self, optimizer: Any, jit_compile: bool | str, **kwargs: Any) -> None:
        replicas = self.replicas()
        if replicas > 1:
            _check_optimizer(optimizer)
        jit = jit_compile
        if jit == "auto":
            # Keras's own "auto" is XLA on accelerators too, but silently off under any strategy.
            jit = not kwargs["run_eagerly"] and on_accelerator() and self._supports_jit()
        # With several replicas Keras would put `strategy.run` inside the XLA program, which fails.
        # Each replica compiles its own gradient computation instead, see `_compiled`.
        super().compile(optimizer, jit_compile=jit if replicas == 1 else False, **kwargs)
        self._requested_jit_compile = jit_compile
        self._jit_in_replica = replicas > 1 and bool(jit) and not kwargs["run_eagerly"]
        self.check_setting(self.setting(self.rho))
        if self._jit_in_replica and (names := _synchronized_layers(self)):
            raise ValueError(
                "`jit_compile` must be False with several replicas and layers that synchronise "
                "inside the forward pass (BatchNormalization(synchronized=True)): an XLA program "
                "cannot wait for another replica. "
                f"Received: `jit_compile=True` and layers {names}"
            )

    def get_compile_config(self) -> dict[str, Any]:
        config = super().get_compile_config()
        return {**config, "jit_compile": self._requested_jit_compile} if config else config

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step: gradients at the perturbed weights, applied to the weights."""
        keras_internals.build_from_batch(self, keras.utils.unpack_x_y_sample_weight(data))
        if not self.trainable_variables:
            return _per_worker(super().train_step(data))

        return _per_worker(self.sam_step(data))

    def creation_scope(self) -> Any:
        """Where variables must be created, so that every replica has its copy."""
        return self.distribute_strategy.scope()

    def check_setting(self, setting: Setting) -> None:
        super().check_setting(setting)
        if setting.switches and self.replicas() > 1 and (names := _synchronized_layers(self)):
            raise ValueError(
                "`rho` must be a number, and the method leave it as it is, with several replicas "
                "and layers that synchronise inside the forward pass "
                "(BatchNormalization(synchronized=True)): the second pass of a step that may have "
                "none stands in a branch of the program, where no replica can wait for another. "
                f"Received: `rho={setting.rho!r}`, `method={setting.method!r}` and layers {names}"
            )

    def replicas(self) -> int:
        """How many replicas share a batch."""
        return self.distribute_strategy.num_replicas_in_sync

    def test_step(self, data: Any) -> dict[str, Any]:
        return _per_worker(self.evaluation_step(data))

    def _mean_over_replicas(self, gradients: Gradients) -> Gradients:
        present = [g for g in gradients if g is not None]
        context = tf.distribute.get_replica_context()
        means = iter(context.all_reduce(tf.distribute.ReduceOp.MEAN, present))
        return [None if g is None else next(means) for g in gradients]

    def _sum_over_replicas(self, tensor: Tensor) -> Tensor:
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.SUM, tensor)

    def _compiled(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        return tf.function(fn, jit_compile=True) if self._jit_in_replica else fn

    def _supports_jit(self) -> bool:
        """Whether Keras would let this model be compiled by XLA."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.jit_compile = True  # Keras's setter asks every layer.
        return self.jit_compile

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        # Keras hook, called by `fit` and `evaluate`. Keras averages the first batch over replicas
        # to learn its shapes, which fails with several workers; one local replica's batch will do.
        strategy = self.distribute_strategy
        if iterator is not None and strategy.num_replicas_in_sync > 1:
            for _, _, batches in iterator:
                data_batch = tree.map_structure(
                    lambda value: strategy.experimental_local_results(value)[0], next(batches)
                )
                break
            iterator = None
        super()._maybe_symbolic_build(iterator=iterator, data_batch=data_batch)


def on_accelerator() -> bool:
    """Whether TensorFlow sees anything but CPUs."""
    return any(device.device_type != "CPU" for device in tf.config.list_physical_devices())


def _check_optimizer(optimizer: Any) -> None:
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    steps = getattr(inner, "gradient_accumulation_steps", None)
    if steps:
        raise ValueError(
            "`optimizer` must have gradient_accumulation_steps=None under a distribution strategy "
            "with several replicas: Keras on TensorFlow cannot accumulate gradients there. "
            f"Received: `optimizer.gradient_accumulation_steps={steps}`"
        )


def _synchronized_layers(model: keras.Model) -> list[str]:
    """The names of layers that wait for other replicas in the forward pass."""
    layers = keras_internals.all_layers(model)
    return [layer.name for layer in layers if getattr(layer, "synchronized", False)]


def _per_worker(logs: dict[str, Any]) -> dict[str, Any]:
    """Logs as Keras can average them: with several workers it reduces over axis 0."""
    strategy = tf.distribute.get_strategy()
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) or (
        strategy.num_replicas_in_sync == len(strategy.extended.worker_devices)
    ):
        return logs
    return tree.map_structure(lambda value: tf.expand_dims(value, 0), logs)
