"""Members shared out over two devices of JAX equal those on one."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_sam.backend import programs

pytest.importorskip("jax")

WORKER = """
import sys
import jax
import numpy as np
from keras_sam import Member
from keras_sam.backend import programs
from tests.keras_sam.population.networks import trained

assert programs.devices() == int(sys.argv[2])
# The second device has one fewer, which is filled up.
members = [Member(0, 0.2), Member(1, 0.5), Member(2, 0.3, learning_rate=0.02)]
arrays = {}
for vectorize in (True, False):
    population, history = trained(members, epochs=1, vectorize=vectorize)
    for i in range(3):
        for j, weight in enumerate(population.network(i).get_weights()):
            arrays[f"{vectorize}/{i}/{j}"] = weight
    arrays[f"{vectorize}/loss"] = history["val_loss"]
    arrays[f"{vectorize}/rates"] = population.learning_rate()
    arrays[f"{vectorize}/predictions"] = population.predict(np.ones((2, 4), "float32"))
    states = population.states()
    assert all(len(value) == 3 for value in states.values() if value.ndim)
    population.set_states(states)
    for name, value in population.states().items():
        np.testing.assert_array_equal(value, states[name])
np.savez(sys.argv[1], **arrays)
"""


def worker(folder, devices):
    path = folder / f"{devices}.npz"
    environment = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
    }
    command = [sys.executable, "-c", WORKER, str(path), str(devices)]
    subprocess.run(command, check=True, env=environment, timeout=280)
    return dict(np.load(path))


@pytest.mark.slow
def test_two_devices_equal_one(tmp_path):
    one, two = worker(tmp_path, 1), worker(tmp_path, 2)
    assert one.keys() == two.keys()
    for name, array in one.items():
        np.testing.assert_allclose(two[name], array, rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="JAX's settings")
def test_what_runs_once_leaves_the_settings_as_they_were():
    import jax

    name = "jax_disable_most_optimizations"
    with programs.run_once():
        assert jax.config.read(name) == (jax.default_backend() == "cpu")
    assert jax.config.read(name) is False
