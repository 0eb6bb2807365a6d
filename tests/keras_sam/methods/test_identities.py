"""What each method reduces to, what holds for each rule, and how many gradients a step takes.

"The same" is bit for bit, but on JAX within programs, whose branches XLA may fuse otherwise.
"""

import numpy as np
import pytest
from keras import ops

from keras_sam import Every, Late
from keras_sam.methods import (
    METHODS,
    Method,
    Only,
    ae_sam,
    friendly,
    gsam,
    layerwise,
    looksam,
    mix,
    msam,
    sign,
    vasso,
)
from keras_sam.perturbation import adaptive_normalized, normalized, unnormalized
from keras_sam.sam_gradient import sam_gradient
from tests.keras_sam.methods.problem import (
    BACKEND,
    RHO,
    SHAPES,
    B,
    H,
    Loss,
    W,
    double,
    flat,
    gradient,
    tensors,
    train,
)

# On JAX each operation is compiled when it is first met, which takes a minute here; what JAX may do
# otherwise is in test_trajectories.py.
pytestmark = [pytest.mark.slow] if BACKEND == "jax" else []

ALL, NONE, SECOND = (True, True), (False, False), (False, True)
STEPS = 6


def assert_same(a, b):
    if BACKEND == "jax":
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)
    else:
        np.testing.assert_array_equal(a, b)


def weights(*args, steps=STEPS, **kwargs):
    return train(*args, steps=steps, **kwargs)[0]


@pytest.fixture(scope="module")
def sam():
    return weights()


@pytest.fixture(scope="module")
def sgd():
    return weights(rho=0.0)


def test_the_two_ends_differ(sam, sgd):
    assert np.abs(sam - sgd).max() > 0.1


def test_sam_is_what_it_was_before_there_were_methods(sam):
    """The four lines, with the perturbation's own arithmetic, written out."""
    w, velocity = W, 0.0
    with double():
        for step in range(STEPS):
            loss = Loss(ops.convert_to_tensor(B[step], dtype="float64"))
            at = tensors(w)
            _, g = loss(at)
            length = ops.sqrt(ops.sum(ops.square(g[0])) + ops.sum(ops.square(g[1])))
            factor = RHO * (1.0 / (length + 1e-12))
            _, h = loss([a + b * factor for a, b in zip(at, g)])
            velocity = 0.9 * velocity + flat(h)
            w = w - 0.1 * velocity
            assert_same(sam[step], w)


@pytest.mark.parametrize("as_tensor", [False, True], ids=["number", "tensor"])
@pytest.mark.parametrize("name", METHODS)
def test_rho_zero_is_the_plain_optimizer(sgd, name, as_tensor):
    assert_same(weights(METHODS[name](), rho=0.0, as_tensor=as_tensor), sgd)


@pytest.mark.parametrize("name", METHODS)
def test_the_number_zero_leaves_the_state_alone(name):
    method, state = METHODS[name](), None
    with double():
        state = method.state(tensors(W))
        loss = Loss(ops.convert_to_tensor(B[0], dtype="float64"))
        result = sam_gradient(loss, tensors(W), 0.0, normalized, method, state)
    assert result.state is state
    assert loss.passes == 1


@pytest.mark.parametrize("make", [lambda: vasso(0.5), friendly, msam], ids=["vasso", "f", "msam"])
def test_averages_move_at_steps_without_a_perturbation(make):
    """Two such steps, then one with: the direction remembers them."""
    schedule = Late(RHO, 2)
    assert np.abs(weights(make(), rho=schedule) - weights(rho=schedule))[2:].max() > 1e-3


SAME_AS_SAM = {
    "rho as a tensor": dict(as_tensor=True),
    "gsam(0)": dict(method=gsam(0)),
    "mix(1)": dict(method=mix(1)),
    "friendly(0)": dict(method=friendly(0)),
    "vasso(1)": dict(method=vasso(1)),
    "looksam, every step": dict(method=looksam(0.5), rho=Every(RHO, 1)),
    "looksam, a number": dict(method=looksam(0.5)),
    "ae_sam(-inf)": dict(method=ae_sam(-np.inf)),
    "every step": dict(rho=Every(RHO, 1)),
    "late from the start": dict(rho=Late(RHO, 0)),
    "only: all": dict(perturbation=Only(ALL, normalized)),
    "one ascent step": dict(ascent_steps=1),
    "all at once": dict(method=friendly(0) | gsam(0), perturbation=Only(ALL, normalized)),
}


@pytest.mark.parametrize("settings", SAME_AS_SAM.values(), ids=SAME_AS_SAM)
def test_is_sam(sam, settings):
    assert_same(weights(**settings), sam)


SAME_AS_SGD = {
    "mix(0)": dict(method=mix(0)),
    "ae_sam(inf)": dict(method=ae_sam(np.inf)),
    "too late": dict(rho=Late(RHO, STEPS)),
    "only: none": dict(perturbation=Only(NONE, normalized)),
    "looksam before its first refresh": dict(method=looksam(0.5), rho=Late(RHO, STEPS)),
}


@pytest.mark.parametrize("settings", SAME_AS_SGD.values(), ids=SAME_AS_SGD)
def test_is_sgd(sgd, settings):
    assert_same(weights(**settings), sgd)


def test_looksam_without_its_direction_is_sam_at_every_kth_step():
    assert_same(weights(looksam(0), rho=Every(RHO, 4)), weights(rho=Every(RHO, 4)))


def test_gsam_without_its_term_on_some_weights_is_sam_on_these():
    only = Only(SECOND, normalized)
    assert_same(weights(gsam(0), perturbation=only), weights(perturbation=only))


def test_weighted_sam_is_a_mix():
    """WSAM(c): h = g + c / (1 - c) (g' - g); SAM for c = 1/2, SGD for 0."""
    c = 0.6
    w, velocity = W, 0.0
    expected = []
    for step in range(STEPS):
        g = gradient(w, step)
        g_perturbed = gradient(w + RHO * g / (np.linalg.norm(g) + 1e-12), step)
        velocity = 0.9 * velocity + g + c / (1 - c) * (g_perturbed - g)
        w = w - 0.1 * velocity
        expected.append(w)
    np.testing.assert_allclose(weights(mix(c / (1 - c))), expected, rtol=1e-10)


# A quadratic loss, where the gradient at w + e is that of a penalised loss.


def one(method=None, quadratic=True, **options):
    """What the optimizer gets at the first step."""
    return (
        W - weights(method, steps=1, learning_rate=1.0, quadratic=quadratic, **options)[0]
    ) / 1.0


G = H @ W + B[0]


def test_sam_on_a_quadratic_is_a_penalty_on_the_gradients_norm():
    """grad(L + rho ||grad L||) = g + rho H g / ||g||."""
    np.testing.assert_allclose(one(), G + RHO * H @ G / np.linalg.norm(G), rtol=1e-10)


def test_mix_on_a_quadratic_is_a_penalty_of_alpha_rho():
    expected = G + 0.7 * RHO * H @ G / np.linalg.norm(G)
    np.testing.assert_allclose(one(mix(0.7)), expected, rtol=1e-10)


def test_unnormalized_on_a_quadratic_is_a_penalty_on_the_square():
    """grad(L + rho/2 ||grad L||^2) = g + rho H g."""
    np.testing.assert_allclose(one(perturbation=unnormalized), G + RHO * H @ G, rtol=1e-10)


# What holds for each rule.


def vectors_at_w():
    """The gradient at w, and at w + e of SAM."""
    g = gradient(W, 0)
    return g, gradient(W + RHO * g / np.linalg.norm(g), 0)


def test_gsam_adds_something_across_the_perturbed_gradient():
    _, g_perturbed = vectors_at_w()
    h = one(gsam(0.4), quadratic=False)
    assert np.linalg.norm(h - g_perturbed) > 0.01
    assert abs((h - g_perturbed) @ g_perturbed) < 1e-13 * (g_perturbed @ g_perturbed)


def test_looksams_direction_is_a_unit_vector_across_the_gradient():
    g, g_perturbed = vectors_at_w()
    rule = looksam().descent
    with double():
        _, u = rule.perturbed(tensors(g), tensors(g_perturbed), rule.state(tensors(W)))
        u = flat(u)
    np.testing.assert_allclose(np.linalg.norm(u), 1.0, rtol=1e-13)
    assert abs(u @ g) < 1e-13 * np.linalg.norm(g)
    assert u @ g_perturbed > 0


def test_looksam_takes_no_direction_from_rounding():
    """Parallel gradients, as at a single weight: what is left of them is no direction."""
    rule = looksam().descent
    with double():
        g = tensors(gradient(W, 0))
        longer = [3.0 * t for t in g]
        _, u = rule.perturbed(g, longer, rule.state(g))
        np.testing.assert_array_equal(flat(u), 0.0)
        np.testing.assert_array_equal(flat(rule.plain(g, u)[0]), flat(g))


def test_looksam_makes_the_mean_of_directions_a_unit_vector_again():
    rule = looksam(0.5).descent
    with double():
        h, _ = rule.plain(tensors(G), tensors(0.1 * np.eye(10)[3]))
    expected = G + 0.5 * np.linalg.norm(G) * np.eye(10)[3]
    np.testing.assert_allclose(flat(h), expected, rtol=1e-10)


def test_friendly_with_the_papers_average_has_the_same_direction_for_sigma_one():
    """The paper takes m after g entered it: g - m_t = decay (g - m_(t-1)), a multiple of ours."""
    rule, m = friendly(1.0, 0.8).direction, None
    with double():
        state = rule.state(tensors(W))
        for step in range(4):
            g = gradient(W, step)
            d, state = rule(tensors(g), state)
            m = g if m is None else 0.8 * m + 0.2 * g
            if step > 0:
                np.testing.assert_allclose(flat(d), (g - m) / 0.8, rtol=1e-9, atol=1e-12)


GEOMETRIES = {
    "normalized": (normalized, lambda e: np.linalg.norm(flat(e))),
    "only": (Only(SECOND, normalized), lambda e: np.linalg.norm(flat(e[1:]))),
    "sign": (sign, lambda e: np.abs(flat(e)).max()),
    "layerwise": (
        layerwise,
        lambda e: np.linalg.norm(flat(e[:1])) / np.linalg.norm(W[:6]),
    ),
    "layerwise, second": (
        layerwise,
        lambda e: np.linalg.norm(flat(e[1:])) / np.linalg.norm(W[6:]),
    ),
    "adaptive": (
        adaptive_normalized,
        lambda e: np.linalg.norm(flat(e) / (np.abs(W) + 0.01)),
    ),
}


@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize("size", [1.0, 1e30, 1e-3])
def test_perturbations_have_the_length_rho_in_their_norm(name, size):
    perturbation, measure = GEOMETRIES[name]
    with double():
        e = perturbation(tensors(W), tensors(size * gradient(W, 0)), RHO)
        np.testing.assert_allclose(measure(e), RHO, rtol=1e-8)


def test_the_sign_is_that_of_the_gradient():
    with double():
        e = sign(tensors(W), tensors(G), RHO)
    np.testing.assert_allclose(flat(e), RHO * np.sign(G), rtol=1e-12)


HOMOGENEOUS = {
    **{name: METHODS[name]() for name in METHODS},
    "both": friendly() | gsam(),
    "three steps": Method(),
}


@pytest.mark.parametrize("name", HOMOGENEOUS)
def test_the_loss_scale_cancels_out(name):
    """Gradients times 1024, undone for the ascent alone: what the optimizer gets is 1024 times."""
    method, options = HOMOGENEOUS[name], {"ascent_steps": 3 if name == "three steps" else 1}
    results = []
    with double():
        for scale in (1.0, 1024.0):
            state = method.state(tensors(W))
            for step, rho in enumerate((RHO, 0.0, RHO)):
                loss = Loss(ops.convert_to_tensor(scale * B[step], dtype="float64"), scale)
                rho = rho if BACKEND == "jax" else ops.convert_to_tensor(rho, dtype="float64")
                h, state = sam_gradient(
                    loss,
                    tensors(W),
                    rho,
                    normalized,
                    method,
                    state,
                    unscale=lambda g, scale=scale: [t / scale for t in g],
                    **options,
                )[1:3]
                results.append(flat(h) / scale)
    for small, large in zip(results[:3], results[3:]):
        np.testing.assert_allclose(large, small, rtol=1e-10, atol=1e-12)


# Passes, counted in eager steps; in programs: test_passes.py.

PASSES = {
    "sam": (dict(), 2),
    "rho 0": (dict(rho=0.0), 1),
    "every 4th": (dict(rho=Every(RHO, 4)), 1.25),
    "late half": (dict(rho=Late(RHO, 2)), 1.5),
    "looksam": (dict(method=looksam(), rho=Every(RHO, 4)), 1.25),
    "gsam": (dict(method=gsam()), 2),
    "mix": (dict(method=mix()), 2),
    "friendly": (dict(method=friendly()), 2),
    "vasso": (dict(method=vasso()), 2),
    "msam": (dict(method=msam()), 1),
    "msam, switching": (dict(method=msam(), rho=Every(RHO, 4)), 1),
    "ae_sam, never": (dict(method=ae_sam(np.inf)), 1),
    "3 steps": (dict(ascent_steps=3), 4),
}


@pytest.mark.parametrize("name", PASSES)
def test_passes_a_step(name):
    if BACKEND == "jax":
        pytest.skip("JAX writes both branches down")
    settings, expected = PASSES[name]
    _, passes = train(steps=4, **settings)
    assert np.mean(passes) == expected


def test_what_a_step_saw_of_its_ascent():
    with double():
        loss = Loss(ops.convert_to_tensor(B[0], dtype="float64"))
        seen = sam_gradient(loss, tensors(W), RHO, observe=True).ascent
        at_rest = sam_gradient(loss, tensors(W), 0.0, observe=True).ascent
        unseen = sam_gradient(loss, tensors(W), RHO).ascent
    g = gradient(W, 0)

    def value(w):
        return w @ H @ w / 2 + 0.1 * np.sum(w**4) + B[0] @ w

    rise = value(W + RHO * g / np.linalg.norm(g)) - value(W)
    np.testing.assert_allclose([float(x) for x in seen], [np.linalg.norm(g), RHO, rise], rtol=1e-8)
    np.testing.assert_allclose([float(x) for x in at_rest], [np.linalg.norm(g), 0.0, 0.0])
    assert unseen is None


def test_a_gradient_of_none_stays_none():
    """A weight that the loss does not use has no direction, no state that moves, no descent."""

    def loss(w):
        return (ops.sum(w[0] ** 2), None), [2.0 * w[0], None]

    for name in METHODS:
        method = METHODS[name]()
        at = [ops.ones(2), ops.ones(3)]
        state = method.state(at)
        for rho in (0.5, ops.convert_to_tensor(0.0), ops.convert_to_tensor(0.5)):
            result = sam_gradient(loss, at, rho, normalized, method, state)
            assert result.gradients[1] is None
            state = result.state
            moved = [t for rule in state for t in rule if tuple(t.shape) == (3,)]
            for tensor in moved:
                np.testing.assert_array_equal(ops.convert_to_numpy(tensor), 0.0)


assert SHAPES == ((3, 2), (4,))  # What the slices above rest on.
