"""`check_model` against models that are right and wrong."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_sam import SAMModel
from keras_sam.backend import keras_internals
from keras_sam.loss_function import state_variables
from keras_sam.model_check import check_model
from keras_sam.pass_scope import PassScope

X = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
Y = np.zeros((8, 3), "float32")


def compiled(*hidden):
    net = keras.Sequential([keras.Input((4,)), *hidden, layers.Dense(3)])
    net.compile("sgd", "mse")
    return net


def custom_loss():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(3)

        def call(self, x):
            return self.dense(x)

        def compute_loss(self, x, y, y_pred, sample_weight=None):
            own = super().compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight)
            return own + ops.mean(ops.square(y_pred))

    net = Net()
    net.compile("sgd", "mse", metrics=["mae"])
    return net


def masked():
    net = compiled(layers.Dense(5, activation="tanh"))
    sam = SAMModel(net, masks={net.trainable_variables[0].path: np.eye(4, 5)})
    sam.compile("adam", "mse")
    return sam


def torch_module():
    import torch

    module = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.BatchNorm1d(6), torch.nn.Dropout())
    return compiled(layers.TorchModuleWrapper(module))


def half():
    net = keras.Sequential(
        [keras.Input((4,)), layers.Dense(5, dtype="mixed_bfloat16"), layers.Dense(3)]
    )
    net.compile(keras.optimizers.Adam(), "mse", jit_compile=False)
    return net


SEQUENCES = np.random.default_rng(1).normal(size=(8, 2, 4)).astype("float32")


def stateful():
    net = keras.Sequential(
        [keras.Input(batch_shape=(8, 2, 4)), layers.SimpleRNN(3, stateful=True), layers.Dense(3)]
    )
    net.compile("sgd", "mse")
    return net


RIGHT = {
    "statistics and dropout": lambda: compiled(
        layers.Dense(5, activation="tanh", kernel_regularizer="l2"),
        layers.BatchNormalization(),
        layers.Dropout(0.5),
    ),
    "assigned weights": lambda: compiled(layers.SpectralNormalization(layers.Dense(5))),
    "a loss of its own": custom_loss,
    "masks": masked,
    "mixed precision": half,
}
if keras.backend.backend() != "torch":  # Plain Keras cannot differentiate it there.
    RIGHT["recurrent states"] = stateful
else:
    RIGHT["modules of PyTorch"] = torch_module


@pytest.mark.parametrize("build", RIGHT.values(), ids=RIGHT)
def test_a_right_model_passes_and_is_left_as_it_was(build):
    model = build()
    x = SEQUENCES if build is stateful else X
    # PyTorch's own buffers and Keras's global seed are state as well.
    model.train_on_batch(x, Y)
    state = list({id(v): v for v in [*model.variables, *state_variables(model)]}.values())
    before = [np.array(ops.convert_to_numpy(v)) for v in state]
    check = check_model(model, (x, Y))
    differences = [value for value in check[:6]]
    assert max(differences) < (2e-2 if build is half else 1e-4)
    assert not np.isnan(differences).any()
    for old, variable in zip(before, state, strict=True):
        np.testing.assert_array_equal(old, ops.convert_to_numpy(variable))
    logs = model.train_on_batch(x, Y, return_dict=True)  # Still as it was compiled.
    assert np.isfinite(list(logs.values())).all()


def test_a_sam_model_with_its_own_call_has_no_step_to_compare():
    class Own(SAMModel):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(3)

        def call(self, x, training=False):
            return self.dense(x)

    model = Own()
    model.compile("sgd", "mse")
    check = check_model(model, (X, Y))
    assert np.isnan(check.step)
    assert max(check[:5]) < 1e-5


def handed():
    return keras.src.backend.common.stateless_scope.in_stateless_scope()


class Wrong(layers.Layer):
    """Computes otherwise, in one way or another, where its values are handed to it."""

    def __init__(self, how):
        super().__init__()
        self.how = how

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1],), initializer="ones", name="kernel")
        self.anchor = self.add_weight(
            shape=(shape[-1],), initializer="ones", trainable=False, name="anchor"
        )
        self.seen = self.add_weight(
            shape=(), initializer="zeros", trainable=False, name="seen", dtype="int32"
        )

    def call(self, x, training=False):
        # On JAX all is in a scope; Keras's own has no values for what is not trained.
        wrong = handed() and present_scope_is_ours()
        kernel = ops.convert_to_tensor(self.kernel)
        if wrong and (self.how == "loss" or (self.how == "inference_loss" and not training)):
            kernel = 2.0 * kernel
        if wrong and self.how == "gradient":
            kernel = ops.stop_gradient(kernel)
        if wrong and self.how == "perturbed_gradient":
            kernel = kernel + 3.0 * ops.stop_gradient(kernel - self.anchor)
        if training:
            self.seen.assign(self.seen + (2 if wrong and self.how == "state" else 1))
        return x * kernel


def present_scope_is_ours():
    return isinstance(keras_internals.present_scope(), PassScope)


@pytest.mark.parametrize(
    ("how", "of"),
    [
        ("inference_loss", "the loss"),
        ("loss", "the loss"),
        ("gradient", ".*kernel"),
        ("state", ".*seen"),
        ("perturbed_gradient", ".*kernel"),
    ],
)
def test_a_model_that_computes_otherwise_is_told_what_differs(how, of):
    model = compiled(Wrong(how))
    before = [np.array(ops.convert_to_numpy(v)) for v in model.variables]
    message = rf"`model` must compute.* differs .*[ ,]{how} \({of}\).*Received: ModelCheck"
    with pytest.raises(ValueError, match=message):
        check_model(model, (X, Y))
    for old, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(old, ops.convert_to_numpy(variable))


def test_a_step_that_goes_elsewhere_is_told(monkeypatch):
    from keras_sam import training_step

    original = training_step.sam_gradient

    def plain(value_and_grad, weights, rho, *args, **kwargs):
        return original(value_and_grad, weights, 0, *args, **kwargs)

    monkeypatch.setattr(training_step, "sam_gradient", plain)
    with pytest.raises(ValueError, match=r"differs .*in step \(.*kernel\)\. Received"):
        check_model(compiled(layers.Dense(5)), (X, Y), rho=1.0)


def test_what_is_no_compiled_model():
    with pytest.raises(TypeError, match="`model` must be a keras.Model. Received: `model=None`"):
        check_model(None, (X, Y))
    with pytest.raises(ValueError, match="`model` must be compiled. Received: `model="):
        check_model(keras.Sequential([keras.Input((4,)), layers.Dense(3)]), (X, Y))


def test_strided_pointwise_convolutions_are_named(monkeypatch):
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    net = keras.Sequential(
        [
            keras.Input((4, 4, 2)),
            layers.Conv2D(3, 1, strides=2, name="bad"),
            layers.Conv2D(3, 3, strides=2, padding="same"),
            layers.Conv2D(3, 1),
        ]
    )
    from keras_sam.convolution_check import strided_pointwise_convolutions

    found = strided_pointwise_convolutions(net)
    assert found == (["bad"] if keras.backend.backend() == "tensorflow" else [])
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    assert strided_pointwise_convolutions(net) == []
