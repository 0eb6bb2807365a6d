"""TensorFlow: the training step, replicas of `tf.distribute`, XLA inside the replica."""

import warnings
from typing import Any

import keras
import tensorflow as tf
from keras import tree

from keras_sam.backend import dense, keras_internals, value_and_grad
from keras_sam.loss_function import loss_function, state_variables
from keras_sam.m_sharpness import Step, averaged_state, over_splits
from keras_sam.sam_gradient import sam_gradient

Tensor = Any
Gradients = list[Tensor | None]


class SAMTrainer(keras.Model):
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
        # Each replica compiles its own gradient computation instead, see `_gradient_step`.
        super().compile(optimizer, jit_compile=jit if replicas == 1 else False, **kwargs)
        self._requested_jit_compile = jit_compile
        self._jit_in_replica = replicas > 1 and bool(jit) and not kwargs["run_eagerly"]
        if self._jit_in_replica:
            _check_layers(self)

    def get_compile_config(self) -> dict[str, Any]:
        config = super().get_compile_config()
        return {**config, "jit_compile": self._requested_jit_compile} if config else config

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step: gradients at the perturbed weights, applied to the weights."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        keras_internals.build_from_batch(self, (x, y, sample_weight))
        if not self.trainable_variables:
            return _per_worker(super().train_step(data))

        variables, state = self.trainable_variables, state_variables(self)
        step = self._gradient_step([tf.convert_to_tensor(v.value) for v in variables])
        if self.num_batch_splits is not None:
            step = over_splits(step, self.num_batch_splits, averaged_state(self, state))
        loss, y_pred, new_state, gradients = step(
            [tf.convert_to_tensor(v.value) for v in state], (x, y, sample_weight)
        )

        # From here on variables change, and nothing more of the user's code runs.
        for variable, value in zip(state, new_state, strict=True):
            if value is not None:
                variable.assign(value)
        for metric in self.metrics:
            if metric.name == "loss":
                examples = tf.shape(next(leaf for leaf in tree.flatten(x) if leaf is not None))[0]
                # Keras divides each replica's loss by their number, for the sum that follows.
                metric.update_state(loss * _replicas(loss.dtype), sample_weight=examples)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        if self._masks is not None:
            self._masks.apply()
        return _per_worker(self.compute_metrics(x, y, y_pred, sample_weight=sample_weight))

    def creation_scope(self) -> Any:
        """Where variables must be created, so that every replica has its copy."""
        return self.distribute_strategy.scope()

    def replicas(self) -> int:
        """How many replicas share a batch."""
        return self.distribute_strategy.num_replicas_in_sync

    def test_step(self, data: Any) -> dict[str, Any]:
        return _per_worker(super().test_step(data))

    def _gradient_step(self, weights: list[Tensor]) -> Step:
        """The SAM gradient of this replica's batch, as the function that `over_splits` takes."""
        loss_fn = loss_function(self)
        loss_scale = self.optimizer.scale_loss(1.0)  # The number 1.0 without loss scaling.
        rho = self.rho(self.optimizer.iterations) if callable(self.rho) else self.rho
        perturbation = self.perturbation

        def scaled_loss_fn(values: Any, state: Any, batch: Any, scale: Any) -> tuple[Tensor, Any]:
            loss, aux = loss_fn(values, state, batch)
            return loss * tf.cast(scale, loss.dtype), (loss, *aux)

        differentiated = value_and_grad(scaled_loss_fn)
        if self._jit_in_replica:
            differentiated = tf.function(differentiated, jit_compile=True)
            perturbation = tf.function(perturbation, jit_compile=True)

        def prepare(gradients: Gradients) -> Gradients:
            """The gradient of the loss itself: without loss scale and 1/R, and synchronised."""
            gradients = [dense(g) for g in gradients]
            if self.sync_perturbation:
                gradients = _mean_over_replicas(gradients)
            return [
                None if g is None else g * (_replicas(g.dtype) / tf.cast(loss_scale, g.dtype))
                for g in gradients
            ]

        def step(state: Any, batch: Any) -> tuple[Any, Any, list[Any], Gradients]:
            overflows = []

            def value_and_gradient(values: Any) -> Any:
                (_, (loss, *aux)), gradients = differentiated(values, state, batch, loss_scale)
                overflows.append(_overflow(gradients))
                return (loss, aux), gradients

            (loss, (y_pred, new_state)), gradients = sam_gradient(
                value_and_gradient, weights, rho, perturbation, prepare
            )
            if isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):
                gradients = _spoil(gradients, overflows)
            return loss, y_pred, new_state, gradients

        return step

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


def _check_layers(model: keras.Model) -> None:
    names = [
        layer.name
        for layer in keras_internals.all_layers(model)
        if getattr(layer, "synchronized", False)
    ]
    if names:
        raise ValueError(
            "`jit_compile` must be False with several replicas and layers that synchronise inside "
            "the forward pass (BatchNormalization(synchronized=True)): an XLA program cannot wait "
            f"for another replica. Received: `jit_compile=True` and layers {names}"
        )


def _replicas(dtype: Any) -> Tensor:
    return tf.cast(tf.distribute.get_strategy().num_replicas_in_sync, dtype)


def _mean_over_replicas(gradients: Gradients) -> Gradients:
    present = [g for g in gradients if g is not None]
    context = tf.distribute.get_replica_context()
    means = iter(context.all_reduce(tf.distribute.ReduceOp.MEAN, present))
    return [None if g is None else next(means) for g in gradients]


def _overflow(gradients: Gradients) -> Tensor:
    """1.0 if any gradient is not finite, else 0.0."""
    values = [g.values if isinstance(g, tf.IndexedSlices) else g for g in gradients]
    finite = [tf.reduce_all(tf.math.is_finite(g)) for g in values if g is not None]
    return 1.0 - tf.cast(tf.reduce_all(finite), "float32")


def _spoil(gradients: Gradients, overflows: list[Tensor]) -> Gradients:
    """Makes the gradients NaN if one of either pass overflowed, on any replica.

    LossScaleOptimizer then skips the step. It looks at the descent gradients of the first replica
    only, which may be finite although the perturbation, or another replica, is not.
    """
    overflow = tf.add_n(overflows)
    if tf.distribute.get_strategy().num_replicas_in_sync > 1:
        context = tf.distribute.get_replica_context()
        overflow = context.all_reduce(tf.distribute.ReduceOp.SUM, overflow)
    penalty = tf.where(overflow > 0.0, float("nan"), 0.0)
    return [None if g is None else dense(g) + tf.cast(penalty, g.dtype) for g in gradients]


def _per_worker(logs: dict[str, Any]) -> dict[str, Any]:
    """Logs as Keras can average them: with several workers it reduces over axis 0."""
    strategy = tf.distribute.get_strategy()
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) or (
        strategy.num_replicas_in_sync == len(strategy.extended.worker_devices)
    ):
        return logs
    return tree.map_structure(lambda value: tf.expand_dims(value, 0), logs)
