"""Bad input is a clear error before any weight changes."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_sam import SAMModel

X, Y = np.ones((8, 4), "float32"), np.zeros((8, 3), "float32")


def linear():
    return keras.Sequential([keras.Input((4,)), layers.Dense(3)])


@pytest.mark.parametrize("rho", [-0.1, float("nan"), float("inf"), -float("inf")])
def test_rho_out_of_range(rho):
    with pytest.raises(ValueError, match="`rho` must be finite and >= 0. Received: `rho="):
        SAMModel(linear(), rho=rho)


@pytest.mark.parametrize("rho", ["0.05", None, True, [0.05], lambda step: 0.05, 1j])
def test_rho_that_is_no_number(rho):
    with pytest.raises(TypeError, match="`rho` must be a number.*Received: `rho="):
        SAMModel(linear(), rho=rho)


@pytest.mark.parametrize("rho", [1, 0, np.float32(0.5), np.int64(2)])
def test_numbers_of_every_kind(rho):
    assert SAMModel(linear(), rho=rho).rho == float(rho)


def test_setting_a_bad_rho_keeps_the_old_one():
    sam = SAMModel(linear(), rho=0.2)
    with pytest.raises(ValueError, match="Received: `rho=-1`"):
        sam.rho = -1
    assert sam.rho == 0.2


@pytest.mark.parametrize("splits", [0, -1])
def test_splits_below_one(splits):
    with pytest.raises(ValueError, match=f"must be >= 1. Received: `num_batch_splits={splits}`"):
        SAMModel(linear(), num_batch_splits=splits)


@pytest.mark.parametrize("splits", [1.5, "2", True])
def test_splits_that_are_no_int(splits):
    with pytest.raises(TypeError, match="`num_batch_splits` must be an int or None. Received"):
        SAMModel(linear(), num_batch_splits=splits)


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 2

    def __getitem__(self, i):
        return X[:4], Y[:4]


def dataset(known):
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(4, drop_remainder=known)


@pytest.mark.parametrize(
    "train",
    [
        lambda sam: sam.fit(X, Y, batch_size=4, verbose=0),
        lambda sam: sam.fit(X[:4], Y[:4], verbose=0),
        lambda sam: sam.train_on_batch(X[:4], Y[:4]),
        lambda sam: sam.fit(Batches(), verbose=0),
        lambda sam: sam.fit(dataset(known=True), verbose=0),
        lambda sam: sam.fit(dataset(known=False), verbose=0),
    ],
    ids=["batch_size", "few examples", "train_on_batch", "PyDataset", "static", "dynamic"],
)
def test_more_splits_than_examples(train):
    sam = SAMModel(linear(), num_batch_splits=5)
    sam.compile("sgd", "mse")
    before = [np.asarray(w) for w in sam.weights]
    with pytest.raises(ValueError, match="batch, which is 4. Received: `num_batch_splits=5`"):
        train(sam)
    for old, new in zip(before, sam.weights, strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("model", [None, layers.Dense(3), "model", 3])
def test_model_that_is_none(model):
    with pytest.raises(TypeError, match="`model` must be a keras.Model.*Received: `model="):
        SAMModel(model)


def test_sam_in_sam():
    with pytest.raises(TypeError, match="must not be a SAMModel itself. Received"):
        SAMModel(SAMModel(linear()))


@pytest.mark.parametrize("argument", ["normalize", "adaptive", "sync_perturbation"])
def test_switches_are_bools(argument):
    with pytest.raises(TypeError, match=f"`{argument}` must be a bool. Received: `{argument}=0.1`"):
        SAMModel(linear(), **{argument: 0.1})


BAD_MASKS = {
    "unknown path": (lambda path: {"elsewhere/kernel": np.ones((4, 3))}, "'elsewhere/kernel'"),
    "shape": (lambda path: {path: np.ones((3, 4))}, r"an array of shape \(3, 4\)"),
    "values": (lambda path: {path: np.full((4, 3), 0.5)}, r"\[\[0.5 0.5"),
    "NaN": (lambda path: {path: np.full((4, 3), np.nan)}, r"\[\[nan nan"),
    "length": (lambda path: [np.ones((4, 3))], r"`len\(masks\)=1`"),
}


@pytest.mark.parametrize(("masks", "message"), BAD_MASKS.values(), ids=BAD_MASKS)
def test_masks_that_do_not_match(masks, message):
    net = linear()
    before = [np.asarray(w) for w in net.weights]
    with pytest.raises(ValueError, match=f"(?s)`masks`.*Received: .*{message}"):
        SAMModel(net, masks=masks(net.trainable_variables[0].path))
    for old, new in zip(before, net.weights, strict=True):
        np.testing.assert_array_equal(old, new)


def test_bad_masks_leave_the_good_ones():
    net = linear()
    path = net.trainable_variables[0].path
    sam = SAMModel(net, masks={path: np.eye(4, 3)})
    with pytest.raises(ValueError, match="Received"):
        sam.masks = {path: np.zeros((4, 3)), "elsewhere": np.zeros(3)}
    np.testing.assert_array_equal(sam.masks[path], np.eye(4, 3))


def test_masks_of_another_type():
    with pytest.raises(TypeError, match="`masks` must be a dict"):
        SAMModel(linear(), masks=0.9)


def test_masks_of_an_unbuilt_model():
    net = keras.Sequential([layers.Dense(3)])
    with pytest.raises(ValueError, match="`masks` need a built model"):
        SAMModel(net, masks={"dense/kernel": np.ones((4, 3))})


def test_unknown_argument():
    with pytest.raises((TypeError, ValueError), match="roh"):
        SAMModel(linear(), roh=0.1)
