"""Masks of models whose weights change places: quantized, with LoRA, loaded."""

import json
import zipfile

import keras
import numpy as np
import pytest
from keras import ops

from keras_sam import SAMModel, sparsity
from keras_sam.masks import packed, unpacked

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
    with pytest.raises(ValueError, match=r"by layer and name.*masks of .'7_kernel'"):
        sam.load_own_variables({**store, "mask_of_7_kernel": masks["net/a/kernel"]})


# Clones.


class Custom(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(3)

    def build(self, shape):
        self.dense.build(shape)
        self.built = True

    def call(self, x):
        return self.dense(x)

    def get_config(self):
        return {"name": self.name}


def sequential():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(2)])


def custom():
    net = Custom()
    net.build((None, 4))
    return net


@pytest.mark.parametrize("build", [sequential, custom])
def test_a_clone_keeps_the_masks(build):
    net = build()
    mask = np.random.default_rng(0).random((4, 3)) > 0.5
    sam = SAMModel(net, rho=0.1, masks={net.trainable_variables[0].path: mask})
    if build is custom:
        sam.build((None, 4))
    with keras.utils.custom_object_scope({"Custom": Custom}):
        clone = keras.models.clone_model(sam)
    (kept,) = clone.masks.values()
    np.testing.assert_array_equal(kept, mask)
    kernel = clone.model.trainable_variables[0]
    np.testing.assert_array_equal(ops.convert_to_numpy(kernel) != 0, mask)  # New, and masked.
    assert clone.model.trainable_variables[0] is not net.trainable_variables[0]
    clone.set_weights(sam.get_weights())
    clone.compile("sgd", "mse")
    clone.train_on_batch(np.ones((2, 4)), np.ones((2, 2 if build is sequential else 3)))
    np.testing.assert_array_equal(ops.convert_to_numpy(kernel)[~mask], 0.0)


def test_a_clone_without_masks_has_none():
    clone = keras.models.clone_model(SAMModel(sequential()))
    assert clone.masks == {}


class Unbuildable(Custom):
    build = keras.Model.build

    def call(self, x):
        return self.dense(x["x"])


@pytest.mark.parametrize(
    "use", [lambda sam, x: sam(x), lambda sam, x: sam.train_on_batch(x, X[:2, :3])]
)
def test_a_clone_that_is_not_built_takes_the_masks_on_once_it_is(use):
    net, x = Unbuildable(), {"x": np.ones((2, 4), "float32")}
    net(x)
    sam = SAMModel(net, masks=[np.eye(4, 3), None])
    with keras.utils.custom_object_scope({"Unbuildable": Unbuildable}):
        clone = keras.models.clone_model(sam)
    clone.compile("sgd", "mse")
    use(clone, x)
    np.testing.assert_array_equal(next(iter(clone.masks.values())), np.eye(4, 3))
    kernel = ops.convert_to_numpy(clone.model.dense.kernel)
    np.testing.assert_array_equal(kernel != 0, np.eye(4, 3) > 0)


def test_a_file_holds_the_masks_once(tmp_path):
    sam = SAMModel(sequential(), masks=[np.eye(4, 3), None, None, None])
    sam.save(tmp_path / "sam.keras")
    with zipfile.ZipFile(tmp_path / "sam.keras") as archive:
        assert "masks" not in json.loads(archive.read("config.json"))["config"]
    assert "masks" in json.loads(sam.to_json())["config"]
    loaded = keras.models.load_model(tmp_path / "sam.keras")
    np.testing.assert_array_equal(next(iter(loaded.masks.values())), np.eye(4, 3))


@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (0, 2), (2, 3, 4)])
def test_packed_masks_come_back(shape):
    mask = np.random.default_rng(1).random(shape) > 0.5
    config = json.loads(json.dumps(packed(mask)))
    assert unpacked(config).dtype == bool
    np.testing.assert_array_equal(unpacked(config), mask)
