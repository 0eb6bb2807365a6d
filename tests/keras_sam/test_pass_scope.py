"""What a StatelessScope does not hold by itself: works as in plain Keras, or is refused by name."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_sam import SAMModel
from keras_sam.loss_function import loss_function, state_variables
from tests.keras_sam import reference

BACKEND = keras.backend.backend()
RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 4)).astype("float32")
Y = RNG.normal(size=(6, 3)).astype("float32")
only = {
    name: pytest.mark.skipif(name != BACKEND, reason=f"{name}'s own")
    for name in ("tensorflow", "torch")
}


def arrays(variables):
    return [ops.convert_to_numpy(v) for v in variables]


def trained(build, wrap, x=X, y=Y, steps=2, rate=0.1):
    """The net after some steps, its loss, and what it keeps besides weights."""
    keras.utils.set_random_seed(1)
    keras.backend.clear_session()
    net = build()
    model = wrap(net)
    model.compile(keras.optimizers.SGD(rate), "mse")
    losses = [float(model.train_on_batch(x, y)) for _ in range(steps)]
    return net, losses


def assert_as_plain(build, x=X, y=Y, also=lambda net: []):
    plain, losses = trained(build, lambda net: net, x, y)
    sam, sam_losses = trained(build, lambda net: SAMModel(net, rho=0), x, y)
    for a, b in zip(
        arrays([*plain.variables, *also(plain)]), arrays([*sam.variables, *also(sam)]), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    assert losses == sam_losses
    return sam


# (a) State that Keras does not track.

SEQUENCES = RNG.normal(size=(6, 2, 4)).astype("float32")


def stateful():
    return keras.Sequential(
        [keras.Input(batch_shape=(6, 2, 4)), layers.SimpleRNN(3, stateful=True), layers.Dense(3)]
    )


@pytest.mark.skipif(BACKEND == "torch", reason="plain Keras cannot differentiate it on torch")
def test_the_states_of_a_stateful_rnn_are_carried_on():
    net = assert_as_plain(stateful, SEQUENCES, also=lambda net: net.layers[0].states)
    (state,) = arrays(net.layers[0].states)
    # Keras on JAX forgets the states of a traced step.
    assert (np.abs(state).max() > 0.01) == (BACKEND != "jax")


@pytest.mark.skipif(BACKEND == "jax", reason="Keras on JAX forgets them")
def test_the_states_come_from_the_clean_pass_once():
    net = stateful()
    twin = stateful()
    twin.set_weights(net.get_weights())
    sam = SAMModel(net, rho=5.0)
    sam.compile(keras.optimizers.SGD(0.1), "mse")
    sam.train_on_batch(SEQUENCES, Y)
    twin(SEQUENCES)
    (state,), (expected,) = arrays(net.layers[0].states), arrays(twin.layers[0].states)
    np.testing.assert_allclose(state, expected, rtol=1e-5, atol=1e-6)
    for _ in range(2):  # In the graph that is traced by now.
        state = arrays(net.layers[0].states)
        sam.train_on_batch(SEQUENCES, Y)
        assert np.abs(arrays(net.layers[0].states)[0] - state[0]).max() > 1e-4


class Noise(layers.Layer):
    def call(self, x, training=False):
        return x + keras.random.normal(ops.shape(x)) if training else x


@pytest.mark.skipif(BACKEND == "jax", reason="Keras refuses it there")
def test_noise_without_a_seed_is_new_at_each_step_and_the_same_in_both_passes():
    """It follows from Keras's global seed."""
    build = lambda: keras.Sequential([keras.Input((4,)), Noise(), layers.Dense(3)])  # noqa: E731
    assert_as_plain(build)
    _, losses = trained(build, lambda net: SAMModel(net, rho=0.5), steps=3, rate=0.0)
    assert len(set(losses)) == 3
    net = build()
    keras.utils.set_random_seed(3)
    net.compile(loss="mse")
    loss_fn = loss_function(net)
    weights = [ops.convert_to_tensor(v) for v in net.trainable_variables]
    state = [ops.convert_to_tensor(v) for v in state_variables(net)]
    losses = {float(ops.convert_to_numpy(loss_fn(weights, state, (X, Y, None))[0])) for _ in "12"}
    assert len(losses) == 1


class Tallying(keras.Model):
    """Counts what it has seen in a metric that nobody knows of."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3)
        self.hidden = {"seen": keras.metrics.Sum()}.items()

    def call(self, x):
        for _, metric in self.hidden:
            metric.update_state(x)
        return self.dense(x)


@pytest.mark.skipif(BACKEND == "jax", reason="Keras on JAX forgets it")
def test_a_variable_that_only_the_model_knows_of_is_updated_once_a_step():
    net, _ = trained(Tallying, lambda net: SAMModel(net, rho=0.1))
    ((_, metric),) = net.hidden
    np.testing.assert_allclose(ops.convert_to_numpy(metric.result()), 2 * X.sum(), rtol=1e-5)


# (b) PyTorch's modules.


def torch_net():
    import torch

    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))
    return keras.Sequential([keras.Input((4,)), layers.TorchModuleWrapper(module)])


@only["torch"]
def test_torch_modules_train_as_in_plain_keras():
    buffers = lambda net: [b for _, b in net.layers[0].module.named_buffers()]  # noqa: E731
    net = assert_as_plain(torch_net, also=buffers)
    assert int(buffers(net)[2]) == 2  # Batches that BatchNorm has counted, one a step.


@only["torch"]
def test_torch_modules_are_perturbed():
    import torch

    net = keras.Sequential([keras.Input((4,)), layers.TorchModuleWrapper(torch.nn.Linear(4, 3))])
    kernel, bias = (p.detach().numpy().astype("float64") for p in net.layers[0].module.parameters())
    sam = SAMModel(net, rho=0.5)
    sam.compile(keras.optimizers.SGD(0.1), "mse")
    sam.train_on_batch(X, Y)
    g = reference.sam_gradients([kernel.T, bias], X, Y, 0.5)
    after = [p.detach().numpy() for p in net.layers[0].module.parameters()]
    np.testing.assert_allclose(after[0], kernel - 0.1 * g[0].T, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(after[1], bias - 0.1 * g[1], rtol=1e-5, atol=1e-6)


@only["torch"]
def test_statistics_of_torch_modules_are_those_of_the_clean_pass():
    net = torch_net()
    linear, norm = net.layers[0].module
    activations = linear(ops.convert_to_tensor(X)).detach().numpy()
    sam = SAMModel(net, rho=5.0)
    sam.compile(keras.optimizers.SGD(0.1), "mse")
    sam.train_on_batch(X, Y)
    np.testing.assert_allclose(
        norm.running_mean.numpy(), 0.1 * activations.mean(0), rtol=1e-4, atol=1e-6
    )


@only["torch"]
def test_torch_modules_have_a_hessian():
    import torch

    from keras_sam.sharpness import LossSurface

    net = keras.Sequential(
        [keras.Input((4,)), layers.TorchModuleWrapper(torch.nn.Linear(4, 1, bias=False))]
    )
    net.compile(loss="mse")
    surface = LossSurface(net, (X, Y[:, :1]))
    v = np.array([1.0, 2.0, 0.0, -1.0])
    np.testing.assert_allclose(surface.hessian_product(v), 2 / 6 * X.T @ (X @ v), rtol=1e-4)


@only["torch"]
def test_torch_modules_and_torch_compile_are_refused():
    with pytest.raises(ValueError, match=r"`jit_compile` must be False.*torch_module_wrapper"):
        SAMModel(torch_net()).compile("sgd", "mse", jit_compile=True)


# (c) What is computed anew in the backward pass.


class Rematerialized(keras.Model):
    def __init__(self, mode="full"):
        super().__init__()
        with keras.RematScope(mode):
            self.hidden = layers.Dense(5, activation="tanh", kernel_initializer="he_normal")
        self.out = layers.Dense(3)

    def call(self, x):
        return self.out(self.hidden(x))


@pytest.mark.skipif(BACKEND == "tensorflow", reason="Keras 3.15 cannot do it there")
def test_remat_takes_the_gradient_at_the_perturbed_weights():
    nets = [
        trained(lambda mode=mode: Rematerialized(mode), lambda net: SAMModel(net, rho=0.5))[0]
        for mode in ("full", None)
    ]
    for a, b in zip(*(arrays(net.variables) for net in nets), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@only["torch"]
def test_remat_of_dropout_and_torch_modules():
    """The second computation draws, and counts, as the first."""
    import torch

    class Net(keras.Model):
        def __init__(self, mode):
            super().__init__()
            torch.manual_seed(0)
            module = torch.nn.Sequential(torch.nn.Linear(4, 20), torch.nn.BatchNorm1d(20))
            with keras.RematScope(mode):
                self.module = layers.TorchModuleWrapper(module)
                self.dropout = layers.Dropout(0.5, seed=2)
                self.norm = layers.BatchNormalization()
            self.out = layers.Dense(3)

        def call(self, x):
            return self.out(self.norm(self.dropout(self.module(x))))

    nets = [
        trained(lambda mode=mode: Net(mode), lambda net: SAMModel(net, rho=0.5))[0]
        for mode in ("full", None)
    ]
    buffers = [[b for _, b in net.module.module.named_buffers()] for net in nets]
    for a, b in zip(
        *(arrays([*net.variables, *b]) for net, b in zip(nets, buffers, strict=True)), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@only["tensorflow"]
def test_remat_on_tensorflow_is_refused():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.first, self.second = layers.Dense(4), layers.Dense(3, name="second")
            self.second.build((None, 4))
            self.again = keras.remat(self.second.call)

        def call(self, x):
            return self.again(self.first(x))

    sam = SAMModel(Net())
    sam.compile("sgd", "mse")
    sam(X)
    before = arrays(sam.variables)
    with pytest.raises(ValueError, match=r"`model` must compute.*Received.*second/kernel"):
        sam.train_on_batch(X, Y)
    for a, b in zip(before, arrays(sam.variables), strict=True):
        np.testing.assert_array_equal(a, b)


@only["tensorflow"]
def test_a_saved_model_as_a_layer_is_refused(tmp_path):
    net = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    net.export(tmp_path / "net", verbose=False)
    layer = layers.TFSMLayer(tmp_path / "net", call_endpoint="serve")
    sam = SAMModel(keras.Sequential([layer, layers.Dense(3)]))
    sam.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"`model` must compute.*TFSMLayer.*Received"):
        sam.train_on_batch(X, Y)


@only["torch"]
def test_a_parameter_that_is_read_past_keras_is_refused():
    class Raw(layers.Layer):
        def build(self, shape):
            self.kernel = self.add_weight(shape=(shape[-1], 3))

        def call(self, x):
            return x @ self.kernel._value.to(x.device)

    sam = SAMModel(keras.Sequential([keras.Input((4,)), layers.Dense(4), Raw(name="raw")]))
    sam.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"`model` must compute.*Received.*raw/"):
        sam.train_on_batch(X, Y)


# (d) Layers that assign trainable weights.


def spectral():
    return keras.Sequential(
        [keras.Input((4,)), layers.SpectralNormalization(layers.Dense(3, use_bias=False))]
    )


def test_spectral_normalization_as_in_plain_keras():
    assert_as_plain(spectral)


@pytest.mark.skipif(BACKEND == "jax", reason="Keras differentiates through the division there")
def test_sam_starts_from_the_weights_that_the_pass_has_assigned():
    net = spectral()
    kernel, u = (np.asarray(v, "float64") for v in net.variables)
    v = u @ kernel.T
    v /= np.linalg.norm(v)
    new_u = v @ kernel
    normalized = kernel / (v @ kernel @ new_u.T / np.linalg.norm(new_u))
    sam = SAMModel(net, rho=0.5)
    sam.compile(keras.optimizers.SGD(0.1), "mse")
    sam.train_on_batch(X, Y)
    # The ascent is from the normalised kernel; the second pass normalises what it is given.
    e = reference.perturbation([normalized], reference.gradients([normalized], X, Y), 0.5)[0]
    at = normalized + e
    v = u @ at.T
    v /= np.linalg.norm(v)
    at = at / (v @ at @ (v @ at).T / np.linalg.norm(v @ at))
    g = reference.gradients([at], X, Y)[0]
    np.testing.assert_allclose(
        ops.convert_to_numpy(net.variables[0]), normalized - 0.1 * g, rtol=1e-4, atol=1e-5
    )
