"""How a run is carried out: what changes its speed and its logs, not its result."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib.metadata
import os
from collections.abc import Sequence
from typing import Any

from recipes.datasets.folder import VARIABLE
from recipes.running.environment import cpu, environment
from recipes.running.flags import cast_fields, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class Runtime:
    """How to carry out runs. Results agree to rounding whatever is chosen here.

    Args:
        jit: Whether the step is compiled by XLA; `None` leaves it to the device, the default.
        steps_per_execution: Steps between two returns to `fit`, a divisor of the steps of an
            epoch; `None` takes a divisor up to 100 or a short epoch as a whole, but 1 with several
            replicas (and on PyTorch, for data that are not in memory), where Keras cannot do more,
            where batches differ in shape, where each row of shapes would be a program, and on JAX
            for convolutions on a CPU, which are slow inside a loop. Defaults to `None`.
        devices: Devices to train on, such as ("GPU:0", "GPU:1"), mirrored if there are several;
            `None` takes all local GPUs, or the CPU. Defaults to `None`.
        deterministic: Whether operations that are faster when they are not reproducible (on GPUs)
            are kept off. Defaults to `False`.
        tensorboard: Whether TensorBoard logs are written. Defaults to `False`.
        csv: Whether the curves are written as `curves.csv` during the run. Defaults to `False`.
        save_model: Whether the trained network is kept as `model.keras`. Defaults to `False`.
        progress: Whether progress is shown. Defaults to `True`.
        checkpoint_seconds: A checkpoint is written after an epoch if the last one is older than
            this; 0 writes one after each epoch. Defaults to 0.
        data_dir: The folder of prepared arrays, for data that are not downloaded. Defaults to
            `None`, what the environment variable KERAS_SAM_DATA names.

    Raises:
        TypeError: If a field is of the wrong type.
        ValueError: If `steps_per_execution` is below 1, or `checkpoint_seconds` is negative or not
            finite.
    """

    jit: bool | None = setting(None, "compile the step by XLA (default: on accelerators)")
    steps_per_execution: int | None = setting(None, "steps between two returns to Python")
    devices: tuple[str, ...] | None = setting(None, "devices to train on (default: all local GPUs)")
    deterministic: bool = setting(False, "reproducible operations only, also on GPUs")
    tensorboard: bool = setting(False, "write TensorBoard logs")
    csv: bool = setting(False, "write curves.csv during the run")
    save_model: bool = setting(False, "keep the trained network as model.keras")
    progress: bool = setting(True, "show progress")
    checkpoint_seconds: float = setting(0.0, "least time between two checkpoints")
    data_dir: str | None = setting(None, "folder of prepared arrays (default: $KERAS_SAM_DATA)")

    def __post_init__(self) -> None:
        cast_fields(self)
        if self.steps_per_execution is not None and self.steps_per_execution < 1:
            raise ValueError(
                "`steps_per_execution` must be >= 1 or None. "
                f"Received: `steps_per_execution={self.steps_per_execution}`"
            )
        if not self.checkpoint_seconds >= 0:
            raise ValueError(
                "`checkpoint_seconds` must be >= 0. "
                f"Received: `checkpoint_seconds={self.checkpoint_seconds}`"
            )

    def prepare(self) -> None:
        """Makes the process-wide settings that runs ask for.

        Raises:
            ValueError: If `deterministic` is asked for on a backend that has no such switch.
        """
        if self.data_dir is not None:
            os.environ[VARIABLE] = self.data_dir
        if not self.deterministic:
            return
        import keras

        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            tf.config.experimental.enable_op_determinism()
        elif keras.backend.backend() == "torch":
            import torch

            torch.use_deterministic_algorithms(True)
        else:
            raise ValueError(
                "`deterministic` needs the TensorFlow or the PyTorch backend. "
                f"Received: `deterministic=True` on {keras.backend.backend()}"
            )

    def steps(
        self,
        steps_per_epoch: int,
        replicas: int,
        one_shape: bool = True,
        resident: bool = False,
        loops_well: bool = True,
    ) -> int:
        """The steps per execution for an epoch of so many steps.

        Keras runs past the end of an epoch that the number does not divide, and (as of 3.15) fails
        in its own loop over steps where a MirroredStrategy has several replicas.

        Args:
            steps_per_epoch: Steps of an epoch.
            replicas: Devices that share a batch.
            one_shape: Whether all batches have one shape. Defaults to `True`.
            resident: Whether the loop over steps is that of a `ResidentModel`, not Keras's.
                Defaults to `False`.
            loops_well: Whether a step is as fast inside a loop as by itself. Defaults to `True`.

        Raises:
            ValueError: If the number asked for is no divisor, or above 1 with several replicas.
        """
        if self.steps_per_execution is None:
            import keras

            streamed_by_torch = keras.backend.backend() == "torch" and not resident
            if replicas > 1 or not one_shape or streamed_by_torch or not loops_well:
                return 1
            divisor = max(n for n in range(1, 101) if steps_per_epoch % n == 0)
            # Where the number has no useful divisor (MNIST has 421 steps), a short epoch in one go.
            return steps_per_epoch if divisor < 10 and steps_per_epoch <= 1000 else divisor
        if replicas > 1 and self.steps_per_execution > 1:
            raise ValueError(
                f"`steps_per_execution` must be 1 with several replicas, here {replicas}. "
                f"Received: `steps_per_execution={self.steps_per_execution}`"
            )
        if steps_per_epoch % self.steps_per_execution:
            raise ValueError(
                f"`steps_per_execution` must divide the steps of an epoch, {steps_per_epoch}. "
                f"Received: `steps_per_execution={self.steps_per_execution}`"
            )
        return self.steps_per_execution

    def strategy(self) -> Any:
        """A `MirroredStrategy` over the devices, or `None` where there is one device only."""
        import keras

        if keras.backend.backend() != "tensorflow":
            return None
        import tensorflow as tf

        known = [
            device.name.removeprefix("/device:") for device in tf.config.list_logical_devices()
        ]
        asked = [
            device.upper().removeprefix("/").removeprefix("DEVICE:")
            for device in self.devices or ()
        ]
        if not set(asked) <= set(known):
            raise ValueError(
                f"`devices` must be among {', '.join(known)}. Received: `devices={self.devices}`"
            )
        devices: Sequence[str] = self.devices or [
            device for device in known if device.startswith("GPU:")
        ]
        if len(devices) > 1 or self.devices:
            return mirrored(tuple(devices))
        return None

    def environment(self, replicas: int) -> dict[str, Any]:
        """What a record says of the place of the run: versions, backend, devices."""
        import keras

        backend = keras.backend.backend()
        return {
            **environment("keras", "keras_sam", "numpy"),
            "backend": backend,
            "backend_version": importlib.metadata.version(backend),
            "device": _device_name(backend),
            **({"onednn": _onednn()} if backend == "tensorflow" else {}),
            "replicas": replicas,
            "jit": self.jit,
            "deterministic": self.deterministic,
        }


def place() -> dict[str, Any]:
    """Versions, backend and device of what is trained on one device, by default settings."""
    return Runtime().environment(replicas=1)


@functools.cache
def mirrored(devices: tuple[str, ...]) -> Any:
    """The process's one `MirroredStrategy` over these devices.

    TensorFlow numbers the all-reduces of each strategy from the start, so that those of a second
    one over the same devices may meet, and fail on, the shapes of the first.
    """
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(list(devices))


def scope(strategy: Any) -> contextlib.AbstractContextManager[Any]:
    """The strategy's scope, or no scope where there is no strategy."""
    return contextlib.nullcontext() if strategy is None else strategy.scope()


def _onednn() -> str:
    """Whether TensorFlow was told to use oneDNN on CPUs: "on", "off", or left to it."""
    told = os.environ.get("TF_ENABLE_ONEDNN_OPTS")
    return {"1": "on", "0": "off"}.get(told or "", "TensorFlow's default")


def _device_name(backend: str) -> str:
    """The name of the first accelerator, or the CPU with its number of cores."""
    if backend == "tensorflow":
        import tensorflow as tf

        for device in tf.config.list_physical_devices("GPU"):
            return tf.config.experimental.get_device_details(device).get("device_name", "GPU")
    elif backend == "jax":
        import jax

        if jax.default_backend() != "cpu":
            return jax.devices()[0].device_kind
    elif backend == "torch":
        import torch

        if torch.cuda.is_available():
            return torch.cuda.get_device_name()
    return cpu()
