import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_sam import SAMModel, sparsity
from tests.keras_sam.sparsity.nets import dense_net


def test_numbers():
    net = dense_net(4, 3)
    summary = sparsity.summary(net, {"net/d0/kernel": np.eye(6, 4) > 0})
    (kernel,) = summary.kernels
    assert (kernel.path, kernel.shape) == ("net/d0/kernel", (6, 4))
    assert (kernel.kept, kernel.size, kernel.sparsity) == (4, 24, 1 - 4 / 24)
    assert summary.dense == 4 + 4 * 3 + 3
    assert (summary.kept, summary.size) == (4 + 19, 24 + 19)
    assert summary.sparsity == 1 - 4 / 24


def test_table():
    net = dense_net(40, 30, inputs=1000)
    text = str(sparsity.summary(net, sparsity.prune(net, 0.9, "random")))
    assert "net/d0/kernel │ 1000 x 40 │ 4,000 │ 40,000 │   90.00%" in text
    assert "total         │           │ 4,190 │ 41,270 │   89.85%" in text


def test_sam_model_with_masks_without_and_plain():
    net = dense_net(4, 3)
    masks = sparsity.prune(net, 0.5)
    expected = sparsity.summary(net, masks)
    assert sparsity.summary(SAMModel(net)).sparsity == 0.0
    sam = SAMModel(net, masks=masks)
    assert sparsity.summary(sam) == expected
    # A kept weight that is 0.0 by chance counts as kept by the masks, not by the values.
    row, column = np.argwhere(masks["net/d0/kernel"])[0]
    kernel = np.array(net.trainable_variables[0])
    kernel[row, column] = 0.0
    net.trainable_variables[0].assign(kernel)
    assert sparsity.summary(sam) == expected
    assert sparsity.summary(net).kept == expected.kept - 1


def test_masks_of_another_model():
    masks = sparsity.prune(dense_net(4, 3), 0.5)
    with pytest.raises(ValueError, match=r"net/d1/kernel"):
        sparsity.summary(dense_net(4), masks)
    with pytest.raises(ValueError, match=r"\(6, 5\) for 'net/d0/kernel'"):
        sparsity.summary(dense_net(5, 3), masks)


def test_no_kernels():
    net = keras.Sequential([keras.Input((3,)), keras.layers.BatchNormalization()])
    assert sparsity.summary(net, {}).size == 6


@pytest.mark.filterwarnings("ignore:sparsity")
@settings(max_examples=20)
@given(st.integers(1, 12), st.integers(1, 12), st.data())
def test_budget_is_met_exactly(first, second, data):
    wide = dense_net(first, second)
    total, biases = wide.count_params(), first + second
    budget = data.draw(st.integers(biases + 1, total))
    s = sparsity.sparsity_for_budget(wide, budget)
    assert sparsity.summary(wide, sparsity.prune(wide, s, "random")).kept == budget


def test_budget_with_a_filter():
    wide = dense_net(8, 4)
    s = sparsity.sparsity_for_budget(wide, 60, filter=["net/d0/kernel"])
    masks = sparsity.prune(wide, s, filter=["net/d0/kernel"])
    assert sparsity.summary(wide, masks).kept == 60
    assert list(masks) == ["net/d0/kernel"]


def test_sparsity_at_the_parameters_of_a_narrower_net_by_hand():
    # 20 * 100 + 100 parameters at width 100, 20 * 10 + 10 at width 10: 110 of 2000 kernel weights.
    wide, narrow = dense_net(100, inputs=20), dense_net(10, inputs=20)
    assert sparsity.sparsity_for_budget(wide, narrow.count_params()) == 1 - 110 / 2000


@pytest.mark.parametrize("parameters", [7, 32])
def test_impossible_budgets(parameters):
    # 24 weights and 4 + 3 biases.
    net = dense_net(4, 3, inputs=3)
    with pytest.raises(ValueError, match=r"`parameters` must be from 8 to 31: .* 24 .* 7 others"):
        sparsity.sparsity_for_budget(net, parameters)


def test_budget_of_the_wrong_type():
    with pytest.raises(TypeError, match="`parameters` must be an int"):
        sparsity.sparsity_for_budget(dense_net(3), 10.0)
