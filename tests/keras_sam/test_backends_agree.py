"""Steps from the same weights on the same batch: the same numbers on every Keras backend."""

import importlib.util
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_sam import SAMModel
from keras_sam.optimizers import SGD

BACKENDS = [
    name for name in ("tensorflow", "jax", "torch") if importlib.util.find_spec(name) is not None
]

VARIANTS = {
    "plain": {"rho": 0.0},
    "normalized": {},
    "unnormalized": {"normalize": False},
    "adaptive": {"adaptive": True},
    "adaptive, unnormalized": {"adaptive": True, "normalize": False},
    "masked": {"masked": True},
    "splits": {"num_batch_splits": 3, "masked": True},
    "accumulation": {"accumulation": 2},
    "loss scaling": {"loss_scaling": True},
}
WORKER = """
import json, sys
import numpy as np
from tests.keras_sam import test_backends_agree as test

np.savez(sys.argv[1], **{f"{name}/{key}": value
                         for name, options in test.VARIANTS.items()
                         for key, value in test.train(**options).items()})
"""


def network():
    """Convolution, batch statistics, an Embedding, and a weight that the loss does not use."""
    image = keras.Input((6, 6, 2), name="image")
    token = keras.Input((3,), dtype="int32", name="token")
    x = layers.Conv2D(4, 3, use_bias=False, name="conv")(image)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.GlobalAveragePooling2D()(layers.Activation("tanh")(x))
    e = layers.GlobalAveragePooling1D()(layers.Embedding(5, 4, name="table")(token))
    outputs = layers.Dense(3, name="logits")(layers.Concatenate()([x, e]))
    return keras.Model({"image": image, "token": token}, outputs)


def train(masked=False, loss_scaling=False, accumulation=None, **options):
    """What two steps make of all variables, from weights and a batch that NumPy drew."""
    rng = np.random.default_rng(0)
    net = network()
    net.set_weights([rng.normal(size=w.shape) ** 2 * 0.5 for w in net.get_weights()])
    sam = SAMModel(net, **{"rho": 0.5, **options})
    if masked:
        sam.masks = [rng.random(v.shape) > 0.4 for v in sam.trainable_variables]
    optimizer = SGD(
        0.1,
        momentum=0.9,
        nesterov=True,
        weight_decay=0.01,
        gradient_accumulation_steps=accumulation,
    )
    if loss_scaling:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    sam.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x = {
        "image": rng.normal(size=(8, 6, 6, 2)).astype("float32"),
        "token": rng.integers(0, 4, size=(8, 3)),
    }
    y, sample_weight = rng.integers(0, 3, size=8), rng.random(8).astype("float32")
    losses = [sam.train_on_batch(x, y, sample_weight=sample_weight) for _ in range(2)]
    variables = {
        f"{kind} {i}": ops.convert_to_numpy(v)
        for kind, group in [("weight", net.weights), ("optimizer", sam.optimizer.variables)]
        for i, v in enumerate(group)
    }
    return {"losses": losses, **variables}


WITHOUT_TENSORFLOW = """
import sys
import numpy as np
import keras_sam, keras_sam.sharpness, keras_sam.sparsity
from tests.keras_sam import test_backends_agree as test

assert "tensorflow" not in sys.modules, "imported with the package"
test.train(masked=True)
assert "tensorflow" not in sys.modules, "imported by a step"
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """From each backend's name to its results, each from a process of its own."""
    if keras.backend.backend() != BACKENDS[0] or len(BACKENDS) == 1:
        pytest.skip(f"compared once, on {BACKENDS[0]}, if there are others: {BACKENDS}")
    folder = tmp_path_factory.mktemp("backends")
    workers = {
        name: subprocess.Popen(
            [sys.executable, "-c", WORKER, str(folder / f"{name}.npz")],
            env={**os.environ, "KERAS_BACKEND": name},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name in BACKENDS
    }
    try:
        for worker in workers.values():
            output, _ = worker.communicate(timeout=240)
            assert worker.returncode == 0, output[-4000:]
    finally:
        for worker in workers.values():
            worker.kill()
            worker.wait()
    return {name: dict(np.load(folder / f"{name}.npz")) for name in BACKENDS}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", BACKENDS[1:])
def test_two_steps_agree(results, name, variant):
    expected = {k: v for k, v in results[BACKENDS[0]].items() if k.startswith(f"{variant}/")}
    assert len(expected) > 10
    for key, value in expected.items():
        np.testing.assert_allclose(results[name][key], value, rtol=1e-5, atol=1e-5, err_msg=key)
        if "optimizer" not in key:
            assert np.isfinite(value).all()


@pytest.mark.parametrize("name", BACKENDS)
def test_variants_differ(results, name):
    """That they agree says something only if each variant does something."""
    kernels = [results[name][f"{variant}/weight 0"] for variant in VARIANTS]
    for i, kernel in enumerate(kernels[:-1]):
        for other in kernels[:i]:
            assert np.abs(kernel - other).max() > 1e-4
    # The scale cancels out: the last variant is the second in another guise.
    np.testing.assert_allclose(kernels[-1], kernels[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in BACKENDS if name != "tensorflow"])
def test_tensorflow_is_not_imported_elsewhere(name):
    if keras.backend.backend() != name:
        pytest.skip(f"checked on {name}")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-4000:]
