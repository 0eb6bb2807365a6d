"""Networks: parameter counts, initial weights, numbers against NumPy, batch normalisation."""

import itertools
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

from recipes import networks
from recipes.networks import mlp, resnet, resnet18, resnet50, vit
from recipes.networks.initializers import layer_seed

on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the operation is TensorFlow's"
)


def trainable_count(model):
    return sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)


def outputs(model, x):
    return ops.convert_to_numpy(model(x))


def small_networks(seed=0):
    return [
        mlp(0.25, seed=seed),
        resnet18(4, seed=seed),
        resnet50(2, input_shape=(32, 32, 3), classes=5, seed=seed),
        vit(12, depth=2, patch=8, heads=3, seed=seed),
    ]


# Parameter counts: those of the paper.


@pytest.mark.parametrize(
    ("width", "parameters"),
    [(0.25, 61_035), (0.5, 125_810), (1, 266_610), (4, 1_426_410), (10, 5_366_010)],
)
def test_mlp_parameters(width, parameters):
    assert mlp(width).count_params() == trainable_count(mlp(width)) == parameters


def test_mlp_on_other_inputs():
    # 64 -> 600 -> 200 -> 7
    assert mlp(2, input_shape=(8, 8, 1), classes=7).count_params() == (
        64 * 600 + 600 + 600 * 200 + 200 + 200 * 7 + 7
    )


@pytest.mark.parametrize(
    ("filters", "parameters"),
    [
        (4, 44_622),
        (8, 176_402),
        (16, 701_466),
        (32, 2_797_610),
        (64, 11_173_962),
        pytest.param(128, 44_662_922, marks=pytest.mark.slow),
        pytest.param(256, 178_585_866, marks=pytest.mark.slow),
    ],
)
def test_resnet18_parameters(filters, parameters):
    assert trainable_count(resnet18(filters)) == parameters


@pytest.mark.parametrize(
    ("filters", "parameters"),
    [
        (16, 1_993_976),
        (32, 6_917_640),
        pytest.param(48, 14_771_992, marks=pytest.mark.slow),
        pytest.param(64, 25_557_032, marks=pytest.mark.slow),
    ],
)
def test_resnet50_parameters(filters, parameters):
    assert trainable_count(resnet50(filters)) == parameters


def test_vit_parameters():
    # 4 tokens of 8x8x3 numbers; hidden dimension 6, depth 2, 10 classes.
    embedding = 8 * 8 * 3 * 6 + 6 + 16 * 6
    block = 2 * 2 * 6 + 4 * (6 * 6 + 6) + 6 * 24 + 24 + 24 * 6 + 6
    expected = embedding + 2 * block + 2 * 6 + 6 * 10 + 10
    model = vit(6, depth=2, patch=8, heads=2)
    assert trainable_count(model) == model.count_params() == expected
    d, c, p, t, depth, classes = 6, 3, 8, 16, 2, 10  # the formula of the docstring
    formula = d * (c * p**2 + 1) + t * d + depth * (12 * d**2 + 13 * d) + 2 * d + classes * (d + 1)
    assert formula == expected


# Initial weights.


def test_initial_weights_depend_on_the_seed_alone():
    first = small_networks(seed=5)
    keras.utils.set_random_seed(123)
    keras.random.normal((3,))
    again = small_networks(seed=5)
    other = small_networks(seed=6)
    for a, b, c in zip(first, again, other, strict=True):
        differs = False
        for u, v, w in zip(a.get_weights(), b.get_weights(), c.get_weights(), strict=True):
            np.testing.assert_array_equal(u, v)
            differs |= not np.array_equal(u, w)
        assert differs


def test_no_two_layers_start_alike():
    for model in small_networks():
        kernels = [v for v in model.trainable_variables if v.name in ("kernel", "positions")]
        values = [ops.convert_to_numpy(kernel).ravel() for kernel in kernels]
        assert len(values) > 2
        for a, b in itertools.combinations(values, 2):
            # By chance, one of 100 numbers may be among some thousand others of 24 bits.
            assert np.isin(a[:100], b).sum() < 5


def test_layer_seeds_differ_and_fit_32_bits():
    seeds = {layer_seed(seed, name) for seed in range(50) for name in ("a", "b", "c")}
    assert len(seeds) == 150
    assert all(0 <= seed < 2**32 for seed in seeds)


@pytest.mark.parametrize(
    ("model", "layer", "fan_in"),
    [
        (lambda: mlp(1), "hidden1", 784),
        (lambda: resnet18(32), "stage2_block2_conv1", 9 * 64),
        (lambda: resnet50(16), "stem_conv", 7 * 7 * 3),
        (lambda: vit(96, depth=1), "block1_query", 96),
        (lambda: vit(96, depth=1), "block1_mlp2", 4 * 96),
        (lambda: vit(96, depth=1), "embedding", 4 * 4 * 3),
    ],
)
def test_kernels_are_lecun_normal(model, layer, fan_in):
    kernel = ops.convert_to_numpy(model().get_layer(layer).kernel)
    error = 5 / np.sqrt(kernel.size)
    assert abs(kernel.mean() * np.sqrt(fan_in)) < error
    assert abs(kernel.var() * fan_in - 1) < 2 * error
    # Cut off at two standard deviations of the normal before truncation, 0.8796 of which remain.
    cut = np.quantile(np.abs(kernel), 0.9999) * np.sqrt(fan_in) * 0.87962566
    assert 1.9 < cut < 2.0001


def test_biases_start_at_zero_and_scales_at_one():
    for model in small_networks():
        for variable in model.trainable_variables:
            if variable.name in ("bias", "beta"):
                assert not np.any(ops.convert_to_numpy(variable))
            last_of_block = variable.path.endswith("bn3/gamma")
            if variable.name == "gamma":
                np.testing.assert_array_equal(variable, 0 if last_of_block else 1)


def test_a_block_of_resnet50_starts_as_its_shortcut():
    model = resnet50(2, input_shape=(32, 32, 3))
    before, after = (model.get_layer(f"stage1_block{block}_relu").output for block in (1, 3))
    features = keras.Model(model.input, [before, after])
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    x, y = map(ops.convert_to_numpy, features(images))
    assert np.any(x)
    np.testing.assert_array_equal(x, y)


# Architecture.


def test_names_tell_stage_and_block():
    names = {layer.name for layer in resnet18(4).layers}
    assert {"stem_conv", "stem_bn", "pool", "logits"} <= names
    for stage, block in itertools.product((1, 2, 3, 4), (1, 2)):
        assert {f"stage{stage}_block{block}_{part}" for part in ("conv1", "bn1", "conv2")} <= names
        assert (f"stage{stage}_block{block}_shortcut_conv" in names) == (stage > 1 and block == 1)
    deep = {layer.name for layer in resnet50(2).layers}
    blocks = sum(name.endswith("_conv3") for name in deep)
    assert blocks == 3 + 4 + 6 + 3
    assert "stage3_block6_conv3" in deep
    assert "stage1_block1_shortcut_conv" in deep
    paths = [variable.path for variable in vit(12, depth=2, patch=8).trainable_variables]
    assert {"block2_query/kernel", "block2_mlp1/bias", "positions/positions"} <= set(paths)


def test_resolution_of_the_stages():
    model = resnet18(4)
    shapes = [model.get_layer(f"stage{stage}_block2_relu").output.shape for stage in (1, 2, 3, 4)]
    assert shapes == [(None, 32, 32, 4), (None, 16, 16, 8), (None, 8, 8, 16), (None, 4, 4, 32)]
    model = resnet50(2)
    assert model.get_layer("stem_conv").output.shape == (None, 112, 112, 2)
    shapes = [model.get_layer(f"stage{stage}_block3_relu").output.shape for stage in (1, 2, 3, 4)]
    assert shapes == [(None, 56, 56, 8), (None, 28, 28, 16), (None, 14, 14, 32), (None, 7, 7, 64)]
    assert model.output_shape == (None, 1000)


def randomized(model, seed=0):
    """The model with every weight drawn anew, so that no zero bias or unit scale hides an error."""
    generator = np.random.default_rng(seed)
    for variable in model.weights:
        low, high = (0.5, 1.5) if variable.name in ("gamma", "moving_variance") else (-0.3, 0.3)
        variable.assign(generator.uniform(low, high, variable.shape))
    return model, {v.path: np.float64(ops.convert_to_numpy(v)) for v in model.weights}


def convolution(x, kernel, strides=1, border=None):
    """Convolution of an image within `border` zeros on each side.

    None stands for as much zero padding as keeps ceil(size / strides) positions.
    """
    size = kernel.shape[0]
    pads = [(border, border)] * 2
    if border is None:
        pads = []
        for extent in x.shape[1:3]:
            total = max((-(-extent // strides) - 1) * strides + size - extent, 0)
            pads.append((total // 2, total - total // 2))
    x = np.pad(x, [(0, 0), *pads, (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))
    return np.einsum("bijcyx,yxcf->bijf", windows[:, ::strides, ::strides], kernel)


def conv_bn(w, x, name, suffix="", strides=1, border=None):
    """Convolution and batch normalisation at inference, with the weights `w` of a network."""
    x = convolution(x, w[f"{name}_conv{suffix}/kernel"], strides, border)
    bn = f"{name}_bn{suffix}"
    x = (x - w[f"{bn}/moving_mean"]) / np.sqrt(w[f"{bn}/moving_variance"] + 1e-5)
    return x * w[f"{bn}/gamma"] + w[f"{bn}/beta"]


# Every 3x3 convolution of ResNet-18 pads one pixel on each side, whatever its stride, and the size
# is halved for even sizes and for odd ones.
@pytest.mark.parametrize("size", [8, 11])
def test_resnet18_against_numpy(size):
    model, w = randomized(resnet18(2, input_shape=(size, size, 3), classes=4))
    images = np.random.default_rng(1).normal(size=(3, size, size, 3))

    x = np.maximum(conv_bn(w, images, "stem", border=1), 0)
    for stage, block in itertools.product((1, 2, 3, 4), (1, 2)):
        name = f"stage{stage}_block{block}"
        strides = 2 if stage > 1 and block == 1 else 1
        y = np.maximum(conv_bn(w, x, name, "1", strides, border=1), 0)
        y = conv_bn(w, y, name, "2", border=1)
        if strides == 2:
            x = conv_bn(w, x, f"{name}_shortcut", strides=2, border=0)
        x = np.maximum(x + y, 0)
    expected = x.mean(axis=(1, 2)) @ w["logits/kernel"] + w["logits/bias"]
    np.testing.assert_allclose(outputs(model, images), expected, rtol=1e-4, atol=1e-4)


def test_resnet50_against_numpy():
    model, w = randomized(resnet50(1, input_shape=(36, 36, 3), classes=4))
    images = np.random.default_rng(1).normal(size=(2, 36, 36, 3))

    x = np.maximum(conv_bn(w, images, "stem", strides=2, border=3), 0)
    # Windows of 3x3 at stride 2 over 18 pixels: one pixel more on the right and below.
    x = np.pad(x, [(0, 0), (0, 1), (0, 1), (0, 0)])
    x = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))[:, ::2, ::2].max((-1, -2))
    for stage, blocks in enumerate((3, 4, 6, 3), start=1):
        for block in range(1, blocks + 1):
            name = f"stage{stage}_block{block}"
            strides = 2 if stage > 1 and block == 1 else 1
            y = np.maximum(conv_bn(w, x, name, "1"), 0)
            y = np.maximum(conv_bn(w, y, name, "2", strides), 0)
            y = conv_bn(w, y, name, "3")
            if block == 1:
                x = conv_bn(w, x, f"{name}_shortcut", strides=strides)
            x = np.maximum(x + y, 0)
    expected = x.mean(axis=(1, 2)) @ w["logits/kernel"] + w["logits/bias"]
    np.testing.assert_allclose(
        outputs(model, images), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max()
    )


def test_weights_files_are_those_of_strided_convolutions(monkeypatch, tmp_path):
    ours, _ = randomized(resnet18(2, input_shape=(8, 8, 3)))

    def strided(x, filters, size, name, suffix="", *, seed, strides=1, border=None):
        if border is not None:
            x = keras.layers.ZeroPadding2D(border)(x)
        x = keras.layers.Conv2D(
            filters,
            size,
            strides,
            "same" if border is None else "valid",
            use_bias=False,
            name=f"{name}_conv{suffix}",
        )(x)
        return keras.layers.BatchNormalization(epsilon=1e-5, name=f"{name}_bn{suffix}")(x)

    monkeypatch.setattr(resnet, "_conv_bn", strided)
    reference = resnet18(2, input_shape=(8, 8, 3))
    assert [v.path for v in ours.weights] == [v.path for v in reference.weights]
    ours.save_weights(tmp_path / "a.weights.h5")
    reference.load_weights(tmp_path / "a.weights.h5")
    x = batch((2, 8, 8, 3))
    np.testing.assert_allclose(outputs(ours, x), outputs(reference, x), rtol=1e-5, atol=1e-5)


# oneDNN's kernel gradient of strided 1x1 convolutions with few channels overwrites memory.
@on_tensorflow
@pytest.mark.parametrize("onednn", ["1", pytest.param("0", marks=pytest.mark.slow)])
def test_gradients_equal_those_in_float64(onednn):
    process = subprocess.run(
        [sys.executable, "-m", "tests.recipes.gradient_process"],
        env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": onednn},
        capture_output=True,
        text=True,
    )
    errors = {
        line["network"]: line["error"] for line in map(json.loads, process.stdout.splitlines())
    }
    assert process.returncode == 0, (errors, process.stderr[-2000:])
    assert len(errors) == 9
    assert max(errors.values()) < 2e-5, errors


def test_vit_against_numpy():
    heads, hidden = 2, 6
    model, w = randomized(vit(hidden, depth=2, patch=4, heads=heads, input_shape=(8, 8, 3)))
    images = np.random.default_rng(1).normal(size=(3, 8, 8, 3))

    def dense(x, name):
        return x @ w[f"{name}/kernel"] + w[f"{name}/bias"]

    def norm(x, name):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)
        return x * w[f"{name}/gamma"] + w[f"{name}/beta"]

    def gelu(x):
        from scipy.special import erf

        return x * (1 + erf(x / np.sqrt(2))) / 2

    x = convolution(images, w["embedding/kernel"], strides=4) + w["embedding/bias"]
    x = x.reshape(3, 4, hidden) + w["positions/positions"]
    for name in ("block1", "block2"):
        y = norm(x, f"{name}_norm1")
        q, k, v = (
            dense(y, f"{name}_{role}").reshape(3, 4, heads, hidden // heads)
            for role in ("query", "key", "value")
        )
        mixed = np.empty_like(q)
        for b, h in itertools.product(range(3), range(heads)):
            scores = np.exp(q[b, :, h] @ k[b, :, h].T / np.sqrt(hidden // heads))
            mixed[b, :, h] = scores / scores.sum(-1, keepdims=True) @ v[b, :, h]
        x = x + dense(mixed.reshape(3, 4, hidden), f"{name}_output")
        y = gelu(dense(norm(x, f"{name}_norm2"), f"{name}_mlp1"))
        x = x + dense(y, f"{name}_mlp2")
    expected = dense(norm(x, "norm").mean(axis=1), "logits")
    np.testing.assert_allclose(outputs(model, images), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_keeps_weights_and_logits_in_32_bits(policy):
    keras.config.set_dtype_policy(policy)
    try:
        models = small_networks()
    finally:
        keras.config.set_dtype_policy("float32")
    for model in models:
        logits = model(np.ones((2, *model.input_shape[1:]), "float32"), training=True)
        assert keras.backend.standardize_dtype(logits.dtype) == "float32"
        assert {variable.dtype for variable in model.weights} == {"float32"}
        assert policy.removeprefix("mixed_") in {layer.compute_dtype for layer in model.layers}


def test_saved_models_are_the_same_models(tmp_path):
    for index, model in enumerate(small_networks()):
        model, _ = randomized(model)
        path = tmp_path / f"{index}.keras"
        model.save(path)
        loaded = keras.models.load_model(path)
        x = np.random.default_rng(0).normal(size=(2, *model.input_shape[1:])).astype("float32")
        np.testing.assert_array_equal(outputs(model, x), outputs(loaded, x))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: mlp(0), "`width` must be .* Received: `width=0`"),
        (lambda: mlp(float("nan")), "`width` must be"),
        (lambda: mlp(1, seed=-1), "`seed` must be an integer >= 0. Received: `seed=-1`"),
        (lambda: mlp(1, seed=1.5), "`seed` must be an integer >= 0"),
        (lambda: resnet18(0), "`filters` must be an integer >= 1. Received: `filters=0`"),
        (lambda: resnet50(2.5), "`filters` must be an integer >= 1"),
        (lambda: vit(10, heads=3), "`hidden_dim` must be a multiple of `heads`"),
        (lambda: vit(12, patch=5), "`patch` must divide"),
        (lambda: vit(12, depth=0), "`depth` must be an integer >= 1. Received: `depth=0`"),
    ],
)
def test_bad_arguments(build, message):
    with pytest.raises(ValueError, match=message):
        build()


# Batch normalisation: Keras's own layer is the reference.


def normalization_pair(shape, policy="float32", **kwargs):
    """Our layer and Keras's, with the same arbitrary weights."""
    generator = np.random.default_rng(0)
    pair = [
        layer(momentum=0.9, epsilon=1e-5, dtype=policy, **kwargs)
        for layer in (networks.BatchNormalization, keras.layers.BatchNormalization)
    ]
    for layer in pair:
        layer.build(shape)
    values = [generator.uniform(0.5, 1.5, variable.shape) for variable in pair[0].weights]
    for layer in pair:
        layer.set_weights(values)
    return pair


def operations(layer, shape, dtype="float32", **kwargs):
    """The names of the operations that a call of the layer consists of."""
    import tensorflow as tf

    @tf.function
    def call(x):
        return layer(x, **kwargs)

    return {
        op.type
        for op in call.get_concrete_function(tf.TensorSpec(shape, dtype)).graph.get_operations()
    }


def results(layer, x, jit_compile=False):
    """Outputs, gradients by inputs and weights, and all weights after one training call."""
    import tensorflow as tf

    weights = [variable.value for variable in layer.trainable_variables]
    slope = tf.constant(np.random.default_rng(2).normal(size=x.shape), "float32")

    @tf.function(jit_compile=jit_compile)
    def compute(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
            loss = tf.reduce_sum(tf.sin(tf.cast(y, "float32")) * slope)
        return y, tape.gradient(loss, [x, *weights])

    y, gradients = compute(tf.constant(x, layer.compute_dtype))
    return [np.asarray(tf.cast(value, "float32")) for value in (y, *gradients, *layer.weights)]


SHAPE = (4, 5, 6, 3)


def batch(shape=SHAPE):
    return np.random.default_rng(1).normal(2, 3, shape).astype("float32")


@on_tensorflow
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize(
    "kwargs", [{}, {"scale": False}, {"center": False}, {"scale": False, "center": False}]
)
def test_fused_numbers_equal_those_of_keras(kwargs, jit_compile):
    ours, reference = normalization_pair(SHAPE, **kwargs)
    for a, b in zip(
        results(ours, batch(), jit_compile), results(reference, batch(), jit_compile), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@on_tensorflow
def test_moving_statistics_by_hand():
    x = np.array([[1.0, 10.0], [3.0, 30.0], [5.0, 20.0]]).reshape(3, 1, 1, 2)
    layer = networks.BatchNormalization(momentum=0.75, epsilon=0.0)
    layer(x, training=True)
    # Means 3 and 20; biased variances 8/3 and 200/3, starting from mean 0 and variance 1.
    np.testing.assert_allclose(layer.moving_mean, [0.75, 5.0], rtol=1e-6)
    np.testing.assert_allclose(
        layer.moving_variance, [0.75 + 0.25 * 8 / 3, 0.75 + 0.25 * 200 / 3], rtol=1e-6
    )


@on_tensorflow
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_has_float32_statistics(policy):
    ours, reference = normalization_pair(SHAPE, policy)
    # Inputs, outputs and the inputs' gradient have 8 (bfloat16) or 11 bits; statistics have 24.
    rounding = 2**-7 if policy == "mixed_bfloat16" else 2**-10
    got, expected = results(ours, batch()), results(reference, batch())
    for a, b in zip(got[:2], expected[:2], strict=True):
        np.testing.assert_allclose(a, b, rtol=rounding, atol=rounding)
    for a, b in zip(got[2:], expected[2:], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    assert ours(batch(), training=True).dtype == policy.removeprefix("mixed_")


@on_tensorflow
@pytest.mark.parametrize("jit_compile", [False, True])
def test_one_value_a_channel_has_variance_zero(jit_compile):
    ours, reference = normalization_pair((1, 1, 1, 3))
    for a, b in zip(
        results(ours, batch((1, 1, 1, 3)), jit_compile),
        results(reference, batch((1, 1, 1, 3)), jit_compile),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)
        assert np.all(np.isfinite(a))
    np.testing.assert_allclose(ours.moving_variance, reference.moving_variance, rtol=1e-6)


@on_tensorflow
def test_second_derivatives_equal_those_of_keras():
    import tensorflow as tf

    def hessian_vector_product(layer):
        x = tf.constant(batch(), "float64" if layer.compute_dtype == "float64" else "float32")
        variables = [x, layer.gamma.value, layer.beta.value]
        with tf.GradientTape() as outer:
            outer.watch(variables)
            with tf.GradientTape() as inner:
                inner.watch(variables)
                loss = tf.reduce_sum(tf.sin(layer(x, training=True)))
            gradients = inner.gradient(loss, variables)
            dot = tf.add_n([tf.reduce_sum(tf.cos(gradient)) for gradient in gradients])
        return [product.numpy() for product in outer.gradient(dot, variables)]

    ours, _ = normalization_pair(SHAPE)
    _, reference = normalization_pair(SHAPE, "float64")
    for a, b in zip(hessian_vector_product(ours), hessian_vector_product(reference), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@on_tensorflow
def test_a_stateless_scope_catches_the_new_statistics():
    ours, reference = normalization_pair(SHAPE)
    before = ours.get_weights()
    gamma = ops.convert_to_tensor(np.array([2.0, 3.0, 4.0], "float32"))
    mean = ops.convert_to_tensor(np.array([7.0, 8.0, 9.0], "float32"))
    caught = []
    for layer in (ours, reference):
        mapping = [(layer.gamma, gamma), (layer.moving_mean, mean)]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            y = layer(batch(), training=True)
        statistics = [scope.get_current_value(v) for v in layer.non_trainable_variables]
        caught.append([y, *statistics])
    for a, b in zip(*caught, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    for old, new in zip(before, ours.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@on_tensorflow
def test_frozen_and_inference_use_the_moving_statistics():
    ours, reference = normalization_pair(SHAPE)
    before = ours.get_weights()
    np.testing.assert_array_equal(ours(batch(), training=False), reference(batch(), training=False))
    ours.trainable = reference.trainable = False
    np.testing.assert_array_equal(ours(batch(), training=True), reference(batch(), training=True))
    for old, new in zip(before, ours.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@on_tensorflow
def test_which_calls_are_fused():
    layer = networks.BatchNormalization()
    assert "FusedBatchNormV3" in operations(layer, SHAPE, training=True)
    assert "FusedBatchNormV3" in operations(layer, (None, None, None, 3), training=True)
    assert "FusedBatchNormV3" not in operations(layer, SHAPE, training=False)
    dense = networks.BatchNormalization()
    assert "FusedBatchNormV3" not in operations(dense, (4, 3), training=True)
    for kwargs in ({"axis": 1}, {"renorm": True}, {"dtype": "float64"}, {"synchronized": True}):
        layer = networks.BatchNormalization(**kwargs)
        dtype = kwargs.get("dtype", "float32")
        assert "FusedBatchNormV3" not in operations(layer, SHAPE, dtype, training=True)


@on_tensorflow
@pytest.mark.parametrize(
    ("shape", "kwargs"),
    [((7, 3), {}), ((4, 5, 3), {}), ((4, 3, 5, 6), {"axis": 1}), (SHAPE, {"renorm": True})],
)
def test_other_calls_are_those_of_keras(shape, kwargs):
    ours, reference = normalization_pair(shape, **kwargs)
    for a, b in zip(results(ours, batch(shape)), results(reference, batch(shape)), strict=True):
        np.testing.assert_array_equal(a, b)


@on_tensorflow
def test_masked_values_do_not_count():
    ours, reference = normalization_pair(SHAPE)
    mask = np.random.default_rng(3).uniform(size=SHAPE[:-1]) < 0.5
    np.testing.assert_array_equal(
        ours(batch(), training=True, mask=mask), reference(batch(), training=True, mask=mask)
    )
    for a, b in zip(ours.get_weights(), reference.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_weights_files_are_those_of_keras(tmp_path):
    def network(normalization, seed):
        inputs = keras.Input((6, 6, 2))
        x = keras.layers.Conv2D(3, 3)(inputs)
        x = normalization()(x)
        x = normalization()(keras.layers.ReLU()(x))
        return randomized(keras.Model(inputs, keras.layers.Flatten()(x)), seed)[0]

    ours = network(networks.BatchNormalization, 0)
    reference = network(keras.layers.BatchNormalization, 1)
    x = batch((2, 6, 6, 2))
    for source, target in ((ours, reference), (reference, ours)):
        randomized(source, 2 if source is ours else 3)
        assert not np.allclose(outputs(source, x), outputs(target, x))
        source.save_weights(tmp_path / "a.weights.h5")
        target.load_weights(tmp_path / "a.weights.h5")
        np.testing.assert_array_equal(outputs(source, x), outputs(target, x))
