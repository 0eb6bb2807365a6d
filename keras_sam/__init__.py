"""Sharpness-Aware Minimization for Keras 3."""

from keras_sam import methods, optimizers
from keras_sam.sam_model import SAMModel
from keras_sam.schedules import Every, Follow, Late

__all__ = ["Every", "Follow", "Late", "SAMModel", "methods", "optimizers"]
