"""What only PyTorch can get wrong: graphs, gradients left behind, devices, torch.compile."""

import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
from keras import layers, ops

if keras.backend.backend() != "torch":
    pytest.skip("PyTorch's own", allow_module_level=True)

import torch

from keras_sam import SAMModel
from keras_sam.backend import (
    dense,
    hessian_vector_product,
    repeatable,
    value_and_grad,
    vectorized_map,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 4)).astype("float32")
Y = RNG.normal(size=(8, 3)).astype("float32")


def compiled(jit_compile=False, optimizer=None, seed=None, **kwargs):
    keras.utils.set_random_seed(1)
    net = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(8),
            layers.BatchNormalization(),
            layers.Dropout(0.5, seed=seed),
            layers.Dense(3),
        ]
    )
    kernel = net.layers[0].kernel
    masks = {kernel.path: np.arange(32).reshape(4, 8) % 3 != 0}
    sam = SAMModel(net, rho=0.5, masks=masks, **kwargs)
    sam.compile(
        optimizer or keras.optimizers.SGD(0.1, momentum=0.9),
        "mse",
        metrics=["mae"],
        jit_compile=jit_compile,
    )
    return sam


def live_tensors():
    gc.collect()
    return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())


@pytest.mark.parametrize("splits", [None, 2])
def test_no_tensor_outlives_its_step(splits):
    sam = compiled(num_batch_splits=splits)

    def train(steps):
        for _ in range(steps):
            sam.train_on_batch(X, Y)
        return live_tensors()

    train(5)
    assert train(1) == train(200)


def test_no_graph_hangs_on_variables_or_logs():
    sam = compiled()
    logs = sam.train_step((X, Y))
    for variable in [*sam.variables, *sam.metrics_variables, *sam.optimizer.variables]:
        assert variable.value.grad_fn is None
        assert variable.value.grad is None
    assert not any(torch.is_tensor(v) and v.requires_grad for v in logs.values())
    assert all(v.value.requires_grad and v.value.is_leaf for v in sam.trainable_variables)


def test_state_is_updated_in_place():
    """Whoever holds the parameters, as a torch optimizer or DataParallel does, sees the step."""
    sam = compiled()
    parameters = list(sam.parameters())
    before = [p.detach().clone() for p in parameters]
    sam.train_on_batch(X, Y)
    assert all(a is b for a, b in zip(parameters, sam.parameters(), strict=True))
    changed = [not torch.equal(p, b) for p, b in zip(parameters, before, strict=True)]
    assert sum(changed) > 6, changed


def test_gradient_mode_of_the_caller_does_not_matter():
    expected, sam = compiled(), compiled()
    keras.utils.set_random_seed(2)
    expected.train_on_batch(X, Y)
    keras.utils.set_random_seed(2)
    with torch.no_grad():
        sam.train_on_batch(X, Y)
        assert not torch.is_grad_enabled()
    for a, b in zip(expected.variables, sam.variables, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(a), ops.convert_to_numpy(b))


class Witness(layers.Layer):
    """Keeps what passes through."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def call(self, x):
        if str(x.device) != "meta":
            self.seen.append(ops.convert_to_numpy(x))
        return x


@pytest.mark.parametrize("splits", [None, 2])
def test_both_passes_see_the_same_dropout_without_a_seed(splits):
    """Keras then draws from PyTorch's generator, whose state is no variable."""
    witness = Witness()
    sam = SAMModel(
        keras.Sequential([keras.Input((4,)), layers.Dropout(0.5), witness, layers.Dense(3)]),
        num_batch_splits=splits,
    )
    sam.compile("sgd", "mse")
    for _ in range(3):
        sam.train_on_batch(np.ones((32, 4)), np.ones((32, 3)))
    draws = witness.seen[::2]
    assert len(draws) == 3 * (splits or 1)
    for first, second in zip(draws, witness.seen[1::2], strict=True):
        np.testing.assert_array_equal(first, second)
    for i, draw in enumerate(draws):
        assert all((draw != other).any() for other in draws[:i])


@pytest.mark.parametrize("rho", [0.0, 0.5])
def test_the_generator_advances_as_in_the_plain_model(rho):
    plain = compiled().model
    plain.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    sam = compiled()
    sam.rho = rho
    after = []
    for model in (plain, sam):
        keras.utils.set_random_seed(2)
        for _ in range(2):
            model.train_on_batch(X, Y)
        after.append(torch.get_rng_state())
    assert torch.equal(*after)


def test_a_repeated_call_that_raises_leaves_the_generator_where_it_was():
    draws = []

    def draw_once():
        draws.append(torch.rand(3))
        if len(draws) == 2:
            raise ArithmeticError

    repeated = repeatable(draw_once)
    repeated()
    state = torch.get_rng_state()
    with pytest.raises(ArithmeticError):
        repeated()
    assert torch.equal(draws[0], draws[1])
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.slow
@pytest.mark.parametrize("splits", [None, 2])
def test_torch_compile_equals_eager(splits):
    eager, quick = (
        compiled(jit_compile=jit, num_batch_splits=splits, seed=3) for jit in (False, True)
    )
    assert quick.jit_compile
    for rho in (0.5, 0.1, 0.0):
        eager.rho = quick.rho = rho
        for _ in range(2):
            a = eager.train_on_batch(X, Y, return_dict=True)
            b = quick.train_on_batch(X, Y, return_dict=True)
            assert a == pytest.approx(b, rel=1e-5)
    for a, b in zip(eager.variables, quick.variables, strict=True):
        np.testing.assert_allclose(
            ops.convert_to_numpy(a), ops.convert_to_numpy(b), rtol=1e-4, atol=1e-5
        )


@pytest.mark.slow
def test_torch_compile_is_the_first_thing_that_a_thread_does():
    """Of what we keep for each thread, such a one has nothing yet; like a fresh process."""

    def losses(jit_compile):
        keras.utils.set_random_seed(1)
        sam = SAMModel(keras.Sequential([keras.Input((4,)), layers.Dense(3)]))
        sam.compile("sgd", "mse", jit_compile=jit_compile)
        return [sam.train_on_batch(X, Y) for _ in range(2)]

    with ThreadPoolExecutor(1) as thread:
        quick = thread.submit(losses, True).result()
    assert quick == pytest.approx(losses(False), rel=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("splits", [None, 2])
def test_cuda_equals_cpu(splits):
    """Keras puts the model on the GPU where there is one; the batch comes from main memory."""
    with keras.device("cpu"):
        host = compiled(num_batch_splits=splits)
        weights = host.get_weights()
        host.layers[0].layers[2].rate = 0.0  # The two devices draw other dropout masks.
        expected = host.train_on_batch(X, Y)
    sam = compiled(num_batch_splits=splits)
    sam.layers[0].layers[2].rate = 0.0
    sam.set_weights(weights)
    assert sam.train_on_batch(X, Y) == pytest.approx(expected, rel=1e-4)
    for variable in [*sam.variables, *sam.optimizer.variables]:
        assert variable.value.device.type == "cuda" or "seed" in variable.path
    for a, b in zip(host.trainable_variables, sam.trainable_variables, strict=True):
        np.testing.assert_allclose(
            ops.convert_to_numpy(a), ops.convert_to_numpy(b), rtol=1e-4, atol=1e-5
        )


# The primitives.


def cubic(values, scale=1.0):
    """sum(scale * w^3), whose gradient is 3 scale w^2 and whose Hessian is diag(6 scale w)."""
    return scale * ops.sum(values[0] ** 3), values[0] * 2.0


W = torch.tensor([1.0, 2.0])


def test_value_and_grad():
    (loss, aux), (slope, none) = value_and_grad(cubic)([W, torch.ones(2)], 2.0)
    assert float(loss) == 18.0
    assert slope.tolist() == [6.0, 24.0]
    assert none is None
    assert not loss.requires_grad
    assert not aux.requires_grad
    assert not W.requires_grad


def test_a_loss_of_nothing_has_no_gradient():
    (loss, _), gradients = value_and_grad(lambda values: (torch.ones(()), None))([W])
    assert float(loss) == 1.0
    assert gradients == [None]


def test_nested_gradients_can_be_differentiated():
    def slope_along_ones(values):
        _, (slope,) = value_and_grad(cubic)(values)
        return ops.sum(slope), None

    _, (product,) = value_and_grad(slope_along_ones)([W])
    assert product.tolist() == [6.0, 12.0]
    assert not product.requires_grad


def test_an_error_leaves_no_trace():
    def fails(values):
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        value_and_grad(fails)([W])
    (loss, _), _ = value_and_grad(cubic)([W])
    assert not loss.requires_grad


def test_threads_do_not_meet():
    """A gradient in another thread is none of a nested one."""
    found = []

    def meanwhile(values):
        thread = threading.Thread(target=lambda: found.append(value_and_grad(cubic)([W])))
        thread.start()
        thread.join()
        return cubic(values)

    value_and_grad(meanwhile)([W])
    (loss, _), _ = found[0]
    assert not loss.requires_grad


def test_sparse_gradients_become_dense():
    def lookup(values):
        rows = torch.nn.functional.embedding(torch.tensor([1, 1]), values[0], sparse=True)
        return rows.sum(), None

    _, (gradient,) = value_and_grad(lookup)([torch.zeros(3, 2)])
    assert gradient.is_sparse
    assert dense(gradient).tolist() == [[0, 0], [2, 2], [0, 0]]


def test_hessian_vector_product():
    products = hessian_vector_product(cubic)([W, W], [torch.tensor([1.0, 10.0])] * 2, 2.0)
    assert [p.tolist() for p in products] == [[12.0, 240.0], [0.0, 0.0]]


@pytest.mark.parametrize("look", [False, True])
def test_vectorized_map_of_products(look):
    """`look`: at a value, which `torch.vmap` cannot."""

    def of_element(scale):
        if look and float(scale) < 0:
            raise AssertionError
        return hessian_vector_product(cubic)([W], [torch.ones(2)], scale)

    (products,) = vectorized_map(of_element, torch.tensor([1.0, 2.0, 3.0]))
    assert products.tolist() == [[6, 12], [12, 24], [18, 36]]


def test_vectorized_map_raises_the_errors_of_its_function():
    def fails(element):
        raise ValueError("its own")

    with pytest.raises(ValueError, match="its own") as caught:
        vectorized_map(fails, torch.ones(2))
    assert caught.value.__context__ is None
