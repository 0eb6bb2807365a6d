"""Teacher and student: the teacher's scale, parameters, what SGD and SAM share."""

import numpy as np
import pytest

from recipes.theory.teacher_student.measure import (
    Setting,
    Teacher,
    data,
    measure,
    network,
)

SMALL = {"width": 20, "epochs": 3, "examples": 300, "learning_rate": 0.01}


@pytest.fixture(scope="module")
def runs():
    rhos = (0.0, 1e-9, 0.2)
    settings = {rho: [Setting(**SMALL, rho=rho, seed=seed) for seed in (0, 1)] for rho in rhos}
    found = dict(measure([s for some in settings.values() for s in some]))
    return {(s.rho, s.seed): values for s, values in found.items()}


def test_teacher_has_mean_0_and_variance_1():
    for seed in range(3):
        x = np.random.default_rng(100 + seed).normal(size=(200_000, 100))
        y = Teacher.drawn(seed)(x)
        assert y.mean() == pytest.approx(0, abs=0.012)
        assert y.var() == pytest.approx(1, abs=0.02)


def test_teacher_has_no_test_error_and_noise_is_on_the_rest_alone():
    clean, noisy = data(0, 1000, 0.0), data(0, 1000, 0.5)
    teacher = Teacher.drawn(0)
    for x, y in clean:
        np.testing.assert_allclose(teacher(x.astype(float)), y[:, 0], atol=1e-5)
    x, y = noisy.test
    np.testing.assert_allclose(teacher(x.astype(float)), y[:, 0], atol=1e-5)
    for x, y in noisy[:2]:
        assert np.std(teacher(x.astype(float)) - y[:, 0]) == pytest.approx(0.5, rel=0.1)


@pytest.mark.parametrize("width", [100, 300])
def test_parameters(width):
    assert network(width, seed=0).count_params() == 102 * width + 1
    assert Setting(width=width).parameters == 102 * width + 1


def test_sgd_and_sam_share_weights_and_batches(runs):
    """At a tiny radius SAM is SGD: another start or order would be seen."""
    for seed in (0, 1):
        for name in ("train", "validation", "test"):
            near = runs[1e-9, seed][name]
            np.testing.assert_allclose(near, runs[0.0, seed][name], rtol=1e-4)
            assert abs(runs[0.2, seed][name][-1] / near[-1] - 1) > 1e-3
        assert runs[0.0, seed]["test"] != runs[0.0, 1 - seed]["test"]


def test_a_run_after_another_is_a_run_alone(runs):
    """Those of one width are one population."""
    for rho in (0.0, 0.2):
        ((_, alone),) = measure([Setting(**SMALL, rho=rho, seed=1)])
        np.testing.assert_allclose(alone["test"], runs[rho, 1]["test"], rtol=1e-6)


def test_last_and_selected(runs):
    for values in runs.values():
        assert len(values["test"]) == 3
        assert values["last"] == values["test"][-1]
        assert values["selected"] == values["test"][int(np.argmin(values["validation"]))]
        assert values["train_loss"] == values["train"][-1]


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"width": 0}, "width"),
        ({"rho": -0.1}, "rho"),
        ({"label_noise_std": np.nan}, "label_noise_std"),
        ({"learning_rate": 0.0}, "learning_rate"),
    ],
)
def test_bad_settings(changes, name):
    with pytest.raises(ValueError, match=f"`{name}` must be .* Received: `{name}="):
        Setting(**changes)
