"""MultiWorkerMirroredStrategy: two real processes over loopback. TensorFlow only."""

import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack

import keras
import numpy as np
import pytest

from tests.keras_sam import reference

if keras.backend.backend() != "tensorflow":
    pytest.skip("tf.distribute is TensorFlow's", allow_module_level=True)

WORKER = """
import sys
import numpy as np
import tensorflow as tf

strategy = tf.distribute.MultiWorkerMirroredStrategy()

import keras
from keras import layers
from keras_sam import SAMModel

out, jit, sync = sys.argv[1], sys.argv[2] == "jit", sys.argv[3] == "sync"
rng = np.random.default_rng(0)
x = rng.normal(size=(8, 4)).astype("float32")
y = rng.normal(size=(8, 3)).astype("float32")
with strategy.scope():
    keras.utils.set_random_seed(1)
    sam = SAMModel(
        keras.Sequential([keras.Input((4,)), layers.Dense(3)]), rho=0.5, sync_perturbation=sync
    )
    sam.compile(keras.optimizers.SGD(0.1), "mse", metrics=["mae"], jit_compile=jit)
initial = [v.numpy() for v in sam.trainable_variables]
data = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
options = tf.data.Options()
options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
data = data.with_options(options)
history = sam.fit(data, epochs=2, verbose=0).history
logs = sam.evaluate(data, verbose=0, return_dict=True)
predictions = sam.predict(data, verbose=0)
np.savez(
    out,
    initial_kernel=initial[0],
    initial_bias=initial[1],
    kernel=sam.trainable_variables[0].numpy(),
    bias=sam.trainable_variables[1].numpy(),
    loss=history["loss"],
    mae=history["mae"],
    evaluated=[logs["loss"], logs["mae"]],
    predictions=predictions,
    in_replica=sam._jit_in_replica,
)
"""


def free_ports(count):
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]


def run_two_workers(folder, *arguments):
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    processes, files = [], []
    try:
        for index in range(2):
            config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
            files.append(folder / f"{index}.npz")
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-c", WORKER, files[-1], *arguments],
                    env={**os.environ, "TF_CONFIG": json.dumps(config)},
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            )
        for process in processes:
            output, _ = process.communicate(timeout=240)
            assert process.returncode == 0, output[-4000:]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return [np.load(file) for file in files]


@pytest.mark.parametrize(
    ("jit", "sync"), [("jit", "local"), pytest.param("plain", "sync", marks=pytest.mark.slow)]
)
def test_two_processes_train_as_one(tmp_path, jit, sync):
    workers = run_two_workers(tmp_path, jit, sync)
    for key in workers[0].files:
        np.testing.assert_array_equal(workers[0][key], workers[1][key], err_msg=key)
    assert bool(workers[0]["in_replica"]) == (jit == "jit")

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, 4)), rng.normal(size=(8, 3))
    w = [workers[0]["initial_kernel"].astype("float64"), workers[0]["initial_bias"]]
    # The data policy deals the batch out by turns of 4, half a batch to each worker.
    shards = [slice(0, 4), slice(4, 8)]
    for epoch in range(2):
        loss = reference.loss(w, x, y)
        np.testing.assert_allclose(workers[0]["loss"][epoch], loss, rtol=1e-5)
        error = np.abs(x @ w[0] + w[1] - y).mean()
        np.testing.assert_allclose(workers[0]["mae"][epoch], error, rtol=1e-5)
        if sync == "sync":
            g = reference.sam_gradients(w, x, y, 0.5)
        else:
            parts = [reference.sam_gradients(w, x[s], y[s], 0.5) for s in shards]
            g = [(a + b) / 2 for a, b in zip(*parts)]
        w = [a - 0.1 * b for a, b in zip(w, g)]
    np.testing.assert_allclose(workers[0]["kernel"], w[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(workers[0]["bias"], w[1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(workers[0]["evaluated"][0], reference.loss(w, x, y), rtol=1e-5)
    np.testing.assert_allclose(
        np.sort(workers[0]["predictions"], axis=0),
        np.sort(x @ w[0] + w[1], axis=0),
        rtol=1e-4,
        atol=1e-5,
    )
