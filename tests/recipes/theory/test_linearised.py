"""The linearised regime: output 0 at w0, stability by hand, what alpha changes."""

import keras
import numpy as np
import pytest
from keras import ops

from recipes.theory.linearised.centred import (
    Centred,
    activity,
    movement,
    perceptron,
    stability,
    vgg11,
)
from recipes.theory.linearised.measure import Setting, measure
from recipes.theory.training import Member, train


def test_output_is_exactly_0_at_first_and_only_f_is_trained():
    one = Centred(lambda: perceptron((5,), 3, 0.1, seed=0), alpha=100.0)
    x = np.random.default_rng(0).normal(size=(4, 5)).astype("float32")
    assert not ops.convert_to_numpy(one.model(x)).any()
    assert len(one.model.trainable_variables) == 6
    assert stability(one.network, one.initial, x) == 1
    assert movement(one.network, one.initial) == 0
    # Twice the last kernel: alpha times what f has gained.
    kernel = one.network.trainable_variables[-2]
    kernel.assign(2 * kernel)
    expected = 100 * ops.convert_to_numpy(one.initial(x))
    np.testing.assert_allclose(ops.convert_to_numpy(one.model(x)), expected, rtol=1e-4, atol=1e-4)


def test_stability_and_movement_by_hand():
    """Two neurons on x = -1, 1, 2: w = (1, -1) at first, then (1, 2)."""

    def two(weights):
        inputs = keras.Input((1,))
        layer = keras.layers.Dense(2, "relu", use_bias=False)
        model = keras.Model(inputs, keras.layers.Dense(1, use_bias=False)(layer(inputs)))
        model.set_weights([np.array([weights]), np.zeros((2, 1))])
        return model

    x = np.array([[-1.0], [1.0], [2.0]], "float32")
    before, after = two([1.0, -1.0]), two([1.0, 2.0])
    assert activity(before, x).tolist() == [[False, True], [True, False], [True, False]]
    assert stability(after, before, x) == 0.5
    assert stability(after, before, x[:1]) == 0.5
    assert movement(after, before) == pytest.approx(4.5**0.5)  # ||(0, 3)|| / ||(1, -1)||
    np.testing.assert_array_equal(activity(before, x, batch_size=2), activity(before, x))


def linear_outputs(alpha, rho, normalize):
    """alpha h of a linear model after 5 steps."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, 4)).astype("float32")
    y = rng.normal(size=(6, 2)).astype("float32")

    def build(seed):
        def f():
            inputs = keras.Input((4,))
            start = keras.initializers.HeNormal(seed=seed)
            return keras.Model(inputs, keras.layers.Dense(2, kernel_initializer=start)(inputs))

        return Centred(f, alpha).model

    ((_, model, _),) = train(
        build,
        [Member(0, rho)],
        lambda _: (x, y),
        lambda: keras.optimizers.SGD(0.1, momentum=0.9),
        lambda y, z: ops.sum(ops.square(z - y), axis=-1) / (2 * alpha**2),
        batch_size=6,
        epochs=5,
        normalize=normalize,
    )
    return ops.convert_to_numpy(model(x))


def test_a_linear_model_s_course_does_not_depend_on_alpha_if_the_radius_shrinks_with_it():
    one = linear_outputs(1.0, 0.3, normalize=True)
    np.testing.assert_allclose(linear_outputs(16.0, 0.3 / 16, normalize=True), one, atol=2e-5)
    # Nor with one unnormalised radius.
    unnormalised = linear_outputs(1.0, 0.3, normalize=False)
    np.testing.assert_allclose(linear_outputs(16.0, 0.3, normalize=False), unnormalised, atol=2e-5)
    # But with one normalised radius it does.
    assert np.abs(linear_outputs(16.0, 0.3, normalize=True) - one).max() > 0.1


def test_a_run_on_digits():
    common = {"width": 0.1, "train_size": 100, "epochs": 2}
    settings = [
        Setting(**common, alpha=10.0, rho=rho, scale=scale)
        for rho, scale in ((0.0, "fixed"), (0.1, "fixed"), (0.1, "alpha"))
    ]
    found = dict(measure(settings))
    for values in found.values():
        assert 0 < values["accuracy"] <= 1
        assert 0 < values["stability"] < 1
        assert 0 < values["movement"] < 1
        assert values["loss"] > 0
    assert len({values["loss"] for values in found.values()}) == 3


def test_scales():
    assert Setting(alpha=10.0, rho=0.1).radius == 0.1
    assert Setting(alpha=10.0, rho=0.1, scale="alpha").radius == pytest.approx(0.01)
    assert Setting(alpha=10.0, scale="alpha") == Setting(alpha=10.0)
    assert Setting(rho=0.1, scale="alpha") == Setting(rho=0.1)


def test_perceptron():
    """64, 128, 128 and 10 units; hidden ones by the width, one at least."""
    assert perceptron((64,), 10, 1.0, seed=0).count_params() == 65 * 128 + 129 * 128 + 129 * 10
    assert perceptron((5,), 3, 0.001, seed=0).count_params() == 6 + 2 + 6


def test_vgg11():
    """Eight convolutions and one dense layer, 32 x 32 images halved five times."""
    network = vgg11((32, 32, 3), 10, 1.0, seed=0)
    kernels = [v.shape for v in network.trainable_variables if len(v.shape) > 1]
    assert [tuple(shape)[-1] for shape in kernels] == [64, 128, 256, 256, 512, 512, 512, 512, 10]
    assert tuple(kernels[-1]) == (512, 10)
    small = vgg11((32, 32, 3), 10, 0.05, seed=0)
    x = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    channels = [3, 6, 13, 13, 26, 26, 26, 26]
    sizes = [32, 16, 8, 8, 4, 4, 2, 2]
    ratio = activity(small, x).shape[1] / sum(c * s * s for c, s in zip(channels, sizes))
    assert ratio == 1


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"alpha": 0.0}, "alpha"),
        ({"rho": np.inf}, "rho"),
        ({"scale": "rho"}, "scale"),
        ({"dataset": "mnist"}, "dataset"),
        ({"train_size": 0}, "train_size"),
    ],
)
def test_bad_settings(changes, name):
    with pytest.raises(ValueError, match=f"`{name}` must be .* Received: `{name}="):
        Setting(**changes)


def test_more_examples_than_there_are():
    with pytest.raises(ValueError, match="`train_size` must be at most 1400"):
        next(iter(measure([Setting(train_size=2000)])))
