"""SAMModel: Sharpness-Aware Minimization as a Keras model. The algorithm: `sam_gradient.py`."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras.optimizers.schedules import LearningRateSchedule

from keras_sam.arguments import (
    check_ascent,
    check_compile,
    check_splits,
    check_stateless,
    check_switch,
    valid_method,
    valid_rho,
    warn_of_what_is_left_out,
)
from keras_sam.ascent_log import AscentLog
from keras_sam.batches import checked_data
from keras_sam.masked import MASKS
from keras_sam.methods import Method, Setting
from keras_sam.perturbation import ETA, Perturbation
from keras_sam.selection import Selection
from keras_sam.wrapper import Wrapper


@keras.saving.register_keras_serializable(package="keras_sam")
class SAMModel(Wrapper, AscentLog):
    """Trains a Keras model with Sharpness-Aware Minimization (SAM).

    Each step takes the gradient not at the weights `w` but at the nearby point where the loss is
    highest to first order, and applies it to `w`:

        e = rho * g / (||g||_2 + 1e-12)       g  = dL/dw at w       (the ascent)
        w = optimizer(w, g')                  g' = dL/dw at w + e   (the descent)

    so that training ends in flat minima, at twice the computation of a plain step. Loss, metrics
    and batch statistics come from the pass at `w` alone; the weights are never perturbed.

    Args:
        model: The `keras.Model` to train (Sequential, functional or subclassed). `sam.model` stays
            this very model: the plain net to predict with, save or deploy. May be left out by a
            subclass of SAMModel that has its own `call`.
        rho: The radius of the perturbation: a float >= 0, or a
            `keras.optimizers.schedules.LearningRateSchedule` of the optimizer's iterations, such as
            `keras_sam.Every`. The number 0 is exactly the plain optimizer; a step at which a
            schedule is 0 computes one gradient only. Defaults to 0.05.
        num_batch_splits: If not `None`, the batch (of each replica; on JAX the global one) is
            split into this many parts, each with a perturbation of its own (m-sharpness), and the
            mean of their gradients is applied. Parts are computed one after the other (on JAX, each
            by all devices together). Defaults to `None`, one perturbation for the batch.
        normalize: If `False`, `e = rho * g`, what the theory uses. Defaults to `True`.
        adaptive: If `True`, the perturbation is invariant to the scale of weights (ASAM):
            `e = rho * T^2 g / (||T g||_2 + 1e-12)` with `T = |w| + eta`; with `normalize=False`,
            `e = rho * T^2 g`. ASAM wants a larger rho, 0.5 to 2. With `"kernels"`, `T = 1` for all
            weights but kernels. Defaults to `False`.
        sync_perturbation: Under a distribution strategy, if `True`, the ascent gradient is averaged
            over replicas before it becomes a perturbation, and R replicas equal one device on the
            whole batch. If `False`, each perturbs with its own (m-sharpness with m the replica's
            batch, one communication less). No effect without a strategy. Defaults to `False`.
            On JAX, `keras.distribution` makes one program of all devices: there is one gradient,
            and one perturbation, of the global batch whatever this says; num_batch_splits equal to
            the number of devices gives each device's part of the batch its own. On PyTorch there is
            one device: DistributedDataParallel would not see the gradients.
        method: One of the SAM family, see `keras_sam.methods`: a `Method` such as `gsam(0.4)`, or
            a name. Its state is saved with the model. Defaults to `"sam"`.
        perturb: Which weights are perturbed: `"all"`, `"normalization"` (SAM-ON), `"kernels"`, or a
            function `variable -> bool`. The norm is theirs alone. Defaults to `"all"`.
        geometry: In place of the perturbations above: `"layerwise"` (`||e_l|| = rho ||w_l||` for
            each weight), `"sign"` (`e = rho sign(g)`), or a function `(weights, g, rho) -> e` as in
            `keras_sam.perturbation`. Defaults to `None`.
        eta: The summand of ASAM's `T`, >= 0. Defaults to 0.01.
        ascent_steps: n: `e` is the sum of n perturbations of `rho / n`, each along the gradient
            where the one before led; n + 1 gradients a step. Defaults to 1.
        log_ascent: If `True`, `fit` logs `gradient_norm` (||g||), `perturbation_norm` (||e||) and
            `ascent` (L(w + e) - L(w)): means over the steps, and over splits and replicas that have
            one each; 0 in a step without a perturbation. Defaults to `False`.
        masks: Pruning masks: a dict from `variable.path` to a boolean array of the variable's shape
            (`True` is kept), or a list parallel to `model.trainable_variables` with `None` for a
            weight that is dense. Masked weights are set to zero, and are zero in every pass.
            Needs a built model. `keras.models.clone_model` keeps them. Defaults to `None`.
        name: Name of the model.
        **kwargs: `dtype` and `trainable`, for subclasses that have their own `call`.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is out of range, masks do not match their weights, `perturb`
            selects none, or two arguments contradict each other.

    Example:

    >>> import keras, numpy as np
    >>> net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    >>> sam = SAMModel(net, rho=0.05)
    >>> sam.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    >>> history = sam.fit(np.ones((8, 4)), np.zeros(8), verbose=0)
    >>> net.predict(np.ones((1, 4)), verbose=0).shape  # sam.model is net
    (1, 3)

    References:
        - Foret et al. 2021, https://arxiv.org/abs/2010.01412, algorithm 1
        - Kwon et al. 2021, https://arxiv.org/abs/2102.11600, eq. 6 (`adaptive`)
        - Andriushchenko and Flammarion 2022, https://arxiv.org/abs/2206.06232 (`normalize=False`)
    """

    def __init__(
        self,
        model: keras.Model | None = None,
        rho: float | LearningRateSchedule = 0.05,
        num_batch_splits: int | None = None,
        *,
        normalize: bool = True,
        adaptive: bool | str = False,
        sync_perturbation: bool = False,
        method: Method | str = "sam",
        perturb: Selection = "all",
        geometry: str | Perturbation | None = None,
        eta: float = ETA,
        ascent_steps: int = 1,
        log_ascent: bool = False,
        masks: Mapping[str, Any] | Sequence[Any] | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if model is None and type(self).call is SAMModel.call:
            raise TypeError(
                "`model` must be a keras.Model, unless a subclass of SAMModel defines `call`. "
                "Received: `model=None`"
            )
        if model is not None and not isinstance(model, keras.Model):
            raise TypeError(
                f"`model` must be a keras.Model. Received: `model={model!r}` of {type(model)}"
            )
        if isinstance(model, SAMModel):
            raise TypeError(f"`model` must not be a SAMModel itself. Received: `model={model!r}`")
        if model is not None:
            warn_of_what_is_left_out(model)
        setting = Setting(
            valid_method(method),
            valid_rho(rho),
            ascent_steps,
            num_batch_splits,
            sync_perturbation,
            log_ascent,
        )
        check_splits(num_batch_splits)
        check_switch("sync_perturbation", sync_perturbation)
        check_switch("log_ascent", log_ascent)
        check_ascent(normalize, adaptive, eta, geometry, perturb, ascent_steps)
        setting.check()
        if model is not None:
            # The wrapped model casts its own inputs, by its own policy, as if it stood alone.
            kwargs = {"dtype": model.dtype_policy, "autocast": False, **kwargs}
        super().__init__(name=name, **kwargs)
        self.model: Any = model
        self.num_batch_splits = num_batch_splits
        self.normalize = bool(normalize)
        self.adaptive = adaptive if isinstance(adaptive, str) else bool(adaptive)
        self.eta = float(eta)
        self.geometry = geometry
        self.perturb = perturb
        self.ascent_steps = int(ascent_steps)
        self.sync_perturbation = bool(sync_perturbation)
        self.method = setting.method
        self._rho = setting.rho
        if log_ascent:
            self.watch_ascent()
        if model is not None and model.built:
            self.built = True
        self.fit_method()
        if masks is not None:
            self.masks = masks

    def compile(  # type: ignore[override]
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: bool | str = "auto",
        auto_scale_loss: bool = True,
        **kwargs: Any,
    ) -> None:
        """Configures the model for training, with the arguments of `keras.Model.compile`.

        On TensorFlow, `jit_compile=True` also works under a `tf.distribute` strategy, and `"auto"`
        is XLA on accelerators, with and without a strategy, and not on a CPU, where it is slower.
        On JAX and PyTorch it is as in Keras: `"auto"` compiles on JAX, and runs eagerly on PyTorch.

        Raises:
            TypeError: If there are other arguments, such as those of a wrapped model's own
                `compile`: SAM trains by one loss and one optimizer.
            ValueError: If `optimizer` or `loss` is "auto", if the optimizer accumulates gradients
                under a strategy with several replicas (Keras cannot), or if `jit_compile` meets
                layers that synchronise there.
        """
        check_compile(optimizer, loss, kwargs)
        super().compile(
            optimizer=optimizer,
            loss=loss,
            loss_weights=loss_weights,
            metrics=metrics,
            weighted_metrics=weighted_metrics,
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            jit_compile=jit_compile,
            auto_scale_loss=auto_scale_loss,
        )

    def compile_from_config(self, config: dict[str, Any]) -> None:
        # As Keras does for models whose `compile` is its own.
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.optimizer is not None and self.built:
            self.optimizer.build(self.trainable_variables)

    def fit(
        self, x: Any = None, y: Any = None, batch_size: int | None = None, *args: Any, **kwargs: Any
    ) -> keras.callbacks.History:
        """Trains the model, with the arguments of `keras.Model.fit`."""
        x = self._checked_data(x, batch_size)
        return super().fit(x, y, batch_size, *args, **kwargs)

    def train_on_batch(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Takes one step, with the arguments of `keras.Model.train_on_batch`."""
        self._checked_data(x, None)
        return super().train_on_batch(x, *args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        config = {
            "rho": _serialized(self.rho),
            "num_batch_splits": self.num_batch_splits,
            "normalize": self.normalize,
            "adaptive": self.adaptive,
            "sync_perturbation": self.sync_perturbation,
            "method": keras.saving.serialize_keras_object(self.method),
            "perturb": _serialized(self.perturb),
            "geometry": _serialized(self.geometry),
            "eta": self.eta,
            "ascent_steps": self.ascent_steps,
            "log_ascent": self.log_ascent,
            "name": self.name,
        }
        if self.model is not None:
            config["model"] = keras.saving.serialize_keras_object(self.model)
        return {**config, **self.masks_config()}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "SAMModel":
        config = dict(config)
        masks = config.pop(MASKS, {})
        for key in ("model", "rho", "method", "perturb", "geometry"):
            if isinstance(config.get(key), dict):
                config[key] = keras.saving.deserialize_keras_object(
                    config[key], custom_objects=custom_objects
                )
        model = cls(**config)
        model.expect_masks(masks)
        return model

    def _checked_data(self, x: Any, batch_size: int | None) -> Any:
        """The data, if the model and their batches can be split, as far as that is known."""
        if self.num_batch_splits in (None, 1):
            return x
        check_stateless(self, self.num_batch_splits)
        return checked_data(x, batch_size, self._check_examples)

    def _check_examples(self, examples: int) -> None:
        splits, examples = self.num_batch_splits, self.examples_to_split(examples)
        if splits is not None and examples < splits:
            raise ValueError(
                "`num_batch_splits` must not be above the number of examples in a (replica's) "
                f"batch, which is {examples}. Received: `num_batch_splits={splits}`"
            )


def _serialized(argument: Any) -> Any:
    """A schedule or a function as Keras writes them to a file; numbers and names as they are."""
    return keras.saving.serialize_keras_object(argument) if callable(argument) else argument
