"""Signal and noise: the coordinates against networks in d dimensions, test errors, early ends."""

import numpy as np
import pytest

from recipes.theory.signal_noise import Task, draw, stack, vectors
from recipes.theory.signal_noise.measure import Setting, measure, task, trained

D, M, N = 60, 4, 8


class Direct:
    """The same network with its weights in d dimensions; mu lies along the first axis."""

    def __init__(self, signal, seed, scale=0.3):
        self.true, self.labels, noise, self.w = vectors(D, M, N, 0.2, scale, seed)
        mu = np.eye(D)[0] * signal
        self.patches = np.stack([self.true[:, None] * mu, np.pad(noise, ((0, 0), (1, 0)))], axis=1)
        self.sign = np.repeat([1.0, -1.0], M) / M

    def outputs(self, w, patches):
        return np.maximum(patches @ w.T, 0).sum(axis=1) @ self.sign

    def loss(self, w):
        return np.log1p(np.exp(-self.labels * self.outputs(w, self.patches))).mean()

    def gradient(self, w):
        slope = -self.labels / (1 + np.exp(self.labels * self.outputs(w, self.patches))) / N
        active = (self.patches @ w.T > 0) * self.sign
        return np.einsum("n,npr,npd->rd", slope, active, self.patches)

    def sam_step(self, eta, rho):
        g = self.gradient(self.w)
        self.w = self.w - eta * self.gradient(self.w + rho * g / np.linalg.norm(g))


def drawn(signal, seed, scale=0.3):
    return draw(signal, D, M, N, 0.2, scale, seed)


def test_direct_gradient_against_finite_differences():
    net = Direct(2.0, seed=0)
    direction = np.random.default_rng(1).normal(size=net.w.shape)
    h = 1e-6
    difference = (net.loss(net.w + h * direction) - net.loss(net.w - h * direction)) / (2 * h)
    assert difference == pytest.approx((net.gradient(net.w) * direction).sum(), rel=1e-6)


@pytest.mark.parametrize("rho", [0.0, 0.3])
def test_coordinates_are_the_network_in_d_dimensions(rho):
    nets = [Direct(2.0, seed=0), Direct(0.5, seed=1)]
    both = stack([drawn(2.0, 0), drawn(0.5, 1)])
    filters, eta, radius = both.start(), np.array([0.5, 0.2]), np.full(2, rho)
    assert both.norm(both.loss_and_gradient(filters)[1]) == pytest.approx(
        [np.linalg.norm(net.gradient(net.w)) for net in nets], rel=1e-12
    )
    for _ in range(30):
        loss, filters = both.sam_step(filters, eta, radius)
        assert loss == pytest.approx([net.loss(net.w) for net in nets], rel=1e-10)
        for net, step in zip(nets, eta):
            net.sam_step(step, rho)
    p, q = both.products(filters)
    covariance = both.noise_covariance(filters)
    for i, (net, signal) in enumerate(zip(nets, (2.0, 0.5))):
        np.testing.assert_allclose(p[i], signal * net.w[:, 0], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(q[i], net.w @ net.patches[:, 1].T, rtol=1e-9, atol=1e-12)
        across = net.w[:, 1:]
        np.testing.assert_allclose(covariance[i], across @ across.T, rtol=1e-9, atol=1e-12)


def test_test_error_against_new_examples():
    net, one = Direct(1.5, seed=0, scale=0.05), drawn(1.5, 0, scale=0.05)
    filters = one.start()
    for _ in range(40):
        _, filters = one.sam_step(filters, np.full(1, 0.5), np.full(1, 0.1))
        net.sam_step(0.5, 0.1)
    rng = np.random.default_rng(0)
    count = 100_000
    y = rng.choice([-1.0, 1.0], size=count)
    patches = np.zeros((count, 2, D), np.float32)
    patches[:, 0, 0] = 1.5 * y
    patches[:, 1, 1:] = rng.normal(size=(count, D - 1))
    error = np.mean(y * net.outputs(net.w.astype("float32"), patches) <= 0)
    assert 0.05 < error < 0.45
    found = one.test_error(filters, 50_000, seed=1)
    assert found == pytest.approx([error], abs=0.006)  # Four standard errors of both.


def run(**changes):
    settings = [Setting(**{"dimension": 200, "seed": seed, **changes}) for seed in range(3)]
    found = [values for _, values in measure(settings)]
    return {name: np.mean([values[name] for values in found]) for name in found[0]}


def test_a_strong_signal_is_learned_without_error():
    found = run(signal=10.0)
    assert found["error"] == found["equal_error"] == 0


def test_sgd_fits_the_noise_and_sam_does_not():
    sgd, sam = (run(signal=2.0, dimension=1000, rho=rho) for rho in (0.0, 0.03))
    assert sgd["error"] > 0.12
    assert sam["error"] < 0.02
    assert sgd["equal_error"] > sam["equal_error"] + 0.08
    assert sgd["equal_loss"] <= 0.1
    assert sam["equal_loss"] <= 0.1
    assert sam["loss"] > 0.5 > sgd["loss"]  # Part of it is that SAM is slower.


def test_at_one_radius_the_benefit_goes_with_the_width_and_with_a_growing_one_it_stays():
    common = {"signal": 2.0, "dimension": 2000, "width": 40, "max_epochs": 1}
    sgd, fixed, grown = (
        run(**common, rho=rho, rho_power=power)["error"]
        for rho, power in ((0.0, 0.0), (0.03, 0.0), (0.03, 1.0))
    )
    assert 0 < sgd - fixed < 0.15
    assert sgd - grown > 0.2


def test_each_network_ends_at_its_own_goal():
    settings = [Setting(signal=4.0, seed=seed) for seed in range(3)]
    whole = stack([task(setting) for setting in settings])
    goal = np.array([0.6, -np.inf, 0.3])
    filters, loss, steps = trained(whole, np.full(3, 0.1), np.zeros(3), goal, 60)
    assert steps[1] == 60
    assert 0 < steps[0] < steps[2] < 60
    assert (loss[[0, 2]] <= goal[[0, 2]]).all()
    for i in range(3):
        alone = whole.at(np.array([i]))
        here = alone.start()
        for _ in range(steps[i]):
            previous, here = alone.sam_step(here, np.full(1, 0.1), np.zeros(1))
        assert goal[i] < previous  # One step less was not enough.
        np.testing.assert_allclose(filters.noise[i], here.noise[0], rtol=1e-9, atol=1e-15)
        assert alone.loss_and_gradient(here)[0] == pytest.approx(loss[i])


def test_the_radius_grows_with_the_width():
    assert Setting(width=40, rho=0.03, rho_power=0.5).radius == pytest.approx(0.06)
    assert Setting(width=40, rho=0.03, rho_power=1.0).radius == pytest.approx(0.12)
    assert Setting(rho=0.0, rho_power=1.0) == Setting(rho=0.0)


def test_data_are_one_whatever_the_signal():
    weak, strong = (draw(signal, D, M, N, 0.2, 0.3, seed=0) for signal in (1.0, 5.0))
    assert isinstance(weak, Task)
    np.testing.assert_array_equal(weak.gram, strong.gram)
    np.testing.assert_array_equal(weak.labels, strong.labels)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"dimension": 1}, "dimension"),
        ({"signal": 0.0}, "signal"),
        ({"width": 0}, "width"),
        ({"rho": -0.1}, "rho"),
        ({"label_noise": 1.0}, "label_noise"),
        ({"until_loss": 0.0}, "until_loss"),
        ({"max_epochs": 0}, "max_epochs"),
    ],
)
def test_bad_settings(changes, name):
    with pytest.raises(ValueError, match=f"`{name}` must be .* Received: `{name}="):
        Setting(**changes)
