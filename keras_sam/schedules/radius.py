"""What the schedules of rho share: a radius that is a number or another schedule."""

from typing import Any

import keras
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from keras_sam.validation import nonnegative


def check_radius(argument: str, rho: Any) -> Any:
    """Returns a radius that a schedule is made of: a float >= 0, or a schedule as it is."""
    if isinstance(rho, LearningRateSchedule):
        return rho
    return nonnegative(argument, rho, " or a keras.optimizers.schedules.LearningRateSchedule")


def radius_at(rho: Any, step: Any) -> Any:
    """The radius at a step, a scalar tensor."""
    value = rho(step) if callable(rho) else rho
    return ops.convert_to_tensor(value, keras.config.floatx())


def serialized(rho: Any) -> Any:
    """The radius as an entry of a config."""
    return keras.saving.serialize_keras_object(rho) if callable(rho) else rho


def deserialized(rho: Any) -> Any:
    """The radius from an entry of a config."""
    return keras.saving.deserialize_keras_object(rho) if isinstance(rho, dict) else rho
