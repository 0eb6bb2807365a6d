"""LSTM, tagger, graph network, actor-critics: parameter counts, and numbers against NumPy."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

from keras_sam import SAMModel, sparsity
from recipes import networks
from recipes.networks import graph_convolution, lstm, minatar_cnn, nature_cnn, transformer_tagger
from recipes.running.recipe import find
from tests.recipes.test_networks import convolution, outputs, randomized, trainable_count

WORDS = np.array([[2, 3, 4, 0, 0], [5, 6, 7, 8, 2], [9, 0, 0, 0, 0]], "int32")


def small_lstm(seed=0, **kwargs):
    return lstm(4, vocabulary=10, embedding_dim=3, seed=seed, **kwargs)


def small_tagger(seed=0, **kwargs):
    arguments = {"vocabulary": 10, "tags": 3, "depth": 2, "heads": 2, "max_length": 8, **kwargs}
    return transformer_tagger(8, seed=seed, **arguments)


def small_graph_network(seed=0, **kwargs):
    return graph_convolution(4, features=3, outputs=2, steps=2, seed=seed, **kwargs)


def small_networks(seed=0):
    return [small_lstm(seed), small_tagger(seed), small_graph_network(seed)]


def graphs():
    """A path of three nodes and a single node, padded to four."""
    adjacency = np.zeros((2, 4, 4), "float32")
    adjacency[0, :3, :3] = [[1, 1, 0], [1, 1, 1], [0, 1, 1]]
    adjacency[1, 0, 0] = 1
    scale = 1 / np.sqrt(np.maximum(adjacency.sum(-1), 1))
    nodes = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")
    nodes *= (adjacency.sum(-1) > 0)[..., None]
    return {
        "nodes": nodes,
        "adjacency": adjacency * scale[:, :, None] * scale[:, None, :],
        "pooling": np.array([[1 / 3] * 3 + [0], [1, 0, 0, 0]], "float32"),
    }


# Parameter counts: those of the paper.


@pytest.mark.parametrize(
    ("hidden", "parameters"),
    [
        (128, 505_216),
        (220, 1_111_220),
        pytest.param(368, 2_512_336, marks=pytest.mark.slow),
        pytest.param(602, 5_800_270, marks=pytest.mark.slow),
        pytest.param(818, 10_001_686, marks=pytest.mark.slow),
        pytest.param(1024, 15_051_776, marks=pytest.mark.slow),
    ],
)
def test_lstm_parameters(hidden, parameters):
    model = lstm(hidden, vocabulary=7)
    assert trainable_count(model) == parameters + 7 * 300
    frozen = lstm(4, vocabulary=7, embedding_dim=5, embedding_trainable=False)
    assert trainable_count(frozen) == 12 * 4**2 + (8 * 5 + 11) * 4


@pytest.mark.parametrize(
    ("dim", "parameters"),
    [
        (128, 5_540_077),
        pytest.param(256, 13_439_341, marks=pytest.mark.slow),
        pytest.param(384, 23_697_901, marks=pytest.mark.slow),
        pytest.param(512, 36_315_757, marks=pytest.mark.slow),
        pytest.param(640, 51_292_909, marks=pytest.mark.slow),
    ],
)
def test_tagger_parameters(dim, parameters):
    assert trainable_count(transformer_tagger(dim, vocabulary=33_900, tags=109)) == parameters
    d, v, t = dim, 33_900, 109
    assert 72 * d**2 + (v + t + 56) * d + t == parameters


@pytest.mark.parametrize(
    ("latent", "parameters"),
    [(128, 184_192), (256, 695_936), pytest.param(512, 2_702_464, marks=pytest.mark.slow)],
)
def test_graph_network_parameters(latent, parameters):
    assert trainable_count(graph_convolution(latent)) == parameters


def test_graph_network_with_other_features_and_tasks():
    count = trainable_count(graph_convolution(32, features=5, outputs=24))
    assert count == 10 * 32**2 + (21 + 5) * 32 + 24 * 33


@pytest.mark.parametrize(
    ("width", "parameters"),
    [
        (0.5, 424_533),
        (1, 1_686_693),
        pytest.param(1.5, 3_786_485, marks=pytest.mark.slow),
        pytest.param(2, 6_723_909, marks=pytest.mark.slow),
    ],
)
def test_nature_cnn_parameters(width, parameters):
    assert trainable_count(nature_cnn(width, actions=4)) == parameters


def test_minatar_cnn_parameters():
    assert trainable_count(minatar_cnn(1, actions=3)) == 132_308
    # 8 filters, 64 units, 6 actions
    expected = 9 * 4 * 8 + 8 + 8 * 8 * 8 * 64 + 64 + 7 * 65
    assert trainable_count(minatar_cnn(0.5, actions=6)) == expected


# Numbers, against NumPy.


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def layer_norm(x, w, name):
    x = x - x.mean(-1, keepdims=True)
    x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)
    return x * w[f"{name}/gamma"] + w[f"{name}/beta"]


def test_lstm_against_numpy():
    model, w = randomized(small_lstm())

    def states(x, name):
        (kernel,) = (v for path, v in w.items() if f"{name}/" in path and path.endswith("/kernel"))
        (recurrent,) = (v for p, v in w.items() if f"{name}/" in p and "recurrent_kernel" in p)
        (bias,) = (v for path, v in w.items() if f"{name}/" in path and path.endswith("/bias"))
        h = c = np.zeros(4)
        for step in x:
            i, f, g, o = np.split(step @ kernel + h @ recurrent + bias, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            yield h

    expected = []
    for sentence in WORDS:
        x = w["embedding/embeddings"][sentence[sentence > 0]]
        forward = list(states(x, "forward"))
        backward = list(states(x[::-1], "backward"))[::-1]
        s = np.concatenate([forward, backward], axis=1)
        keys = np.tanh(s @ w["attention_keys/kernel"])
        attention = softmax((keys @ w["attention_scores/kernel"])[:, 0])
        hidden = np.tanh(attention @ s @ w["hidden/kernel"] + w["hidden/bias"])
        expected.append(hidden @ w["logits/kernel"])
    np.testing.assert_allclose(outputs(model, WORDS), expected, rtol=1e-5, atol=1e-6)


def test_tagger_against_numpy():
    model, w = randomized(small_tagger())

    def dense(x, name):
        return x @ w[f"{name}/kernel"] + w.get(f"{name}/bias", 0)

    got = outputs(model, WORDS)
    for sentence, tags in zip(WORDS, got):
        words = sentence[sentence > 0]
        x = w["embedding/embeddings"][words].copy()
        for t, i in itertools.product(range(len(words)), range(4)):
            x[t, 2 * i] += np.sin(t / 10_000 ** (2 * i / 8))
            x[t, 2 * i + 1] += np.cos(t / 10_000 ** (2 * i / 8))
        for name in ("block1", "block2"):
            y = layer_norm(x, w, f"{name}_norm1")
            q, k, v = (dense(y, f"{name}_{role}") for role in ("query", "key", "value"))
            mixed = [softmax(q[:, h] @ k[:, h].T / 2) @ v[:, h] for h in (slice(0, 4), slice(4, 8))]
            x = x + dense(np.concatenate(mixed, axis=1), f"{name}_output")
            y = dense(layer_norm(x, w, f"{name}_norm2"), f"{name}_mlp1")
            x = x + dense(np.where(y > 0, y, np.exp(np.minimum(y, 0)) - 1), f"{name}_mlp2")
        expected = dense(layer_norm(x, w, "norm"), "logits")
        np.testing.assert_allclose(tags[: len(words)], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pool", [True, False])
def test_graph_network_against_numpy(pool):
    model, w = randomized(small_graph_network(pool=pool))
    inputs = graphs()
    if not pool:
        del inputs["pooling"]
    got = outputs(model, inputs)

    def dense(x, name):
        return x @ w[f"{name}/kernel"] + w[f"{name}/bias"]

    for graph, edges in enumerate([[(0, 1), (1, 2)], []]):
        n = len(edges) + 1
        neighbours = [{i} | {j for e in edges if i in e for j in e} for i in range(n)]
        x = dense(inputs["nodes"][graph, :n].astype("float64"), "embedding")
        for step in ("step1", "step2"):
            y = np.maximum(dense(x, f"{step}_dense1"), 0)
            y = np.maximum(dense(y, f"{step}_dense2"), 0)
            messages = [
                sum(y[j] / np.sqrt(len(neighbours[i]) * len(neighbours[j])) for j in neighbours[i])
                for i in range(n)
            ]
            x = layer_norm(x + messages, w, f"{step}_norm")
        expected = dense(x.mean(0), "logits") if pool else dense(x, "logits")
        found = got[graph] if pool else got[graph, :n]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_nature_cnn_against_numpy():
    model, w = randomized(nature_cnn(1 / 16, actions=3, input_shape=(36, 44, 2)))
    seen = np.random.default_rng(1).integers(256, size=(2, 36, 44, 2)).astype("uint8")
    x = seen / 255
    for name, strides in (("conv1", 4), ("conv2", 2), ("conv3", 1)):
        x = convolution(x, w[f"{name}/kernel"], strides, border=0) + w[f"{name}/bias"]
        x = np.maximum(x, 0)
    x = np.maximum(x.reshape(2, -1) @ w["hidden/kernel"] + w["hidden/bias"], 0)
    expected = [x @ w[f"{head}/kernel"] + w[f"{head}/bias"] for head in ("policy", "value")]
    np.testing.assert_allclose(
        outputs(model, seen), np.concatenate(expected, axis=1), rtol=1e-4, atol=1e-4
    )


def test_minatar_cnn_against_numpy():
    model, w = randomized(minatar_cnn(1 / 8, actions=3))
    seen = np.random.default_rng(1).integers(2, size=(2, 10, 10, 4)).astype("float32")
    x = np.maximum(convolution(seen, w["conv/kernel"], border=0) + w["conv/bias"], 0)
    x = np.maximum(x.reshape(2, -1) @ w["hidden/kernel"] + w["hidden/bias"], 0)
    expected = [x @ w[f"{head}/kernel"] + w[f"{head}/bias"] for head in ("policy", "value")]
    np.testing.assert_allclose(
        outputs(model, seen), np.concatenate(expected, axis=1), rtol=1e-4, atol=1e-4
    )


# Padding, seeds, precision, files, pruning.


def test_padding_changes_nothing():
    for model in (small_lstm(), small_tagger()):
        model, _ = randomized(model)
        alone = outputs(model, WORDS[:1, :3])
        beside = outputs(model, WORDS)[:1]
        beside = beside[:, :3] if beside.ndim == 3 else beside
        np.testing.assert_allclose(alone, beside, rtol=1e-5, atol=1e-6)
    model, _ = randomized(small_graph_network())
    inputs = graphs()
    narrow = {key: value[:, :3] for key, value in inputs.items()}
    narrow["adjacency"] = narrow["adjacency"][:, :, :3]
    np.testing.assert_allclose(outputs(model, narrow), outputs(model, inputs), rtol=1e-5, atol=1e-6)


def test_initial_weights_and_dropout_depend_on_the_seed_alone():
    first = small_networks(5)
    keras.utils.set_random_seed(123)
    keras.random.normal((3,))
    for a, b, c in zip(first, small_networks(5), small_networks(6)):
        assert len(a.variables) > len(a.weights)  # States of dropout.
        values = [[ops.convert_to_numpy(v) for v in model.variables] for model in (a, b, c)]
        for u, v in zip(values[0], values[1]):
            np.testing.assert_array_equal(u, v)
        assert any(not np.array_equal(u, w) for u, w in zip(values[0], values[2]))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_keeps_weights_and_outputs_in_32_bits(policy):
    keras.config.set_dtype_policy(policy)
    try:
        models = [*small_networks(), minatar_cnn(1 / 8, actions=3)]
    finally:
        keras.config.set_dtype_policy("float32")
    inputs = [WORDS, WORDS, graphs(), np.ones((2, 10, 10, 4), "float32")]
    for model, x in zip(models, inputs):
        y = model(x, training=True)
        assert keras.backend.standardize_dtype(y.dtype) == "float32"
        assert np.isfinite(ops.convert_to_numpy(y)).all()
        assert {variable.dtype for variable in model.weights} == {"float32"}
        assert policy.removeprefix("mixed_") in {layer.compute_dtype for layer in model.layers}


def test_saved_models_are_the_same_models(tmp_path):
    for model, x in zip(small_networks(), (WORDS, WORDS, graphs())):
        model, _ = randomized(model)
        path = tmp_path / f"{model.name}.keras"
        model.save(path)
        np.testing.assert_array_equal(outputs(model, x), outputs(keras.models.load_model(path), x))


def test_pruning_sees_recurrent_attention_and_graph_kernels():
    expected = {
        "lstm": (["forward", "backward"], ["attention_keys", "attention_scores", "hidden"]),
        "transformer_tagger": ([], [f"block2_{n}" for n in ("query", "key", "value", "mlp1")]),
        "graph_convolution": ([], ["embedding", "step1_dense1", "step2_dense2"]),
    }
    for model in small_networks():
        recurrent, kernels = expected[model.name]
        masks = sparsity.prune(model, 0.5, score="magnitude")
        for name in recurrent:
            assert sum(f"{name}/" in path and "kernel" in path for path in masks) == 2
        assert {f"{name}/kernel" for name in kernels} <= set(masks)
        assert not any("embeddings" in path or "bias" in path for path in masks)


def test_sam_trains_them_with_the_second_pass_under_the_same_dropout():
    """With rho so small that w + e is w, SAM's step is the plain one: masks of dropout agree."""
    y = [np.zeros((3, 1)), np.zeros((3, 5, 3)), np.zeros((2, 2))]
    for index, (x, target) in enumerate(zip((WORDS, WORDS, graphs()), y)):
        weights = []
        for rho in (0.0, 1e-12):
            # Random biases: an input of 0 and a bias of 0 lie on ReLU's kink.
            model = SAMModel(randomized(small_networks()[index])[0], rho=rho)
            model.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=True)
            model.train_on_batch(x, target)
            weights.append([ops.convert_to_numpy(v) for v in model.trainable_variables])
        for a, b in zip(*weights):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("recipe", ["cifar10_vit", "tagging_transformer"])
def test_a_width_that_the_heads_cannot_share(recipe):
    config = find(recipe).default.replace(width=31)
    with pytest.raises(ValueError, match="`width` must be a multiple of `heads`.*`width=31`"):
        find(recipe).network(config, None)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: lstm(0, vocabulary=5), "`hidden` must be an integer >= 1. Received: `hidden=0`"),
        (lambda: lstm(4, vocabulary=5, dropout=1.0), r"`dropout` must be in \[0, 1\)"),
        (lambda: small_tagger(heads=3), "`dim` must be a multiple of `heads`"),
        (lambda: small_tagger(tags=0), "`tags` must be an integer >= 1"),
        (lambda: graph_convolution(True), "`latent` must be an integer >= 1"),
        (lambda: nature_cnn(0.001, actions=4), "`width` must be a finite number that leaves"),
        (lambda: minatar_cnn(float("nan"), actions=4), "`width` must be a finite number"),
        (lambda: minatar_cnn(1, actions=0), "`actions` must be an integer >= 1"),
    ],
)
def test_bad_arguments(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_a_sentence_that_is_too_long_is_refused():
    layer = networks.SinusoidalPositions(max_length=4)
    with pytest.raises(ValueError, match="at most 4 tokens"):
        layer(np.zeros((1, 5, 2), "float32"))


def test_adam_sums_the_gradients_of_a_word_that_comes_twice():
    """Its second moment is .001 (1 + 1)^2; of Keras's layer, on TensorFlow, .001 (1^2 + 1^2)."""
    model = keras.Sequential([keras.Input((3,), dtype="int32"), networks.Embedding(4, 1)])
    model.compile(keras.optimizers.Adam(), lambda y, z: ops.sum(ops.reshape(z, (1, 3)), axis=1))
    model.train_on_batch(np.array([[2, 2, 3]]), np.zeros((1, 3, 1)))
    (velocity,) = (v for v in model.optimizer.variables if v.path.endswith("velocity"))
    found = keras.ops.convert_to_numpy(velocity)[:, 0]
    np.testing.assert_allclose(found, [0, 0, 0.004, 0.001], rtol=1e-5)
