"""When there is a perturbation, and how far it goes."""

import re

import keras
import numpy as np
import pytest

from keras_sam import Every, Follow, Late

DECAY = keras.optimizers.schedules.PolynomialDecay(0.4, 4, 0.0)


def values(schedule, steps=6):
    return [float(schedule(step)) for step in range(steps)]


def test_every():
    assert values(Every(0.5, 3), 7) == [0.5, 0, 0, 0.5, 0, 0, 0.5]
    assert values(Every(0.5, 1)) == [0.5] * 6
    np.testing.assert_allclose(values(Every(DECAY, 2)), [0.4, 0, 0.2, 0, 0, 0], rtol=1e-6)


def test_late():
    assert values(Late(0.5, 4)) == [0, 0, 0, 0, 0.5, 0.5]
    assert values(Late(0.5, 0)) == [0.5] * 6
    assert values(Late(Every(0.5, 2), 3)) == [0, 0, 0, 0, 0.5, 0]


@pytest.mark.parametrize(
    ("share", "total", "start"), [(0.5, 6, 3), (0.9, 10, 9), (0, 6, 0), (1.0, 6, 6), (0.75, 7, 5)]
)
def test_late_as_a_share_of_the_training(share, total, start):
    assert Late(0.5, share, total).start == start


def test_follow():
    np.testing.assert_allclose(values(Follow(DECAY, 0.1, 0.5)), [0.5, 0.4, 0.3, 0.2, 0.1, 0.1])
    # (lr - 0.1) / (0.3 - 0.1), no less than 0 and no more than 1.
    ranged = Follow(DECAY, 0.0, 1.0, lr_min=0.1, lr_max=0.3)
    np.testing.assert_allclose(values(ranged), [1, 1, 0.5, 0, 0, 0], atol=1e-6)
    falling = Follow(DECAY, rho_min=0.5, rho_max=0.1)
    np.testing.assert_allclose(values(falling), [0.1, 0.2, 0.3, 0.4, 0.5, 0.5], rtol=1e-6)


def test_follow_counts_from_the_end_of_a_warmup():
    warm = keras.optimizers.schedules.CosineDecay(0.0, 10, warmup_target=0.8, warmup_steps=2)
    np.testing.assert_allclose(values(Follow(warm, 0.0, 1.0), 3), [0.0, 0.5, 1.0], atol=1e-6)


def test_steps_may_be_the_optimizers_variable():
    optimizer = keras.optimizers.SGD(0.1)
    w = keras.Variable([1.0])
    seen = []
    for _ in range(3):
        seen.append([float(s(optimizer.iterations)) for s in (Every(1.0, 2), Late(1.0, 1))])
        optimizer.apply([w * 0.0], [w])
    assert seen == [[1, 0], [0, 1], [1, 1]]


@pytest.mark.parametrize(
    "schedule",
    [Every(0.5, 3), Every(DECAY, 2), Late(0.5, 3), Late(Every(0.5, 2), 1), Follow(DECAY, 0.1, 0.5)],
    ids=["every", "every of a schedule", "late", "late and every", "follow"],
)
def test_configs(schedule):
    config = keras.saving.serialize_keras_object(schedule)
    twin = keras.saving.deserialize_keras_object(config)
    assert type(twin) is type(schedule)
    assert values(twin) == values(schedule)
    assert twin.get_config() == schedule.get_config()


BAD = {
    "k 0": (lambda: Every(0.1, 0), ValueError, "`k` must be >= 1. Received: `k=0`"),
    "k 1.5": (lambda: Every(0.1, 1.5), TypeError, "`k` must be an int. Received: `k=1.5`"),
    "k True": (lambda: Every(0.1, True), TypeError, "`k` must be an int. Received: `k=True`"),
    "rho": (lambda: Every(-0.1, 2), ValueError, "`rho` must be finite and >= 0"),
    "rho nan": (lambda: Late(float("nan"), 2), ValueError, "`rho` must be finite and >= 0"),
    "rho text": (lambda: Every("0.1", 2), TypeError, "`rho` must be a number or a keras.optim"),
    "start": (lambda: Late(0.1, -1), ValueError, "`start` must be >= 0. Received: `start=-1`"),
    "share": (lambda: Late(0.1, 0.9), TypeError, "a share of the training with `total`"),
    "share 2": (lambda: Late(0.1, 2, total=10), ValueError, "`start` must be in [0, 1]"),
    "total": (lambda: Late(0.1, 0.5, total=0), ValueError, "`total` must be >= 1"),
    "total 1.5": (lambda: Late(0.1, 0.5, total=1.5), TypeError, "`total` must be an int or None"),
    "start text": (lambda: Late(0.1, "1", total=3), TypeError, "`start` must be a number"),
    "rate": (lambda: Follow(0.1, 0, 1), TypeError, "`learning_rate` must be a keras.optimizers"),
    "rho_min": (lambda: Follow(DECAY, -1, 1), ValueError, "`rho_min` must be finite and >= 0"),
    "rho_max": (lambda: Follow(DECAY, 0, "1"), TypeError, "`rho_max` must be a number"),
    "range": (lambda: Follow(DECAY, 0, 1, 0.4), ValueError, "`lr_min` must be below `lr_max`"),
    "unknown range": (
        lambda: Follow(Every(0.1, 2), 0, 1),
        ValueError,
        "`lr_max` must be given for a schedule that has no `initial_learning_rate`",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name):
    make, kind, message = BAD[name]
    with pytest.raises(kind, match="(?=.*Received: )" + re.escape(message)):
        make()
