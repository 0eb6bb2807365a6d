"""What Keras and its users read of a functional model, and tasks of keras_hub."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_sam import SAMModel

X, Y = np.ones((4, 3), "float32"), np.zeros((4, 2), "float32")
READ = (
    "input_names",
    "output_names",
    "inputs",
    "outputs",
    "input",
    "output",
    "input_shape",
    "output_shape",
)


def nets():
    inputs = {"a": keras.Input((3,), name="a"), "b": keras.Input((3,), name="b")}
    total = layers.Dense(2, name="out")(layers.Add()([inputs["a"], inputs["b"]]))
    yield keras.Sequential([keras.Input((3,)), layers.Dense(2)]), X
    yield keras.Model(inputs, [total, layers.Dense(1, name="more")(total)]), {"a": X, "b": X}


@pytest.mark.parametrize("index", [0, 1], ids=["Sequential", "dict and list"])
def test_what_is_read_of_the_net_is_read_of_the_wrapper(index):
    net, x = list(nets())[index]
    sam = SAMModel(net)
    for name in READ:
        if hasattr(net, name):
            assert getattr(sam, name) == getattr(net, name) or getattr(sam, name) is getattr(
                net, name
            )
        else:
            assert not hasattr(sam, name)
    assert str(sam.input_spec) == str(net.input_spec)
    for a, b in zip(_flat(sam(x)), _flat(net(x)), strict=True):
        np.testing.assert_array_equal(a, b)


def _flat(outputs):
    return [ops.convert_to_numpy(t) for t in keras.tree.flatten(outputs)]


def test_inputs_of_another_shape_are_refused_as_by_the_net():
    net, _ = next(nets())
    with pytest.raises(ValueError, match="shape"):
        SAMModel(net)(np.ones((4, 5), "float32"))


def test_a_spec_of_the_wrappers_own_subclass_is_kept():
    class Own(SAMModel):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(2)
            self.input_spec = layers.InputSpec(ndim=2)

        def call(self, x, training=False):
            return self.dense(x)

    model = Own()
    assert model.input_spec.ndim == 2
    model.compile("sgd", "mse")
    model.train_on_batch(X, Y)


class Task(keras.Model):
    """As keras_hub's: preprocesses in its own `fit`, and compiles itself."""

    def __init__(self, backbone, preprocessor=None, **kwargs):
        inputs = backbone.inputs[0]
        super().__init__(inputs, layers.Dense(2)(backbone(inputs)), **kwargs)
        self.backbone, self.preprocessor = backbone, preprocessor
        self.compile()

    def compile(self, optimizer="auto", loss="auto", **kwargs):
        optimizer = keras.optimizers.Adam(5e-5) if optimizer == "auto" else optimizer
        super().compile(optimizer=optimizer, loss="mse" if loss == "auto" else loss, **kwargs)

    def fit(self, x=None, y=None, **kwargs):
        return super().fit(x if self.preprocessor is None else self.preprocessor(x), y, **kwargs)


def backbone():
    return keras.Sequential([keras.Input((3,)), layers.Dense(4)])


def test_a_task_without_a_preprocessor_is_a_model_like_any_other(tmp_path):
    task = Task(backbone())
    sam = SAMModel(task, rho=0)
    sam.compile(keras.optimizers.SGD(0.1), "mse")
    kernel = ops.convert_to_numpy(task.backbone.trainable_variables[0])
    sam.fit(X, Y, verbose=0)
    assert np.abs(ops.convert_to_numpy(task.backbone.trainable_variables[0]) - kernel).max() > 1e-4
    sam.model.save_weights(tmp_path / "task.weights.h5")
    other = Task(backbone())
    other.load_weights(tmp_path / "task.weights.h5")
    np.testing.assert_array_equal(other.predict(X, verbose=0), sam.predict(X, verbose=0))


def test_a_preprocessor_that_would_be_left_out_is_told():
    with pytest.warns(UserWarning, match="Task has a `preprocessor`, which its own `fit` applies"):
        SAMModel(Task(backbone(), preprocessor=lambda x: x))


@pytest.mark.parametrize("argument", ["optimizer", "loss"])
def test_auto_of_a_tasks_compile_is_refused(argument):
    arguments = {"optimizer": "sgd", "loss": "mse", argument: "auto"}
    with pytest.raises(ValueError, match=f"`{argument}` must be .*Received: `{argument}='auto'`"):
        SAMModel(Task(backbone())).compile(**arguments)
