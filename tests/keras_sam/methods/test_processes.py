"""Methods on two machines (TensorFlow), two devices of one program (JAX), compiled (PyTorch)."""

import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack

import keras
import numpy as np
import pytest

from tests.keras_sam.methods.models import SIZE, X, Y, build, expected, flat

pytestmark = pytest.mark.slow

BACKEND = keras.backend.backend()
# A state that is a unit vector, all kinds of state in branches, a pass without a gradient.
NAMES = ("looksam", "all together", "msam")
STEPS = 4

WORKER = """
import json, sys
import numpy as np

out, backend, names = json.loads(sys.argv[1])
if backend == "tensorflow":
    import tensorflow as tf
    scope = tf.distribute.MultiWorkerMirroredStrategy().scope
import keras
if backend == "jax":
    import contextlib
    distribution = keras.distribution.DataParallel(auto_shard_dataset=False)
    assert distribution.device_mesh.shape == (2,)
    keras.distribution.set_distribution(distribution)
    scope = contextlib.nullcontext
from tests.keras_sam.methods.test_processes import train

np.savez(out, **{f"{name}/{i}": value
                 for name in names
                 for i, value in enumerate(train(name, scope))})
"""


def train(name, scope):
    """A few steps; the weights, then the method's state."""
    with scope():
        sam = build(name, sync_perturbation=True)
    rows = slice(0, STEPS * SIZE)
    data = X[rows], Y[rows]
    if BACKEND == "tensorflow":
        import tensorflow as tf

        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = (
            tf.data.experimental.AutoShardPolicy.DATA
        )
        dataset = tf.data.Dataset.from_tensor_slices(data).batch(SIZE)
        sam.fit(dataset.with_options(options), verbose=0)
    else:
        sam.fit(*data, batch_size=SIZE, shuffle=False, verbose=0)
    state = [keras.ops.convert_to_numpy(v) for of_rule in sam.method_variables for v in of_rule]
    return [flat(sam), *state]


def run(files, environments):
    workers = []
    try:
        for file, environment in zip(files, environments, strict=True):
            arguments = json.dumps([str(file), BACKEND, NAMES])
            workers.append(
                subprocess.Popen(
                    [sys.executable, "-c", WORKER, arguments],
                    env={**os.environ, **environment},
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            )
        for worker in workers:
            output, _ = worker.communicate(timeout=280)
            assert worker.returncode == 0, output[-4000:]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    return [dict(np.load(file)) for file in files]


def check(results):
    for name in NAMES:
        np.testing.assert_allclose(
            results[f"{name}/0"], expected(name, STEPS)[-1], rtol=1e-3, atol=2e-5, err_msg=name
        )


@pytest.mark.skipif(BACKEND != "tensorflow", reason="tf.distribute is TensorFlow's")
def test_two_workers_equal_one_device(tmp_path):
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    configs = [
        {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": i}} for i in (0, 1)
    ]
    first, second = run(
        [tmp_path / f"{i}.npz" for i in (0, 1)], [{"TF_CONFIG": json.dumps(c)} for c in configs]
    )
    for key, value in first.items():
        np.testing.assert_array_equal(value, second[key], err_msg=key)
    check(first)


@pytest.mark.skipif(BACKEND != "jax", reason="keras.distribution is JAX's")
def test_two_devices_equal_one(tmp_path):
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    (results,) = run([tmp_path / "devices.npz"], [flags])
    check(results)


@pytest.mark.skipif(BACKEND != "torch", reason="torch.compile is PyTorch's")
@pytest.mark.parametrize("name", NAMES)
def test_torch_compile_agrees(name):
    sam = build(name, jit_compile=True)
    for step in range(STEPS):
        rows = slice(step * SIZE, (step + 1) * SIZE)
        sam.train_on_batch(X[rows], Y[rows])
    np.testing.assert_allclose(flat(sam), expected(name, STEPS)[-1], rtol=1e-3, atol=2e-5)
