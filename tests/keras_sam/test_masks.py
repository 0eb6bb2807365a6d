"""Masks of models whose weights change places: quantized, with LoRA, loaded."""

import keras
import numpy as np
import pytest

from keras_sam import SAMModel, sparsity

RANDOM = np.random.default_rng(0)
X, Y = RANDOM.normal(size=(16, 6)).astype("float32"), RANDOM.normal(size=(16, 3)).astype("float32")


def pruned():
    """A trained net of two kernels, half pruned."""
    layers = [keras.layers.Dense(8, "relu", name="a"), keras.layers.Dense(3, name="b")]
    net = keras.Sequential([keras.Input((6,)), *layers], name="net")
    sam = SAMModel(net, rho=0.05, masks=sparsity.prune(net, 0.5))
    sam.compile("adam", "mse")
    sam.fit(X, Y, verbose=0)
    return sam


def kernels(sam):
    return [np.asarray(layer.kernel) for layer in sam.model.layers]


@pytest.mark.filterwarnings("ignore:Layer InputLayer")
def test_quantized_then_saved_and_loaded(tmp_path):
    sam = pruned()
    masks = sam.masks
    sam.quantize("int8")
    assert not [v for v in sam.trainable_variables if v.name == "kernel"]  # The old ones are gone.
    sam.compile("adam", "mse")
    sam.fit(X, Y, verbose=0)  # Of the biases.
    sam.save(tmp_path / "sam.keras")
    loaded = keras.models.load_model(tmp_path / "sam.keras")
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), sam.predict(X, verbose=0))
    for mask, other, kernel in zip(masks.values(), loaded.masks.values(), kernels(loaded)):
        np.testing.assert_array_equal(mask, other)
        assert not kernel[~mask].any()
    assert sparsity.summary(loaded).sparsity == 0.5


def test_lora_then_saved_loaded_and_trained(tmp_path):
    sam = pruned()
    sam.model.layers[0].enable_lora(2)
    sam.compile("adam", "mse")
    sam.fit(X, Y, verbose=0)
    sam.save(tmp_path / "sam.keras")
    loaded = keras.models.load_model(tmp_path / "sam.keras")
    for mask, other in zip(sam.masks.values(), loaded.masks.values()):
        np.testing.assert_array_equal(mask, other)
    # Weights of the model with LoRA, whose number differs, into one without.
    sam.save_weights(tmp_path / "sam.weights.h5")
    plain = pruned()
    plain.load_weights(tmp_path / "sam.weights.h5")
    for mask, other in zip(sam.masks.values(), plain.masks.values()):
        np.testing.assert_array_equal(mask, other)


@pytest.mark.filterwarnings("ignore:Layer InputLayer")
def test_a_weight_of_another_shape_is_masked_no_more(tmp_path):
    sam = pruned()
    sam.quantize("int4")  # Two numbers in a byte.
    assert sam.masks == {}
    sam.save(tmp_path / "sam.keras")
    loaded = keras.models.load_model(tmp_path / "sam.keras")
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), sam.predict(X, verbose=0))


def test_masks_kept_apart_fit_the_loaded_net(tmp_path):
    """A Sequential gives its name to its weights when it is built, but not when it is loaded."""
    sam = pruned()
    sam.model.save(tmp_path / "net.keras")
    net = keras.models.load_model(tmp_path / "net.keras")
    again = SAMModel(net, masks=sam.masks)
    for mask, other in zip(sam.masks.values(), again.masks.values()):
        np.testing.assert_array_equal(mask, other)
    with pytest.raises(ValueError, match=r"`masks` must name weights.*'net/c/kernel'"):
        SAMModel(net, masks={"net/c/kernel": np.ones((6, 8))})


def test_files_of_before_have_masks_by_number():
    sam = pruned()
    store = {}
    sam.save_own_variables(store)
    masks = sam.masks
    keys = [key for key in store if key.startswith("mask_of_")]
    assert keys == ["mask_of_0_kernel", "mask_of_1_kernel"]
    old = {**store, "mask_0": store["mask_of_0_kernel"], "mask_2": store["mask_of_1_kernel"]}
    old = {key: value for key, value in old.items() if key not in keys}
    sam.masks = {}
    sam.load_own_variables(old)
    for mask, other in zip(masks.values(), sam.masks.values()):
        np.testing.assert_array_equal(mask, other)
    with pytest.raises(ValueError, match=r"by layer and name.*a mask of '7_kernel'"):
        sam.load_own_variables({**store, "mask_of_7_kernel": masks["net/a/kernel"]})
