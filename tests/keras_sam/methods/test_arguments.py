"""SAMModel's arguments about methods: what they select, what they refuse, how they are saved."""

import re

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_sam import Every, Late, SAMModel
from keras_sam.methods import METHODS, Method, ae_sam, friendly, gsam, layerwise, looksam, msam
from tests.keras_sam import reference as linear
from tests.keras_sam.methods import models
from tests.keras_sam.methods.models import KERNEL, RHO, build, flat


def net():
    inputs = keras.Input((4, 4))
    x = layers.Dense(4, name="dense")(inputs)
    x = layers.LayerNormalization(name="layer_norm")(x)
    x = layers.MultiHeadAttention(2, 2, name="attention")(x, x)
    x = keras.Sequential([layers.BatchNormalization(name="batch_norm")], name="inner")(x)
    x = layers.RMSNormalization(name="rms")(x)
    x = layers.GroupNormalization(2, name="group")(x)
    return keras.Model(inputs, layers.LSTM(2, name="lstm")(x))


def chosen(perturb):
    model = net()
    sam = SAMModel(model, perturb=perturb)
    return {v.path for v, flag in zip(model.trainable_variables, sam.perturbation.flags) if flag}


def test_normalization_layers_are_told_by_their_class():
    expected = {"layer_norm/gamma", "layer_norm/beta", "rms/scale", "group/gamma", "group/beta"}
    paths = chosen("normalization")
    assert expected < paths
    assert {path.split("/")[-1] for path in paths - expected} == {"gamma", "beta"}
    assert all("batch_norm" in path for path in paths - expected)
    assert len(paths) == 7


def test_kernels_are_what_sparsity_calls_kernels():
    from keras_sam import sparsity

    assert chosen("kernels") == set(sparsity.prune(net(), 0.5))


def test_a_function_selects():
    assert chosen(lambda v: v.path.startswith("dense")) == {"dense/kernel", "dense/bias"}


def test_only_selected_weights_are_perturbed_and_the_norm_is_theirs():
    sam = build("late", rho=RHO, perturb="kernels")
    x, y = models.batch(0)
    sam.train_on_batch(x, y)
    w = [KERNEL.astype("float64"), np.zeros(3)]
    kernel_slope = linear.gradients(w, x, y)[0]
    up = [w[0] + RHO * kernel_slope / np.linalg.norm(kernel_slope), w[1]]
    expected = [a - 0.1 * g for a, g in zip(w, linear.gradients(up, x, y))]
    np.testing.assert_allclose(flat(sam), np.concatenate([a.ravel() for a in expected]), rtol=1e-4)


SCALES = {
    "eta": ({"adaptive": True, "eta": 0.3}, lambda w: [np.abs(w[0]) + 0.3, np.abs(w[1]) + 0.3]),
    "kernels": ({"adaptive": "kernels"}, lambda w: [np.abs(w[0]) + 0.01, np.ones(3)]),
    "unnormalized kernels": (
        {"adaptive": "kernels", "normalize": False, "eta": 0.0},
        lambda w: [np.abs(w[0]), np.ones(3)],
    ),
    "layerwise": ({"geometry": "layerwise"}, None),
}


@pytest.mark.parametrize(
    "name",
    [
        *("kernels", "layerwise"),
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("eta", "unnormalized kernels")),
    ],
)
def test_geometries_of_a_step(name):
    options, scales = SCALES[name]
    sam = build("late", rho=RHO, **options)
    sam.trainable_variables[1].assign(np.array([0.5, -1.0, 2.0]))
    x, y = models.batch(0)
    w = [KERNEL.astype("float64"), np.array([0.5, -1.0, 2.0])]
    g = linear.gradients(w, x, y)
    if scales is None:
        e = [RHO * np.linalg.norm(a) * b / np.linalg.norm(b) for a, b in zip(w, g)]
    else:
        t = scales(w)
        length = 1.0 if "normalize" in options else linear.norm([a * b for a, b in zip(t, g)])
        e = [RHO * a**2 * b / length for a, b in zip(t, g)]
    slopes = linear.gradients([a + b for a, b in zip(w, e)], x, y)
    sam.train_on_batch(x, y)
    expected = np.concatenate([(a - 0.1 * b).ravel() for a, b in zip(w, slopes)])
    np.testing.assert_allclose(flat(sam), expected, rtol=2e-4, atol=1e-5)


def test_a_geometry_may_be_a_function():
    def one_way(weights, gradients, rho):
        return [None if g is None else ops.ones_like(g) * rho for g in gradients]

    sam = build("late", rho=RHO, geometry=one_way)
    x, y = models.batch(0)
    w = np.concatenate([KERNEL.ravel(), np.zeros(3)])
    sam.train_on_batch(x, y)
    np.testing.assert_allclose(flat(sam), w - 0.1 * models.slope(w + RHO, x, y), rtol=1e-4)


def test_methods_by_name():
    for name, make in METHODS.items():
        assert SAMModel(models.build("late", compiled=False).model, method=name).method == make()


CONFIGS = {
    "gsam": {"method": gsam(0.3)},
    "looksam": {"method": looksam(0.3) | friendly(), "rho": Every(Late(0.1, 3), 5)},
    "ae_sam": {"method": ae_sam(-np.inf, 0.5), "perturb": "kernels"},
    "adaptive": {"adaptive": "kernels", "eta": 0.2, "ascent_steps": 3},
    "geometry": {"geometry": "sign", "log_ascent": True},
    "function": {"geometry": layerwise},
}


@pytest.mark.parametrize("name", CONFIGS)
def test_configs(name):
    sam = build("late", compiled=False, **CONFIGS[name])
    clone = SAMModel.from_config(sam.get_config())
    configs = [
        {key: value for key, value in model.get_config().items() if key != "model"}
        for model in (sam, clone)
    ]
    assert configs[0] == configs[1]
    for key, value in CONFIGS[name].items():
        if key != "rho":
            assert getattr(clone, key) == value


def test_an_old_config_means_what_it_meant():
    config = build("late", rho=0.2, compiled=False).get_config()
    for key in ("method", "perturb", "geometry", "eta", "ascent_steps", "log_ascent"):
        del config[key]
    sam = SAMModel.from_config(config)
    assert (sam.method, sam.perturb, sam.rho) == (Method(), "all", 0.2)


BAD = {
    "method": ({"method": "gsma"}, ValueError, "one of ['ae_sam', 'friendly', 'gsam', 'looksam'"),
    "method type": ({"method": 3}, TypeError, "`method` must be a keras_sam.methods.Method"),
    "method class": ({"method": gsam}, TypeError, "such as keras_sam.methods.gsam()"),
    "perturb": ({"perturb": "norm"}, ValueError, "one of ['all', 'kernels', 'normalization']"),
    "perturb type": ({"perturb": 3}, TypeError, "`perturb` must be one of"),
    "perturb none": ({"perturb": lambda v: False}, ValueError, "`perturb` must select a trainable"),
    "no norm": ({"perturb": "normalization"}, ValueError, "`perturb` must select a trainable"),
    "geometry": ({"geometry": "cube"}, ValueError, "`geometry` must be None, one of ['layerwise'"),
    "geometry type": ({"geometry": 3}, TypeError, "`geometry` must be None, one of"),
    "geometry, adaptive": (
        {"geometry": "sign", "adaptive": True},
        ValueError,
        "`geometry` replaces the perturbation that `normalize` and `adaptive` choose",
    ),
    "geometry, normalize": (
        {"geometry": "sign", "normalize": False},
        ValueError,
        "`geometry` replaces the perturbation",
    ),
    "eta": ({"eta": -1, "adaptive": True}, ValueError, "`eta` must be finite and >= 0"),
    "eta type": ({"eta": "1", "adaptive": True}, TypeError, "`eta` must be a number"),
    "eta alone": ({"eta": 0.1}, ValueError, "`eta` belongs to the scale of `adaptive`"),
    "adaptive": ({"adaptive": "biases"}, ValueError, '`adaptive` must be a bool or "kernels"'),
    "steps 0": ({"ascent_steps": 0}, ValueError, "`ascent_steps` must be >= 1"),
    "steps 1.5": ({"ascent_steps": 1.5}, TypeError, "`ascent_steps` must be an int"),
    "log": ({"log_ascent": 1}, TypeError, "`log_ascent` must be a bool"),
    "rho": ({"rho": 1e39}, ValueError, "`rho` must be at most 3.403e+38"),
    "msam": ({"method": msam(), "ascent_steps": 2}, ValueError, "`ascent_steps` must be 1"),
    "every": ({"method": ae_sam(), "rho": Every(0.1, 2)}, ValueError, "must not be an Every"),
    "sync": (
        {"rho": Every(0.1, 2), "ascent_steps": 2, "sync_perturbation": True},
        ValueError,
        "`ascent_steps` must be 1 where `sync_perturbation=True`",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name):
    options, kind, message = BAD[name]
    model = models.build("late", compiled=False).model
    with pytest.raises(kind, match="(?=(?s:.*)Received: )" + re.escape(message)):
        SAMModel(model, **options)


def test_a_rho_that_the_method_cannot_have_is_not_taken_on():
    sam = build("ae_sam")
    with pytest.raises(ValueError, match="must not be an Every with ae_sam"):
        sam.rho = Every(0.1, 2)
    assert sam.rho == RHO


def test_a_selection_of_nothing_in_a_net_that_is_not_built_changes_no_weight():
    model = keras.Sequential([layers.Dense(3)])
    sam = SAMModel(model, perturb="normalization")
    sam.compile("sgd", "mse")
    with pytest.raises(ValueError, match="`perturb` must select a trainable weight"):
        sam.fit(models.X, models.Y, verbose=0)
    assert int(sam.optimizer.iterations) == 0
    np.testing.assert_array_equal(ops.convert_to_numpy(model.layers[0].bias), np.zeros(3))
