"""Sharpness-Aware Minimization for Keras 3."""

from keras_sam import methods, optimizers
from keras_sam.sam_model import SAMModel
from keras_sam.schedules import Every, Follow, Late
from keras_sam.version import __version__

__all__ = ["Every", "Follow", "Late", "SAMModel", "__version__", "methods", "optimizers"]
