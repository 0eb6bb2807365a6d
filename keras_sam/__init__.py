"""Sharpness-Aware Minimization for Keras 3."""

from keras_sam import optimizers
from keras_sam.sam_model import SAMModel

__all__ = ["SAMModel", "optimizers"]
