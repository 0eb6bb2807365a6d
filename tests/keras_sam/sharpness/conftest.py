"""Everything here is compared in float64 where Keras computes in it, unless a test says float32."""

import keras
import pytest

from tests.keras_sam.sharpness.precision import DOUBLE


@pytest.fixture(autouse=True)
def _float64():
    if DOUBLE:
        yield from _precision("float64")
    else:
        yield


@pytest.fixture
def float32(_float64):
    """What users have by default."""
    yield from _precision("float32")


def _precision(name):
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx(name)
    keras.config.set_dtype_policy(name)
    yield
    keras.config.set_floatx(before[0])
    keras.config.set_dtype_policy(before[1])
