"""Shared by all tests: two logical CPU devices stand for two replicas."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import hypothesis
import keras
import pytest

# How long an example takes says something about the machine, not about the code.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )


@pytest.fixture(scope="session")
def strategy():
    """MirroredStrategy over two replicas on this CPU, the only one of the process."""
    from recipes.running.runtime import mirrored

    return mirrored(("CPU:0", "CPU:1"))


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(0)
