import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from keras_sam.sparsity.structures import n_of_m, parse, top

# Few different values, so that there are ties.
SCORES = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=1, max_dims=4, max_side=6),
    elements=st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0]),
)


@given(SCORES, st.data())
def test_top_equals_a_stable_sort(scores, data):
    kept = data.draw(st.integers(0, scores.size))
    expected = np.zeros(scores.size, bool)
    expected[np.argsort(-scores.ravel(), kind="stable")[:kept]] = True
    np.testing.assert_array_equal(top(scores, kept), expected.reshape(scores.shape))


@given(st.data(), st.integers(1, 5))
def test_n_of_m_keeps_the_n_best_of_each_group(data, m):
    n = data.draw(st.integers(1, m))
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=4))
    axis = data.draw(st.integers(0, len(shape) - 1))
    shape = tuple(s * m if i == axis else s for i, s in enumerate(shape))
    scores = np.random.default_rng(0).normal(size=shape)
    mask = n_of_m(scores, n, m, axis)
    assert mask.shape == shape
    for index in np.ndindex(*(s for i, s in enumerate(shape) if i != axis)):
        line = (*index[:axis], slice(None), *index[axis:])
        for start in range(0, shape[axis], m):
            group = scores[line][start : start + m]
            kept = mask[line][start : start + m]
            assert kept.sum() == n
            assert group[kept].min() >= np.delete(group, np.flatnonzero(kept)).max(initial=-np.inf)


def test_n_of_m_ties_go_to_the_first():
    scores = np.tile([0.0, 1.0], 500)
    np.testing.assert_array_equal(np.flatnonzero(n_of_m(scores, 3, 1000, 0)), [1, 3, 5])


def test_parse():
    assert parse("unstructured") is None
    assert parse("2:4") == (2, 4)


@pytest.mark.parametrize("structure", ["2/4", "5:4", "0:4", "", None, 4, "2:4 "])
def test_unknown_structure(structure):
    with pytest.raises(ValueError, match='"unstructured" or "N:M"'):
        parse(structure)
