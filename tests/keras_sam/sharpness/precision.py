"""How closely results can be compared: on JAX and PyTorch Keras turns float64 into float32."""

import keras
import numpy as np

DOUBLE = keras.backend.backend() == "tensorflow"
SINGLE_TOLERANCE = 3e-5


def assert_close(actual, expected, tolerance=1e-9, each=False):
    """Compares within `tolerance` of the largest expected entry, or what float32 allows.

    With `each`, within `tolerance` of each entry itself, where Keras computes in float64.
    """
    expected = np.asarray(expected)
    if DOUBLE and each:
        np.testing.assert_allclose(actual, expected, rtol=tolerance)
        return
    if not DOUBLE:
        tolerance = max(tolerance, SINGLE_TOLERANCE)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * (scale or 1.0))
