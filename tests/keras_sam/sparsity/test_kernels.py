import keras
import numpy as np
import pytest
from keras import layers

from keras_sam import SAMModel, sparsity
from keras_sam.sparsity.kernels import find_kernels
from tests.keras_sam.sparsity.nets import dense_net, many_layers


def test_kernels_of_all_layers_and_their_input_axes():
    found = {k.path: k.input_axis for k in find_kernels(many_layers())}
    assert found == {
        "conv/kernel": 2,
        "separable/depthwise_kernel": None,
        "separable/pointwise_kernel": 2,
        "depthwise/kernel": None,
        "transpose/kernel": 3,
        "attention/query/kernel": 0,
        "attention/key/kernel": 0,
        "attention/value/kernel": 0,
        # Summed over heads and their features; the features lie next to each other.
        "attention/attention_output/kernel": 1,
        "distributed/inner/kernel": 0,
        "both/forward_lstm/lstm_cell/kernel": 0,
        "both/forward_lstm/lstm_cell/recurrent_kernel": 0,
        "both/backward_lstm/lstm_cell/kernel": 0,
        "both/backward_lstm/lstm_cell/recurrent_kernel": 0,
        "top/kernel": 0,
    }


@pytest.mark.parametrize("cell", [layers.GRU, layers.SimpleRNN])
def test_recurrent_kernels(cell):
    model = keras.Sequential([keras.Input((3, 2)), cell(4, name="rnn")])
    assert [k.variable.name for k in find_kernels(model)] == ["kernel", "recurrent_kernel"]


@pytest.mark.parametrize("equation", ["ab,bc->ac", "...b,bc->...c"])
def test_input_axis_of_einsum(equation):
    layer = layers.EinsumDense(equation, output_shape=(3,))
    model = keras.Sequential([keras.Input((4,)), layer])
    assert [k.input_axis for k in find_kernels(model)] == [0]


def test_einsum_kernel_stored_outputs_first():
    layer = layers.EinsumDense("ab,cb->ac", output_shape=(3,))
    model = keras.Sequential([keras.Input((4,)), layer])
    assert [k.input_axis for k in find_kernels(model)] == [1]


def test_filter_callable_gets_the_layer_that_owns_the_weight():
    seen = {}

    def everything(layer, variable):
        seen[variable.path] = layer
        return True

    model = many_layers()
    assert [k.variable for k in find_kernels(model, everything)] == model.trainable_variables
    assert isinstance(seen["attention/query/kernel"], layers.EinsumDense)
    assert isinstance(seen["both/forward_lstm/lstm_cell/kernel"], layers.LSTMCell)
    assert isinstance(seen["distributed/inner/kernel"], layers.Dense)
    assert isinstance(seen["embedding/embeddings"], layers.Embedding)


def test_filter_paths_may_name_embeddings_and_biases():
    model = many_layers()
    masks = sparsity.prune(
        model, 0.5, distribution="uniform", filter=["top/bias", "embedding/embeddings"]
    )
    assert {path: mask.shape for path, mask in masks.items()} == {
        "embedding/embeddings": (10, 4),
        "top/bias": (2,),
    }


def test_frozen_layers_are_left_out():
    model = dense_net(4, 3, 2)
    model.layers[1].trainable = False
    assert [k.path for k in find_kernels(model)] == ["net/d0/kernel", "net/d2/kernel"]


def test_nested_models_and_sam_model():
    inner = dense_net(4, 3)
    model = keras.Sequential([keras.Input((6,)), inner, layers.Dense(1, name="top")], name="wide")
    paths = ["net/d0/kernel", "net/d1/kernel", "wide/top/kernel"]
    assert [k.path for k in find_kernels(model)] == paths
    assert [k.path for k in find_kernels(SAMModel(model))] == paths


def test_a_layer_shared_by_two_models_belongs_to_its_own_class():
    shared = layers.Dense(3, name="shared")
    inputs = keras.Input((3,))
    first = keras.Model(inputs, shared(inputs))
    second = keras.Model(inputs, shared(inputs))
    model = keras.Model(inputs, first(inputs) + second(inputs))
    owners = []
    find_kernels(model, lambda layer, variable: owners.append(layer) or True)
    assert owners == [shared, shared]


def test_unbuilt_model():
    with pytest.raises(ValueError, match="must be built"):
        sparsity.prune(keras.Sequential([layers.Dense(2)]), 0.5)


def test_not_a_model():
    with pytest.raises(TypeError, match=r"`model` must be a keras.Model"):
        sparsity.prune(layers.Dense(2), 0.5)


def test_unknown_path_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"d0/kernel.*Received: `filter` with \['nothing'\]"):
        sparsity.prune(dense_net(2), 0.5, filter=["nothing"])


def test_nothing_to_prune():
    model = keras.Sequential([keras.Input((3,)), layers.BatchNormalization()])
    with pytest.raises(ValueError, match="no trainable weight to prune"):
        sparsity.prune(model, 0.5)


def test_paths_must_be_unique():
    class Twins(keras.Model):
        def __init__(self):
            super().__init__(name="twins")
            self.first = layers.Dense(3, name="twin")
            self.second = layers.Dense(3, name="twin")

        def call(self, inputs):
            return self.second(self.first(inputs))

    model = Twins()
    model(np.ones((1, 3)))
    with pytest.raises(ValueError, match="different paths"):
        sparsity.prune(model, 0.5)
