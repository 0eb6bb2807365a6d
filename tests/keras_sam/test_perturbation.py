import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from keras import ops

from keras_sam.methods import layerwise, sign
from keras_sam.perturbation import global_norm, perturbation
from keras_sam.vectors import unit
from tests.keras_sam import reference

VARIANTS = [(True, False), (False, False), (True, True), (False, True)]
ARRAYS = hnp.arrays(
    np.float32, hnp.array_shapes(max_dims=3, max_side=4), elements=st.floats(-8, 8, width=16)
)


def test_normalized_by_hand():
    w = [ops.convert_to_tensor([1.0]), ops.convert_to_tensor([[2.0, 0.0]])]
    g = [ops.convert_to_tensor([3.0]), ops.convert_to_tensor([[0.0, 4.0]])]
    e = perturbation()(w, g, 0.1)
    np.testing.assert_allclose(e[0], [0.06], rtol=1e-6)
    np.testing.assert_allclose(e[1], [[0.0, 0.08]], rtol=1e-6)


def test_adaptive_by_hand():
    # T = [1.01, 2.01], T g = [3.03, 8.04], ||T g|| = 8.5920..., e = 0.5 * T^2 g / ||T g||
    w = [ops.convert_to_tensor([-1.0, 2.0])]
    g = [ops.convert_to_tensor([3.0, 4.0])]
    length = (3.03**2 + 8.04**2) ** 0.5
    expected = [0.5 * 1.01**2 * 3 / length, 0.5 * 2.01**2 * 4 / length]
    np.testing.assert_allclose(perturbation(adaptive=True)(w, g, 0.5)[0], expected, rtol=1e-6)


@pytest.mark.parametrize(("normalize", "adaptive"), VARIANTS)
@settings(max_examples=25)
@given(
    weights=st.lists(ARRAYS, min_size=1, max_size=3),
    rho=st.floats(0, 4, width=16),
    seed=st.integers(0, 99),
)
def test_equals_numpy(normalize, adaptive, weights, rho, seed):
    rng = np.random.default_rng(seed)
    grads = [rng.normal(size=w.shape).astype("float32") for w in weights]
    e = perturbation(normalize, adaptive)(
        [ops.convert_to_tensor(w) for w in weights], [ops.convert_to_tensor(g) for g in grads], rho
    )
    expected = reference.perturbation(
        [w.astype("float64") for w in weights],
        [g.astype("float64") for g in grads],
        rho,
        normalize,
        adaptive,
    )
    for ours, theirs in zip(e, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize(("normalize", "adaptive"), VARIANTS)
def test_zero_gradient_gives_zero_not_nan(normalize, adaptive):
    (e,) = perturbation(normalize, adaptive)([ops.ones(3)], [ops.zeros(3)], 0.1)
    np.testing.assert_array_equal(e, np.zeros(3))


@pytest.mark.parametrize(("normalize", "adaptive"), VARIANTS)
def test_unused_weight_has_no_perturbation_and_no_share_in_the_norm(normalize, adaptive):
    ascent = perturbation(normalize, adaptive)
    w, g = ops.convert_to_tensor([1.0, 2.0]), ops.convert_to_tensor([3.0, 4.0])
    alone = ascent([w], [g], 0.1)
    beside = ascent([ops.ones(5), w], [None, g], 0.1)
    assert beside[0] is None
    np.testing.assert_array_equal(alone[0], beside[1])


def test_norm_is_accumulated_in_float32():
    # 4096 squares of 1 in float16 or bfloat16 would stop growing long before their sum.
    for dtype in ("float16", "bfloat16"):
        length = global_norm([ops.ones(4096, dtype), ops.ones(4096, dtype), None])
        assert length.dtype == ops.ones((), "float32").dtype
        np.testing.assert_allclose(length, np.sqrt(8192.0), rtol=1e-6)


def test_perturbation_keeps_the_dtype_of_the_weight():
    w, g = ops.ones(4, "bfloat16"), ops.ones(4, "bfloat16")
    (e,) = perturbation()([w], [g], 0.5)
    assert e.dtype == w.dtype
    np.testing.assert_allclose(ops.cast(e, "float32"), np.full(4, 0.25), rtol=1e-2)


# Gradients of every size: squares that overflow, a norm that is no float32, squares that vanish.
SIZES = [1e-36, 1e-30, 1e-20, 1e-13, 1e-6, 1.0, 1e13, 1.8e13, 1e14, 1e20, 1e25, 6e37]
GEOMETRIES = {
    "normalized": (perturbation(), lambda w, g, rho: reference.perturbation(w, g, rho)),
    "adaptive": (
        perturbation(adaptive=True),
        lambda w, g, rho: reference.perturbation(w, g, rho, adaptive=True),
    ),
    "layerwise": (
        layerwise,
        lambda w, g, rho: [
            reference.perturbation([g_w], [g_w], rho * reference.norm([w_w]))[0]
            for w_w, g_w in zip(w, g)
        ],
    ),
    "sign": (sign, lambda w, g, rho: [rho * np.sign(g_w) for g_w in g]),
    "unnormalized": (
        perturbation(normalize=False),
        lambda w, g, rho: reference.perturbation(w, g, rho, normalize=False),
    ),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_gradients_of_every_size(geometry, size):
    ascent, expected = GEOMETRIES[geometry]
    w = [np.array([30.0, -2.0]), np.array([[0.5, 3.0, 1.0]])]
    g = [np.array([3.0, -4.0]) * size, np.array([[0.5, -0.25, 0.0]]) * size]
    e = ascent(
        [ops.convert_to_tensor(w_w, "float32") for w_w in w],
        [ops.convert_to_tensor(g_w, "float32") for g_w in g],
        0.05,
    )
    for ours, theirs in zip(e, expected(w, g, 0.05)):
        # Below what float32 can tell from 0 (XLA takes denormal numbers for it) there is nothing.
        np.testing.assert_allclose(ops.convert_to_numpy(ours), theirs, rtol=2e-5, atol=2e-38)


@pytest.mark.parametrize("size", SIZES[:-1])
def test_norm_and_unit_of_every_size(size):
    g = [ops.convert_to_tensor([3.0 * size, 0.0], "float32"), None, ops.full((1,), -4.0 * size)]
    np.testing.assert_allclose(ops.convert_to_numpy(global_norm(g)), 5 * size, rtol=1e-5)
    first, none, last = unit(g)
    assert none is None
    np.testing.assert_allclose(ops.convert_to_numpy(first), [0.6, 0.0], rtol=1e-5)
    np.testing.assert_allclose(ops.convert_to_numpy(last), [-0.8], rtol=1e-5)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="float64 only if told at the start")
@pytest.mark.parametrize("size", [1e-300, 1e-13, 1.0, 1e140, 4e144, 1e200, 1e306])
def test_float64_gradients_of_every_size(size):
    w, g = np.array([30.0, -2.0]), np.array([3.0, -4.0]) * size
    for adaptive in (False, True):
        (e,) = perturbation(adaptive=adaptive)(
            [ops.convert_to_tensor(w)], [ops.convert_to_tensor(g)], 0.05
        )
        # By hand, as the squares overflow in NumPy as well.
        scale = np.abs(w) + 0.01 if adaptive else np.ones(2)
        length = np.hypot(*(scale * g / 1e5)) * 1e5 + 1e-12
        np.testing.assert_allclose(
            ops.convert_to_numpy(e), 0.05 * scale**2 * (g / length), rtol=1e-14
        )
