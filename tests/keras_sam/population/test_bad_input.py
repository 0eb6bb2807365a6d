"""What a population refuses, before anything is trained."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_sam import Member, Population
from keras_sam.memory import NotEnoughMemoryError
from tests.keras_sam.population.networks import X, Y, build, compiled, plain


@pytest.mark.parametrize(
    ("members", "error", "match"),
    [
        ([], ValueError, "one or more"),
        ([Member(0, 0.1), Member(1), Member(0, 0.1)], ValueError, "rho=0.1.* more than once"),
        ([0.1], TypeError, "of Member"),
        (Member(0), TypeError, "sequence of Member"),
    ],
)
def test_members(members, error, match):
    with pytest.raises(error, match=match):
        Population(plain, members)


def test_masks_tell_members_apart():
    masks = [[np.arange(20).reshape(4, 5) % k == 0, *[None] * 5] for k in (2, 3)]
    assert len(Population(plain, [Member(0, masks=mask) for mask in masks]).members) == 2
    with pytest.raises(ValueError, match="more than once"):
        Population(plain, [Member(0, masks=masks[0])] * 2)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"seed": -1}, ValueError, "seed"),
        ({"seed": 0.5}, TypeError, "seed"),
        ({"seed": 0, "rho": -1.0}, ValueError, "rho"),
        ({"seed": 0, "learning_rate": 0.0}, ValueError, "learning_rate"),
        ({"seed": 0, "weight_decay": -1.0}, ValueError, "weight_decay"),
        ({"seed": 0, "method": "sgd"}, ValueError, "method"),
        (
            {"seed": 0, "rho": keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)},
            TypeError,
            "not a schedule",
        ),
    ],
)
def test_a_member(arguments, error, match):
    with pytest.raises(error, match=match):
        Member(**arguments)


@pytest.mark.parametrize(
    "other",
    [
        lambda: build(1, units=6),
        lambda: build(1, rate=0.5),
        lambda: build(1, activation="relu"),
        lambda: plain(1),
    ],
    ids=["shapes", "dropout", "activation", "layers"],
)
def test_networks_of_other_architectures(other):
    with pytest.raises(ValueError, match="one architecture for all seeds.*seed 1"):
        Population(lambda seed: build(0) if seed == 0 else other(), [Member(0), Member(1)])


def test_what_build_returns():
    with pytest.raises(TypeError, match=r"must return a keras\.Model"):
        Population(lambda seed: None, [Member(0)])
    with pytest.raises(ValueError, match="not built"):
        Population(lambda seed: keras.Sequential([layers.Dense(1)]), [Member(0)])
    constrained = layers.Dense(1, kernel_constraint="max_norm")
    with pytest.raises(ValueError, match="constraints"):
        Population(lambda seed: keras.Sequential([keras.Input((2,)), constrained]), [Member(0)])
    with pytest.raises(TypeError, match="function of a seed"):
        Population(plain(0), [Member(0)]) if False else Population(3, [Member(0)])


def test_options_and_arguments():
    with pytest.raises(TypeError, match="sync_perturbation"):
        Population(plain, [Member(0)], sync_perturbation=True)
    with pytest.raises(ValueError, match="chunk"):
        Population(plain, [Member(0)], chunk=0)
    with pytest.raises(ValueError, match="`compile` must be called"):
        Population(plain, [Member(0)]).fit(X, Y, 8, verbose=0)
    population = compiled(Population(plain, [Member(0)]))
    with pytest.raises(ValueError, match="batch_size.*22.*batch_size=23"):
        population.fit(X, Y, batch_size=23)
    with pytest.raises(ValueError, match="same number"):
        population.fit(X, Y[:5], batch_size=2)
    with pytest.raises(TypeError, match="arrays"):
        population.fit(iter([1]), batch_size=2)
    with pytest.raises(ValueError, match="`order`"):
        population.train_epoch(X, Y, np.zeros((2, 1, 8), int))
    with pytest.raises(ValueError, match=r"`order`.*\(members, n\)"):
        population.train_epoch(X, Y, np.zeros((1, 1, 8), int), batch_size=8)
    with pytest.raises(ValueError, match="`batch_size`"):
        population.train_epoch(X, Y, np.zeros((1, 8), int), batch_size=0)
    with pytest.raises(ValueError, match="clipnorm"):
        population.compile(keras.optimizers.SGD(clipnorm=1.0), "mse")


def test_too_little_memory_says_what_would_fit(monkeypatch):
    # 63 weights and statistics of 4 bytes: 3 copies of each member's, 6 of those at work.
    monkeypatch.setattr("keras_sam.backend.programs.free_memory", lambda: 20_000)
    members = [Member(seed) for seed in range(10)]
    population = compiled(Population(plain, members, chunk=10, vectorize=True))
    with pytest.raises(NotEnoughMemoryError, match=r"10 members.*GiB.*`chunk=\d` fits.*chunk=10"):
        population.fit(X, Y, 8, verbose=0)
    history = compiled(Population(plain, members, vectorize=True)).fit(X, Y, 8, verbose=0)
    assert history["loss"].shape == (1, 10)
    monkeypatch.setattr("keras_sam.backend.programs.free_memory", lambda: 100)
    with pytest.raises(NotEnoughMemoryError, match="Not even"):
        compiled(Population(plain, members)).fit(X, Y, 8, verbose=0)
