"""optax.contrib.sam, and plain SGD, on JAX, with networks that are plain functions.

SAM in its opaque mode: both passes in one update, one batch, batch statistics from the clean pass.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

from tests.benchmarks import synthetic
from tests.benchmarks.trainer import Trainer
from tests.benchmarks.variant import Variant

Tree = dict[str, Any]
# (params, batch statistics, images) -> (logits, new batch statistics)
Network = Callable[[Tree, Tree, jax.Array], tuple[jax.Array, Tree]]


class OptaxTrainer(Trainer):
    """One jitted step, its weights and states donated."""

    def __init__(self, variant: Variant) -> None:
        if variant.precision == "float16":
            raise NotImplementedError("optax has no loss scaling for float16")
        dtype = jnp.bfloat16 if variant.precision else jnp.float32
        initial, network = (
            (init_mlp, mlp)
            if variant.network == "mlp"
            else (partial(init_resnet18, variant.filters), resnet18)
        )
        params, statistics = initial(Initializer())
        self.parameters = sum(w.size for w in jax.tree.leaves(params))
        optimizer = optax.sgd(synthetic.LEARNING_RATE, momentum=synthetic.MOMENTUM)
        if variant.rho is not None:
            ascent = optax.chain(optax.contrib.normalize(), optax.sgd(variant.rho))
            optimizer = optax.contrib.sam(optimizer, ascent, opaque_mode=True)
        self.step = jax.jit(
            partial(train_step, network, dtype, optimizer, variant.rho is not None),
            donate_argnums=(0, 1, 2),
        )
        self.state = (params, statistics, optimizer.init(params))
        self.batch = tuple(map(jnp.asarray, synthetic.batch(variant)))

    def steps(self, count: int) -> None:
        for _ in range(count):
            self.state = self.step(*self.state, *self.batch)

    def wait(self) -> None:
        jax.block_until_ready(self.state)


def train_step(
    network: Network,
    dtype: Any,
    optimizer: Any,
    is_sam: bool,
    params: Tree,
    statistics: Tree,
    state: Any,
    x: jax.Array,
    y: jax.Array,
) -> tuple[Tree, Tree, Any]:
    """One step; under SAM the optimizer calls for the gradient at the perturbed weights."""

    def loss_fn(params: Tree) -> tuple[jax.Array, Tree]:
        cast = jax.tree.map(lambda w: w.astype(dtype) if w.ndim > 1 else w, params)
        logits, new_statistics = network(cast, statistics, x.astype(dtype))
        losses = optax.softmax_cross_entropy_with_integer_labels(logits.astype(jnp.float32), y)
        return losses.mean(), new_statistics

    gradient = jax.grad(loss_fn, has_aux=True)
    gradients, statistics = gradient(params)
    second = {"grad_fn": lambda perturbed, _: gradient(perturbed)[0]} if is_sam else {}
    updates, state = optimizer.update(gradients, state, params, **second)
    return optax.apply_updates(params, updates), statistics, state


class Initializer:
    """LeCun-normal kernels, each with a key of its own."""

    def __init__(self) -> None:
        self.key = jax.random.key(0)

    def __call__(self, *shape: int) -> jax.Array:
        self.key, key = jax.random.split(self.key)
        return jax.nn.initializers.lecun_normal()(key, shape)


def init_dense(init: Initializer, inputs: int, outputs: int) -> Tree:
    return {"kernel": init(inputs, outputs), "bias": jnp.zeros(outputs)}


def dense(params: Tree, x: jax.Array) -> jax.Array:
    return x @ params["kernel"] + params["bias"].astype(x.dtype)


def init_mlp(init: Initializer) -> tuple[Tree, Tree]:
    """Two hidden layers of 300 and 100 units."""
    sizes = [28 * 28, 300, 100, synthetic.CLASSES]
    layers = zip(sizes, sizes[1:], strict=False)
    return {f"dense{i}": init_dense(init, *layer) for i, layer in enumerate(layers)}, {}


def mlp(params: Tree, statistics: Tree, x: jax.Array) -> tuple[jax.Array, Tree]:
    x = x.reshape(len(x), -1)
    x = jax.nn.relu(dense(params["dense0"], x))
    x = jax.nn.relu(dense(params["dense1"], x))
    return dense(params["dense2"], x), statistics


def resnet18_convolutions(filters: int) -> dict[str, tuple[int, int, int]]:
    """From the name of each convolution to (kernel size, inputs, outputs)."""
    convolutions = {"stem": (3, 3, filters)}
    inputs = filters
    for stage in range(4):
        outputs = filters * 2**stage
        for block in range(2):
            name = f"stage{stage}_block{block}"
            convolutions[f"{name}_conv1"] = (3, inputs, outputs)
            convolutions[f"{name}_conv2"] = (3, outputs, outputs)
            if inputs != outputs:
                convolutions[f"{name}_shortcut"] = (1, inputs, outputs)
            inputs = outputs
    return convolutions


def init_resnet18(filters: int, init: Initializer) -> tuple[Tree, Tree]:
    """ResNet-18 for 32x32 images: 3x3 stem of stride 1, no pooling, projection shortcuts."""
    params: Tree = {"logits": init_dense(init, 8 * filters, synthetic.CLASSES)}
    statistics: Tree = {}
    for name, (size, inputs, outputs) in resnet18_convolutions(filters).items():
        params[name] = {
            "kernel": init(size, size, inputs, outputs),
            "gamma": jnp.ones(outputs),
            "beta": jnp.zeros(outputs),
        }
        statistics[name] = {"mean": jnp.zeros(outputs), "variance": jnp.ones(outputs)}
    return params, statistics


def resnet18(params: Tree, statistics: Tree, x: jax.Array) -> tuple[jax.Array, Tree]:
    new_statistics: Tree = {}

    def conv_bn(name: str, x: jax.Array, stride: int = 1) -> jax.Array:
        x, new_statistics[name] = convolve_and_normalize(params[name], statistics[name], x, stride)
        return x

    x = jax.nn.relu(conv_bn("stem", x))
    for stage in range(4):
        for block in range(2):
            name = f"stage{stage}_block{block}"
            stride = 2 if stage and not block else 1
            y = jax.nn.relu(conv_bn(f"{name}_conv1", x, stride))
            y = conv_bn(f"{name}_conv2", y)
            if f"{name}_shortcut" in params:
                x = conv_bn(f"{name}_shortcut", x, stride)
            x = jax.nn.relu(x + y)
    return dense(params["logits"], x.mean((1, 2))), new_statistics


def convolve_and_normalize(
    params: Tree, statistics: Tree, x: jax.Array, stride: int
) -> tuple[jax.Array, Tree]:
    """A convolution without bias, and batch normalisation in float32."""
    x = lax.conv_general_dilated(
        x, params["kernel"], (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    values = x.astype(jnp.float32)
    mean, variance = values.mean((0, 1, 2)), values.var((0, 1, 2))
    scale = params["gamma"] * lax.rsqrt(variance + 1e-5)
    new_statistics = {
        "mean": 0.9 * statistics["mean"] + 0.1 * mean,
        "variance": 0.9 * statistics["variance"] + 0.1 * variance,
    }
    return ((values - mean) * scale + params["beta"]).astype(x.dtype), new_statistics
