"""The spaces: what is refused, and what each strategy tries."""

import keras_tuner
import pytest

from tuning.search import search
from tuning.space import Space

GOAL = keras_tuner.Objective("score", direction="max")


def tried(space, score=lambda rho: rho, networks=("a",), epochs=9):
    trials = []

    def run(network, rho, epochs):
        trials.append((network, rho, epochs))
        return score(rho)

    search(networks, space, run, epochs=epochs)
    return trials


def test_a_grid_is_tried_point_by_point_after_the_plain_optimizer():
    trials = tried(Space(rhos=(0.2, 0.1)), networks=("a", "b"))
    assert trials == [(name, rho, None) for name in "ab" for rho in (0.0, 0.1, 0.2)]


def test_random_rhos_are_within_the_range_and_follow_from_the_seed():
    space = Space("random", rhos=(0.01, 0.2), trials=6)
    trials = tried(space)
    rhos = [rho for _, rho, _ in trials]
    assert rhos[0] == 0.0
    assert len(set(rhos)) == 7 == space.count
    assert all(0.01 <= rho <= 0.2 for rho in rhos[1:])
    assert tried(space) == trials
    assert tried(Space("random", rhos=(0.01, 0.2), trials=6, seed=1)) != trials


def test_bayesian_optimisation_closes_in_on_the_best():
    trials = tried(
        Space("bayesian", rhos=(0.01, 1.0), trials=12), score=lambda rho: -abs(rho - 0.1)
    )
    rhos = [rho for _, rho, _ in trials]
    assert len(rhos) == 13
    assert min(abs(rho - 0.1) for rho in rhos) < 0.02


def test_hyperband_trains_few_rhos_for_all_epochs():
    trials = tried(Space("hyperband", rhos=(0.01, 1.0)), epochs=9)
    epochs = [epochs for _, rho, epochs in trials if rho > 0]
    assert trials[0] == ("a", 0.0, None)
    assert set(epochs) == {1, 3, 9}
    assert epochs.count(1) > epochs.count(9)
    # The best of the short runs go on.
    longest = [rho for _, rho, epochs in trials if epochs == 9]
    shortest = [rho for _, rho, epochs in trials if epochs == 1]
    assert max(shortest) in longest


def test_a_rho_is_the_same_number_whether_or_not_it_went_through_float32():
    import numpy as np

    from tuning.space import rounded

    for rho in (0.05, 0.123456, 1 / 3, 0.0123):
        assert rounded(float(np.float32(rounded(rho)))) == rounded(rho)
    assert Space(rhos=(1 / 3,)).rhos == (0.333333,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"strategy": "genetic"}, "`strategy` must be one of grid, random, bayesian, hyperband"),
        ({"rhos": ()}, "`rhos` must be positive"),
        ({"rhos": (0.0, 0.1)}, "`rhos` must be positive"),
        ({"rhos": (float("inf"),)}, "`rhos` must be positive and finite"),
        ({"strategy": "random", "rhos": (0.1,)}, "`rhos` must give both ends"),
        ({"strategy": "random", "trials": 0}, "`trials` must be an integer >= 1"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message + ".*Received: `"):
        Space(**arguments)
