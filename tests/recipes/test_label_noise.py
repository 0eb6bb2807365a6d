"""Label noise: how many labels are wrong, which values they take, and what they depend on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.datasets.label_noise import NOISE_KINDS, label_shifts, noisy_labels

labels_strategy = st.integers(2, 12).flatmap(
    lambda classes: st.tuples(
        st.just(classes), st.lists(st.integers(0, classes - 1), min_size=0, max_size=200)
    )
)


@given(
    labels_strategy,
    st.floats(0, 1),
    st.sampled_from(NOISE_KINDS),
    st.integers(0, 2**32),
)
def test_exactly_the_rounded_share_of_labels_is_wrong(labels, rate, kind, seed):
    classes, clean = labels[0], np.array(labels[1], np.int64)
    noisy = noisy_labels(clean, classes, rate, kind, seed)
    assert np.count_nonzero(noisy != clean) == round(rate * clean.size)
    assert noisy.dtype == clean.dtype
    assert noisy.shape == clean.shape
    assert np.all((noisy >= 0) & (noisy < classes))


def test_pair_flip_turns_each_class_into_the_next_one():
    clean = np.array([0, 1, 2, 3, 3, 0])
    noisy = noisy_labels(clean, classes=4, label_noise=1.0, noise_kind="pair_flip")
    np.testing.assert_array_equal(noisy, [1, 2, 3, 0, 0, 1])


def test_symmetric_noise_is_uniform_over_the_other_classes():
    shifts = label_shifts(90_000, classes=10, label_noise=1.0, seed=1)
    counts = np.bincount(shifts, minlength=10)
    assert counts[0] == 0
    # 9 classes, 10,000 expected in each; the standard deviation of a count is 94.
    assert np.all(np.abs(counts[1:] - 10_000) < 5 * 94)


def test_flipped_positions_are_uniform_over_the_examples():
    flipped = np.flatnonzero(label_shifts(100_000, classes=10, label_noise=0.4, seed=2))
    # 4,000 of each 10,000 examples expected; the standard deviation of a count is below 49.
    counts = np.bincount(flipped // 10_000, minlength=10)
    assert np.all(np.abs(counts - 4_000) < 5 * 49)


def test_same_seed_same_noise_other_seed_other_noise():
    first, again, other = (label_shifts(1000, 10, 0.5, "symmetric", seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)


def test_the_input_is_left_as_it_is():
    clean = np.zeros(10, np.int32)
    noisy = noisy_labels(clean, classes=3, label_noise=1.0)
    assert noisy.dtype == np.int32
    np.testing.assert_array_equal(clean, np.zeros(10))


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan"), float("inf")])
def test_bad_rate(rate):
    with pytest.raises(ValueError, match=r"`label_noise` must be .*Received: `label_noise="):
        label_shifts(10, 10, rate)


def test_unknown_kind_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"symmetric.*pair_flip.*Received: `noise_kind='asymm'`"):
        label_shifts(10, 10, 0.1, "asymm")


def test_bad_classes_and_labels():
    with pytest.raises(ValueError, match="`classes` must be >= 2"):
        label_shifts(10, 1, 0.1)
    with pytest.raises(ValueError, match="must lie in"):
        noisy_labels(np.array([0, 5]), classes=5, label_noise=0.5)
    with pytest.raises(ValueError, match="vector of integers"):
        noisy_labels(np.array([0.0, 1.0]), classes=5, label_noise=0.5)
