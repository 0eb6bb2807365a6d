"""Rules and verdicts against numbers worked out by hand."""

import math

import pytest

from recipes.paper.row import (
    AGREES,
    DISAGREES,
    IN_PART,
    NOT_AFFORDABLE,
    NOT_SHOWN,
    OPEN,
    Row,
    verdict,
)
from recipes.paper.rules import Finding, about, above, below, falling, interval, rising, within
from recipes.paper.sample import Point, Sample


def sample(*values, x=0.0):
    return Sample(tuple(Point(x, y, seed) for seed, y in enumerate(values)))


def ladder(*rows):
    """The ys at x = 1, 2, ..."""
    return Sample(
        tuple(Point(x, y, seed) for x, ys in enumerate(rows, 1) for seed, y in enumerate(ys))
    )


def test_the_interval_is_students():
    # Mean 3, s = sqrt(2.5), n = 5; t(0.975; 4) = 2.7764.
    low, high = interval([1.0, 2.0, 3.0, 4.0, 5.0])
    half = 2.776445 * math.sqrt(2.5 / 5)
    assert (low, high) == pytest.approx((3 - half, 3 + half), rel=1e-6)


def test_a_mean_is_told_from_0_by_its_interval():
    # Mean 0.2, standard error 0.1 / sqrt(3) = 0.0577, t(0.975; 2) = 4.303: 0.2 -+ 0.248.
    unclear = sample(0.1, 0.2, 0.3)
    assert above(unclear).holds == below(unclear).holds == 0
    assert above(unclear).reason == "95 % interval -0.05 to +0.45"
    # Mean 0.3: 0.3 -+ 0.248.
    clear = sample(0.2, 0.3, 0.4)
    assert (above(clear).holds, below(clear).holds) == (1, -1)
    assert (above(sample(-0.2, -0.3, -0.4)).holds, below(sample(-0.2, -0.3, -0.4)).holds) == (-1, 1)
    assert above(sample(9.0, 9.1)) == Finding(0, "too few seeds for an interval")
    assert above(Sample(())).holds == 0


def test_of_several_sizes_the_largest_counts():
    assert above(ladder([-5.0, -5.1, -5.2], [0.2, 0.3, 0.4])).holds == 1


def test_a_mean_lies_within_limits_with_all_of_its_interval():
    # 2 -+ 4.303 * 0.01 / sqrt(3) = 2 -+ 0.025.
    values = sample(1.99, 2.0, 2.01)
    assert about(1.9, 2.1)(values).holds == 1
    assert about(1.99, 2.1)(values).holds == 0
    assert about(2.1, 3.0)(values).holds == -1


def test_a_trend_is_a_rank_correlation_with_its_p_value():
    # Ranks of x with ties: 1.5 1.5 3.5 3.5 5.5 5.5; of y 1 to 6: covariance 16, norms 16 and 17.5.
    rows = ladder([0.1, 0.2], [0.3, 0.4], [0.5, 0.6])
    found = rising(rows)
    correlation = 16 / math.sqrt(16 * 17.5)
    assert found.holds == 1
    assert found.reason.startswith(f"rank correlation +{correlation:.2f}, p 0.0028")
    assert falling(rows).holds == -1
    assert rising(ladder([0.3, 0.1], [0.2, 0.4], [0.1, 0.3])).holds == 0


def test_what_is_too_little_for_a_trend_tells_nothing():
    assert rising(ladder([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])).holds == 0  # Two sizes alone.
    assert rising(ladder([1.0], [2.0], [3.0])).holds == 0
    assert rising(ladder([1.0, 1.0], [1.0, 1.0], [1.0, 1.0])).reason == "the same everywhere"


def test_a_theorem_leaves_no_exception():
    rule = within(most=1.0)
    assert rule(sample(0.5, 1.0)) == Finding(1, "2 checked, 0 not <= 1; from 0.50 to 1.00")
    assert rule(sample(0.5, 1.01)) == Finding(-1, "2 checked, 1 not <= 1; from 0.50 to 1.01")
    assert (
        within(0.0, 1.0)(sample(-1.0)).reason
        == "1 checked, 1 not >= 0 and <= 1; from -1.00 to -1.00"
    )
    assert rule(Sample(())).holds == 0


@pytest.mark.parametrize(
    ("holds", "word"),
    [
        ((1, 1), AGREES),
        ((1, 0), IN_PART),
        ((1, -1), IN_PART),
        ((1, None), IN_PART),
        ((0, 0), NOT_SHOWN),
        ((0, None), NOT_SHOWN),
        ((0, -1), DISAGREES),
        ((-1, None), DISAGREES),
        ((None, None), OPEN),
        ((), OPEN),
    ],
    ids=str,
)
def test_a_verdict_follows_from_the_findings(holds, word):
    assert verdict([None if one is None else Finding(one, "") for one in holds]) == word


def test_what_is_too_much_for_our_machines_says_so_until_there_are_records():
    assert verdict([None], affordable=False) == NOT_AFFORDABLE
    assert verdict([Finding(1, "")], affordable=False) == AGREES


def test_a_row_is_never_empty():
    with pytest.raises(ValueError, match="must not all be empty"):
        Row("somewhere", "something", "-")
