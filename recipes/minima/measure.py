"""One run of `recipes.minima`: training to a minimum, and its Hessian."""

import math
from typing import Any

from recipes.datasets.split import Split
from recipes.minima.setting import Setting
from recipes.running.runtime import Runtime

# The loss is looked at after so many steps, in one go: fewer returns to Python.
_STEPS = 100
# The pipelines cut off a validation set, which nothing here is selected by.
_UNUSED = 0.1


def measure(setting: Setting) -> dict[str, float]:
    """Trains a network and measures its minimum.

    Returns:
        All measured on the training examples but `test_accuracy`; NaN if the weights diverged:

        - `steps`: how many were taken.
        - `loss`: of the final weights, the mean of 1/2 ||f(x) - onehot(y)||^2.
        - `test_accuracy`: a fraction.
        - `lambda_max`: the largest eigenvalue of the Hessian.
        - `trace`, `trace_error`: of the Hessian, by Hutchinson's estimator, with its standard error
          within the run.
        - `s_2`, `s_3`, `s_4`: the non-uniformity of the examples' Hessians,
          `lambda_max(mean_i(H_i^k) - H^k)^(1/k)`.

    Raises:
        ValueError: If the data are not there, or fewer than `train_size`.
    """
    import keras
    from keras import ops

    from keras_sam import SAMModel
    from keras_sam.sharpness import (
        LossSurface,
        hessian_eigenvalues,
        hessian_trace,
        non_uniformity,
    )
    from keras_sam.sparsity import prune
    from recipes.datasets.digits import digits
    from recipes.datasets.mnist import mnist
    from recipes.networks import mlp
    from recipes.seeding import set_seed

    def squared_loss(y: Any, z: Any) -> Any:
        labels = ops.cast(ops.reshape(y, [-1]), "int32")
        target = ops.one_hot(labels, data.classes, dtype=z.dtype)
        return ops.sum(ops.square(z - target), axis=-1) / 2

    def accuracy(y: Any, z: Any) -> Any:
        return keras.metrics.sparse_categorical_accuracy(y, z)

    class Goal(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
            if not setting.goal < logs["loss"] < math.inf:
                self.model.stop_training = True

    set_seed(setting.seed)
    split = Split(
        batch_size=setting.batch_size,
        validation_split=_UNUSED,
        seed=setting.seed,
        data_seed=0,
        take=round(setting.train_size / (1 - _UNUSED)),
    )
    data = mnist(split) if setting.dataset == "mnist" else digits(split)
    if data.train_examples != setting.train_size:
        raise ValueError(
            f"`train_size` must be at most what {setting.dataset} has, {data.train_examples}. "
            f"Received: `train_size={setting.train_size}`"
        )
    assert data.classes is not None
    network = mlp(setting.width, data.input_shape, data.classes, setting.seed)
    masks = prune(network, setting.sparsity, "random", seed=setting.seed)
    model = SAMModel(
        network,
        setting.rho,
        normalize=setting.normalize,
        masks=masks if setting.sparsity else None,
    )
    model.compile(
        keras.optimizers.SGD(setting.learning_rate),
        squared_loss,
        metrics=[accuracy],
        steps_per_execution=Runtime().steps(_STEPS, replicas=1),
    )
    history = model.fit(
        data.train(0),
        epochs=math.ceil(setting.max_steps / _STEPS),
        steps_per_epoch=_STEPS,
        callbacks=[Goal()],
        shuffle=False,  # The data come in the order that the seed asks for.
        verbose=0,
    )
    steps = _STEPS * len(history.epoch)

    x, y = data.arrays["train"]
    inputs = keras.ops.convert_to_numpy(data.prepare(x))
    surface = LossSurface(model, (inputs, y), batch_size=500)
    loss = surface.loss()
    names = ("lambda_max", "trace", "trace_error", "s_2", "s_3", "s_4", "test_accuracy")
    measured = dict.fromkeys(names, math.nan)
    if math.isfinite(loss):
        trace = hessian_trace(surface)
        measured = {
            "lambda_max": float(hessian_eigenvalues(surface)[0]),
            "trace": trace.value,
            "trace_error": trace.standard_error,
            **{f"s_{k}": non_uniformity(surface, k=k, tolerance=1e-2) for k in (2, 3, 4)},
            "test_accuracy": model.evaluate(data.test, verbose=0, return_dict=True)["accuracy"],
        }
    return {"steps": steps, "loss": loss, **measured}
