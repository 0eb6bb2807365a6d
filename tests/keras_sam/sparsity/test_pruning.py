import random

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from keras_sam import SAMModel, sparsity
from keras_sam.sparsity.distributions import DISTRIBUTIONS, kept_count
from keras_sam.sparsity.scores import SCORES
from tests.keras_sam.sparsity.nets import dense_net, many_layers

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(9, 6)), RNG.normal(size=(9, 3))


def kept(masks):
    return sum(int(mask.sum()) for mask in masks.values())


def size(masks):
    return sum(mask.size for mask in masks.values())


def assert_equal(first, second):
    assert first.keys() == second.keys()
    for path in first:
        np.testing.assert_array_equal(first[path], second[path])


@settings(max_examples=30)
@given(
    units=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    inputs=st.integers(1, 9),
    sparsity_=st.one_of(
        st.floats(0, 1, exclude_max=True), st.integers(0, 99).map(lambda n: n / 100)
    ),
    score=st.sampled_from(["random", "magnitude"]),
    distribution=st.sampled_from([None, *DISTRIBUTIONS]),
)
@pytest.mark.filterwarnings("ignore:sparsity")
def test_number_kept_is_exact(units, inputs, sparsity_, score, distribution):
    net = dense_net(*units, inputs=inputs)
    masks = sparsity.prune(net, sparsity_, score, distribution=distribution)
    for variable in net.trainable_variables:
        if variable.name == "kernel":
            assert masks[variable.path].shape == variable.shape
            assert masks[variable.path].dtype == bool
    assert kept(masks) == kept_count(sparsity_, size(masks))


@pytest.mark.parametrize("score", sorted(SCORES))
@pytest.mark.parametrize("distribution", sorted(DISTRIBUTIONS))
def test_number_kept_is_exact_for_each_score(score, distribution):
    net = dense_net(8, 3)
    masks = sparsity.prune(
        net, 0.7, score, distribution=distribution, data=(X, Y), loss="mse", rounds=3
    )
    assert kept(masks) == round(0.3 * (6 * 8 + 8 * 3))


def test_defaults_are_those_of_the_paper():
    net = dense_net(20, 10, 3)
    data = {"data": (X, Y), "loss": "mse"}
    assert_equal(
        sparsity.prune(net, 0.9, "random"),
        sparsity.prune(net, 0.9, "random", distribution="uniform"),
    )
    assert_equal(
        sparsity.prune(net, 0.9, "snip", **data),
        sparsity.prune(net, 0.9, "snip", distribution="global", **data),
    )


def test_snip_keeps_the_highest_scores_of_all_layers_together():
    net = dense_net(5, 3)
    gradients = {}

    def spy(model, weights, objective, rng):
        gradients.update(objective.gradient(weights))
        return SCORES["snip"].function(model, weights, objective, rng)

    masks = sparsity.prune(net, 0.6, spy, data=(X, Y), loss="mse")
    scores = {
        v.path: np.abs(np.array(v) * np.array(gradients[v.path]))
        for v in net.trainable_variables
        if v.path in masks
    }
    lowest = min(scores[path][mask].min() for path, mask in masks.items())
    highest = max(scores[path][~mask].max() for path, mask in masks.items())
    assert lowest > highest


def test_all_kinds_of_layers():
    masks = sparsity.prune(many_layers(), 0.5)
    assert len(masks) == 15
    assert kept(masks) == kept_count(0.5, size(masks))


def test_sparsity_zero_keeps_everything():
    assert all(mask.all() for mask in sparsity.prune(dense_net(4), 0).values())


def test_same_seed_same_mask_whatever_the_global_random_state():
    net = dense_net(30, 20)
    first = sparsity.prune(net, 0.9, "random", seed=3)
    for seed in (0, 1):
        keras.utils.set_random_seed(seed)
        before = random.getstate(), np.random.get_state()[1].copy()
        assert_equal(first, sparsity.prune(net, 0.9, "random", seed=3))
        assert random.getstate() == before[0]
        np.testing.assert_array_equal(np.random.get_state()[1], before[1])
    other = sparsity.prune(net, 0.9, "random", seed=4)
    assert any((first[path] != other[path]).any() for path in first)


def test_random_masks_of_equal_nets_are_equal_whatever_their_names():
    first, second = (
        keras.Sequential([keras.Input((6,)), layers.Dense(5), layers.Dense(4)]) for _ in range(2)
    )
    masks = [sparsity.prune(net, 0.5, "random") for net in (first, second)]
    for one, other in zip(masks[0].values(), masks[1].values(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_random_keeps_each_weight_equally_often():
    net = dense_net(4)
    counts = sum(sparsity.prune(net, 0.5, "random", seed=s)["net/d0/kernel"] for s in range(200))
    # Binomial(200, 1/2): standard deviation 7; 24 weights.
    assert np.all(np.abs(counts - 100) < 4 * 7.1)


def test_ties_keep_what_comes_first():
    net = dense_net(2, 2, inputs=2)
    net.set_weights([np.ones(w.shape) for w in net.get_weights()])
    masks = sparsity.prune(net, 0.375)
    np.testing.assert_array_equal(masks["net/d0/kernel"], [[True, True], [True, True]])
    np.testing.assert_array_equal(masks["net/d1/kernel"], [[True, False], [False, False]])


def test_own_score_and_distribution():
    def last(model, weights, objective, rng):
        return {path: np.arange(w.size).reshape(w.shape) for path, w in weights.items()}

    def all_in_the_first(scores, kept):
        return [kept] + [0] * (len(scores) - 1)

    with pytest.warns(UserWarning, match=r"leaves no weight in \['net/d1/kernel'\]"):
        masks = sparsity.prune(dense_net(4, 2), 0.75, last, distribution=all_in_the_first)
    np.testing.assert_array_equal(np.flatnonzero(masks["net/d0/kernel"]), np.arange(16, 24))


def test_rounds_follow_an_exponential_schedule_and_never_bring_weights_back():
    seen = []

    def spy(model, weights, objective, rng):
        seen.append({path: w != 0 for path, w in weights.items()})
        return {path: rng.random(w.shape) for path, w in weights.items()}

    net = dense_net(10, 10)
    final = sparsity.prune(net, 0.9, spy, rounds=4)
    seen.append(final)
    assert [kept(masks) for masks in seen] == [160, 90, 51, 28, 16]  # 160 * 0.1^(k/4)
    for earlier, later in zip(seen, seen[1:]):
        assert all((earlier[path] >= later[path]).all() for path in final)


def test_empty_layers_warn_and_uniform_and_erk_avoid_them():
    net = dense_net(50, 2, 2)
    kernels = net.trainable_variables[::2]
    kernels[1].assign(kernels[1] * 1e-6)
    with pytest.warns(UserWarning, match=r"leaves no weight in \['net/d1/kernel'\]"):
        sparsity.prune(net, 0.9, distribution="global")
    for distribution in ("uniform", "erk"):
        masks = sparsity.prune(net, 0.99, distribution=distribution)
        assert kept(masks) == 4
        assert all(mask.any() for mask in masks.values())
    with pytest.warns(UserWarning, match="leaves no weight"):
        sparsity.prune(net, 0.995, distribution="uniform")


# N:M


def test_two_of_four_along_the_inputs_of_dense_and_conv():
    net = keras.Sequential(
        [
            keras.Input((6, 6, 8)),
            layers.Conv2D(4, 3, name="conv"),
            layers.Conv2DTranspose(8, 2, name="transpose"),
            layers.Flatten(),
            layers.Dense(3, name="dense"),
        ],
        name="net",
    )
    masks = sparsity.prune(net, 0.5, structure="2:4")
    weights = {v.path: np.array(v) for v in net.trainable_variables}
    for path, mask in masks.items():
        # All groups of four consecutive inputs, whatever axes the outputs are on.
        axis = {"net/conv/kernel": 2, "net/transpose/kernel": 3, "net/dense/kernel": 0}[path]
        groups = np.moveaxis(mask, axis, -1).reshape(-1, 4)
        np.testing.assert_array_equal(groups.sum(axis=1), 2)
        magnitudes = np.abs(np.moveaxis(weights[path], axis, -1)).reshape(-1, 4)
        np.testing.assert_array_equal(groups, magnitudes >= np.sort(magnitudes)[:, 2:3])
    assert len(masks) == 3


def test_n_of_m_with_other_scores():
    net = dense_net(8, 3, inputs=6)
    for score in ("random", "snip", "synflow"):
        masks = sparsity.prune(net, 1 - 1 / 2, score, structure="1:2", data=(X, Y), loss="mse")
        for mask in masks.values():
            np.testing.assert_array_equal(mask.reshape(-1, 2, mask.shape[1]).sum(axis=1), 1)


def test_kernels_that_do_not_fit_stay_dense_with_a_warning():
    net = keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            layers.Conv2D(4, 3, name="stem"),
            layers.DepthwiseConv2D(3, name="depthwise"),
            layers.Conv2D(4, 1, name="conv"),
        ],
        name="net",
    )
    with pytest.warns(
        UserWarning, match=r"stem/kernel.*\(3, 3, 3, 4\).*depthwise/kernel"
    ) as record:
        masks = sparsity.prune(net, 0.5, structure="2:4")
    assert record[0].filename == __file__
    assert list(masks) == ["net/conv/kernel"]


def test_n_of_m_that_fits_nothing():
    with pytest.raises(ValueError, match=r"must be a multiple of 4"):
        sparsity.prune(dense_net(5, inputs=6), 0.5, structure="2:4")


def test_n_of_m_fixes_sparsity_and_distribution():
    net = dense_net(4, inputs=4)
    with pytest.raises(ValueError, match=r"`sparsity` must be 0.5"):
        sparsity.prune(net, 0.9, structure="2:4")
    with pytest.raises(ValueError, match=r"`distribution` must be 'uniform' or None"):
        sparsity.prune(net, 0.5, structure="2:4", distribution="global")
    with pytest.raises(ValueError, match=r"`rounds` must be 1"):
        sparsity.prune(net, 0.5, structure="2:4", rounds=3)


# Bad input


@pytest.mark.parametrize("value", [-0.1, 1.0, 1, 1.5, float("nan"), float("inf")])
def test_sparsity_out_of_range(value):
    with pytest.raises(ValueError, match=r"`sparsity` must be in \[0, 1\)"):
        sparsity.prune(dense_net(2), value)


@pytest.mark.parametrize("value", ["0.5", None, True, [0.5]])
def test_sparsity_of_the_wrong_type(value):
    with pytest.raises(TypeError, match=r"`sparsity` must be a number"):
        sparsity.prune(dense_net(2), value)


def test_unknown_names_list_the_known_ones():
    net = dense_net(2)
    with pytest.raises(ValueError, match=r"'grasp', 'magnitude', 'random', 'snip', 'synflow'"):
        sparsity.prune(net, 0.5, "snipp")
    with pytest.raises(ValueError, match=r"'erk', 'global', 'uniform'"):
        sparsity.prune(net, 0.5, distribution="layerwise")
    with pytest.raises(ValueError, match=r'"unstructured" or "N:M"'):
        sparsity.prune(net, 0.5, structure="block")


@pytest.mark.parametrize("seed", [-1, 0.5, None, True])
def test_seed(seed):
    with pytest.raises((TypeError, ValueError), match=r"`seed` must be"):
        sparsity.prune(dense_net(2), 0.5, seed=seed)


def test_large_seeds_are_seeds():
    net = dense_net(8)
    first, second = (sparsity.prune(net, 0.5, "random", seed=s) for s in (2**32, 0))
    assert any((first[path] != second[path]).any() for path in first)


@pytest.mark.parametrize("value", [5, 0.5, True])
def test_what_is_no_filter(value):
    with pytest.raises(TypeError, match=rf"`filter` must be a function.*`filter={value!r}`"):
        sparsity.prune(dense_net(2), 0.5, filter=value)
    with pytest.raises(TypeError, match=rf"`filter` must be a function.*`filter={value!r}`"):
        sparsity.sparsity_for_budget(dense_net(2), 5, filter=value)


@pytest.mark.parametrize(
    ("loss", "error"),
    [([], ValueError), ({}, ValueError), ("", ValueError), ([None], ValueError), (5, TypeError)],
)
@pytest.mark.parametrize("score", ["magnitude", "snip"])
def test_what_is_no_loss(loss, error, score):
    with pytest.raises(error, match=r"`loss` must be what `compile` takes"):
        sparsity.prune(dense_net(2), 0.5, score, data=(X, Y), loss=loss)


@pytest.mark.parametrize("data", [(1.0, 2.0), (None, None), [(X[0, 0], Y)]])
def test_what_is_no_batch(data):
    with pytest.raises(TypeError, match=r"`data` must be a batch"):
        sparsity.prune(dense_net(3), 0.5, "snip", data=data, loss="mse")


def test_nan_scores():
    net = dense_net(4, 3)
    with pytest.raises(ValueError, match=r"net/d0/kernel.*NaN"):
        sparsity.prune(net, 0.5, "snip", data=(X * np.nan, Y), loss="mse")


def test_scores_that_are_all_zero():
    net = dense_net(4)
    with pytest.raises(ValueError, match="in round 1 of 1 all scores are zero"):
        sparsity.prune(net, 0.5, "snip", data=(X * 0, Y[:, :1] * np.ones(4)), loss="mse")


def test_own_score_must_fit():
    net = dense_net(4)
    with pytest.raises(ValueError, match="a score for each of"):
        sparsity.prune(net, 0.5, lambda *_: {})
    with pytest.raises(TypeError, match="`score` must return a dict from path to array"):
        sparsity.prune(net, 0.5, lambda *_: None)
    with pytest.raises(ValueError, match="`score` must return real numbers"):
        sparsity.prune(net, 0.5, lambda *_: {"net/d0/kernel": np.full((6, 4), "a")})
    with pytest.raises(ValueError, match="the weights' shapes"):
        sparsity.prune(net, 0.5, lambda *_: {"net/d0/kernel": np.ones(3)})


def test_own_distribution_must_fit():
    for counts in ([1, 1], [0], [25], None, 12, "12", [12.5], [[12]], [None], [float("nan")], [-1]):
        with pytest.raises(ValueError, match=r"`distribution` must return counts whose sum is 12"):
            sparsity.prune(dense_net(4), 0.5, distribution=lambda *_, counts=counts: counts)


# With SAMModel


@pytest.mark.parametrize("rho", [0, 0.1])
@pytest.mark.parametrize("score", ["random", "snip"])
def test_masks_train_in_a_sam_model(rho, score):
    net = dense_net(16, 3)
    masks = sparsity.prune(net, 0.9, score, data=(X, Y), loss="mse")
    sam = SAMModel(net, rho=rho, masks=masks)
    sam.compile(keras.optimizers.Adam(0.01), "mse")
    before = [np.array(v) for v in net.trainable_variables]
    sam.fit(X, Y, epochs=3, batch_size=3, verbose=0)
    for variable, old in zip(net.trainable_variables, before, strict=True):
        value = np.array(variable)
        if variable.path in masks:
            mask = masks[variable.path]
            assert np.all(value[~mask] == 0.0)
            assert not np.signbit(value[~mask]).any()
            assert (value[mask] != old[mask]).any()
    assert sparsity.summary(sam).kept == kept(masks) + 16 + 3
