"""Everything here is compared in float64, unless a test asks for float32."""

import keras
import pytest


@pytest.fixture(autouse=True)
def _float64():
    yield from precision("float64")


@pytest.fixture
def float32(_float64):
    """What users have by default."""
    yield from precision("float32")


def precision(name):
    if keras.backend.backend() == "jax":
        import jax

        jax.config.update("jax_enable_x64", name == "float64")
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx(name)
    keras.config.set_dtype_policy(name)
    yield
    keras.config.set_floatx(before[0])
    keras.config.set_dtype_policy(before[1])
    if keras.backend.backend() == "jax":
        jax.config.update("jax_enable_x64", before[0] == "float64")
