"""Sharpness-Aware Minimization for Keras 3."""

from keras_sam import methods, optimizers
from keras_sam.model_check import ModelCheck, check_model
from keras_sam.population import Member, Population
from keras_sam.sam_model import SAMModel
from keras_sam.schedules import Every, Follow, Late
from keras_sam.version import __version__

__all__ = [
    "Every",
    "Follow",
    "Late",
    "Member",
    "ModelCheck",
    "Population",
    "SAMModel",
    "__version__",
    "check_model",
    "methods",
    "optimizers",
]
