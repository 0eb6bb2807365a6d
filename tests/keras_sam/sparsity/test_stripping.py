import zlib

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from keras_sam import SAMModel, sparsity
from keras_sam.sparsity.storage import pack, unpack
from tests.keras_sam.sparsity.nets import dense_net


@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float64, np.float16, np.int64]),
        hnp.array_shapes(min_dims=0, max_dims=3, max_side=9),
        elements=st.sampled_from([0, 0, 0, 1, -2, 7]),
    )
)
def test_nothing_is_lost(array):
    found = unpack(pack(array), array.shape, array.dtype)
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


def test_bfloat16():
    array = np.array([0, 1.5, 0, -2], ml_dtypes.bfloat16)
    np.testing.assert_array_equal(unpack(pack(array), (4,), array.dtype), array)


def test_strip_gives_the_plain_net_with_zeros():
    net = dense_net(50, 40, inputs=60)
    masks = sparsity.prune(net, 0.95, "random")
    stripped = sparsity.strip(SAMModel(net, masks=masks))
    assert stripped.model is net
    for path, mask in masks.items():
        (value,) = (np.array(v) for v in net.weights if v.path == path)
        np.testing.assert_array_equal(value[~mask], 0.0)
    outputs = stripped.model.predict(np.ones((2, 60)), verbose=0)
    assert outputs.shape == (2, 40)


def test_sizes():
    net = dense_net(200, inputs=300)
    dense = sparsity.strip(net)
    # 300 * 200 + 200 floats; random numbers compress by the exponents' bits only.
    assert dense.dense_bytes == 4 * 60_200
    assert 0.9 < dense.ratio < 1.2
    sparse = sparsity.strip(SAMModel(net, masks=sparsity.prune(net, 0.95, "random")))
    assert sparse.dense_bytes == dense.dense_bytes
    # 3,000 floats, and a mask whose entropy is 0.286 bits a weight.
    least = 4 * 3_000 * 0.9 + 0.286 * 60_000 / 8
    assert least < sparse.compressed_bytes < 1.2 * (4 * 3_000 + 0.286 * 60_000 / 8)
    kernel = net.get_weights()[0]
    assert sparse.compressed_bytes < len(zlib.compress(kernel.tobytes(), 9))


def test_not_built():
    import keras

    with pytest.raises(ValueError, match="must be built"):
        sparsity.strip(keras.Sequential([keras.layers.Dense(2)]))
