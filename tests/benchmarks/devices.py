"""The device that a framework computes on, and the memory that was used on it."""

import os
import resource
import sys
from typing import Any

MIB = 2**20


def peak_process_memory() -> float:
    """The largest resident set of this process so far, in MiB.

    On Linux it starts from the resident set of the process that started this one, which therefore
    must be small.
    """
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MIB if sys.platform == "darwin" else peak / 1024  # bytes there, KiB elsewhere


def accelerator(backend: str) -> tuple[str, float] | None:
    """Name of the accelerator and the peak of the memory allocated on it, in MiB, or `None`."""
    if backend == "tensorflow":
        return _tensorflow()
    return _jax() if backend == "jax" else _torch()


def device_name(backend: str) -> str:
    """The accelerator's name, or the number of CPU cores that this process may use."""
    found = accelerator(backend)
    return found[0] if found else f"{len(os.sched_getaffinity(0))} CPU cores"


def _tensorflow() -> tuple[str, float] | None:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return None
    details: dict[str, Any] = tf.config.experimental.get_device_details(gpus[0])
    used = tf.config.experimental.get_memory_info("GPU:0")["peak"]
    return details.get("device_name", "GPU"), used / MIB


def _jax() -> tuple[str, float] | None:
    import jax

    device = jax.devices()[0]
    if device.platform == "cpu":
        return None
    return device.device_kind, (device.memory_stats() or {}).get("peak_bytes_in_use", 0) / MIB


def _torch() -> tuple[str, float] | None:
    import torch

    if not torch.cuda.is_available():
        return None
    return torch.cuda.get_device_name(), torch.cuda.max_memory_allocated() / MIB
