"""keras.distribution.DataParallel: two devices of one process, and two processes. JAX only."""

import json
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_sam import Every, SAMModel
from tests.keras_sam import reference

if keras.backend.backend() != "jax":
    pytest.skip("keras.distribution is JAX's", allow_module_level=True)

# Trains one model a variant and writes what came out. Two processes feed half of the batch each.
WORKER = """
import json, os, sys

out, variants, processes, process, port = json.loads(sys.argv[1])
os.environ["KERAS_BACKEND"] = "jax"
if processes == 1:
    os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"

import keras, numpy as np

if processes > 1:
    keras.distribution.initialize(f"127.0.0.1:{port}", processes, process)
distribution = keras.distribution.DataParallel(auto_shard_dataset=False)
assert distribution.device_mesh.shape == (2,)
keras.distribution.set_distribution(distribution)

from tests.keras_sam.test_jax_distribution import train

rows = slice(4 * process, 4 * process + 4) if processes > 1 else slice(0, 8)
np.savez(out, **{f"{name}/{key}": value
                 for name, options in variants.items()
                 for key, value in train(rows, **options).items()})
"""
RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 4)).astype("float32")
Y = RNG.normal(size=(8, 3)).astype("float32")
KERNEL = RNG.normal(size=(4, 3)).astype("float32")
MASK = np.arange(12).reshape(4, 3) % 3 != 0
VARIANTS = {
    "normalized": {},
    "synchronised": {"sync_perturbation": True},
    "unnormalized": {"normalize": False},
    "adaptive": {"adaptive": True},
    "a split a device": {"num_batch_splits": 2},
    "uneven splits": {"num_batch_splits": 3},
    "masked": {"masked": True},
    "stateful": {"stateful": True, "masked": True},
    "stateful, splits": {"stateful": True, "num_batch_splits": 3},
    "stateful, convolution in a branch": {"stateful": True, "convolution": True},
}


def train(rows=slice(0, 8), masked=False, stateful=False, convolution=False, **options):
    """Two steps on these rows of the batch: rho 0.5, then 0.2, or none with a convolution."""
    net = [keras.Input((4,)), layers.Dense(3, kernel_initializer=lambda *_, **__: KERNEL)]
    if convolution:
        start = keras.initializers.RandomNormal(seed=2)
        net += [layers.Reshape((3, 1)), layers.Conv1D(2, 2, kernel_initializer=start)]
        net += [layers.Flatten(), layers.Dense(3, kernel_initializer=start)]
    if stateful:
        net += [layers.BatchNormalization(), layers.Dropout(0.5, seed=1)]
    net = keras.Sequential(net)
    sam = SAMModel(net, rho=0.5, **options)
    if masked:
        sam.masks = {net.layers[0].kernel.path: MASK}
    sam.compile(keras.optimizers.SGD(0.1), "mse")
    losses = []
    for rho in (0.5, 0.2):
        sam.rho = Every(rho, 2) if convolution else rho
        history = sam.fit(X[rows], Y[rows], batch_size=len(X[rows]), shuffle=False, verbose=0)
        losses += history.history["loss"]
    results = {v.name: ops.convert_to_numpy(v) for v in net.variables}
    return {"losses": losses, "kept": [m.sum() for m in sam.masks.values()], **results}


def run(folder, processes):
    """The results of each process, for all variants."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    workers = []
    for process in range(processes):
        arguments = json.dumps([str(folder / f"{process}.npz"), VARIANTS, processes, process, port])
        workers.append(
            subprocess.Popen(
                [sys.executable, "-c", WORKER, arguments],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    try:
        for worker in workers:
            output, _ = worker.communicate(timeout=240)
            assert worker.returncode == 0, output[-4000:]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    return [dict(np.load(folder / f"{process}.npz")) for process in range(processes)]


@pytest.fixture(scope="module")
def two_devices(tmp_path_factory):
    (results,) = run(tmp_path_factory.mktemp("devices"), 1)
    return results


@pytest.mark.parametrize("name", [name for name in VARIANTS if "stateful" not in name])
def test_two_devices_equal_numpy(two_devices, name):
    """One gradient over all devices; `num_batch_splits` makes perturbations of parts."""
    options = dict(VARIANTS[name])
    masks = [MASK, np.ones(3)] if options.pop("masked", False) else None
    splits = options.pop("num_batch_splits", 1)
    options.pop("sync_perturbation", None)
    w = [KERNEL.astype("float64"), np.zeros(3)]
    if masks:
        w = [a * m for a, m in zip(w, masks)]
    bounds = [i * 8 // splits for i in range(splits + 1)]
    parts = [slice(*ends) for ends in zip(bounds, bounds[1:])]
    losses = []
    for rho in (0.5, 0.2):
        losses.append(reference.loss(w, X, Y))
        gradients = [reference.sam_gradients(w, X[p], Y[p], rho, masks, **options) for p in parts]
        shares = [(p.stop - p.start) / 8 for p in parts]
        w = [
            a - 0.1 * np.dot(shares, [g.ravel() for g in b]).reshape(a.shape)
            for a, *b in zip(w, *gradients)
        ]
    np.testing.assert_allclose(two_devices[f"{name}/losses"], losses, rtol=1e-5)
    np.testing.assert_allclose(two_devices[f"{name}/kernel"], w[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(two_devices[f"{name}/bias"], w[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in VARIANTS if "stateful" in name])
def test_two_devices_equal_one(two_devices, name):
    """Batch statistics, dropout and masks too: the number of devices changes no number."""
    expected = train(**VARIANTS[name])
    assert len(expected) > 6
    for key, value in expected.items():
        np.testing.assert_allclose(
            two_devices[f"{name}/{key}"], value, rtol=1e-5, atol=1e-6, err_msg=key
        )


@pytest.mark.slow
def test_two_processes_equal_two_devices(two_devices, tmp_path):
    first, second = run(tmp_path, 2)
    assert first.keys() == second.keys() == two_devices.keys()
    for key in first:
        np.testing.assert_array_equal(first[key], second[key], err_msg=key)
        np.testing.assert_allclose(first[key], two_devices[key], rtol=1e-5, atol=1e-6, err_msg=key)
