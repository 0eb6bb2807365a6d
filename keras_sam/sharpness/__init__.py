"""Measures of the minima that training finds: Hessian spectrum, sharpness, loss landscapes.

Every measure takes `(model, data, ...)`, with a built and compiled `keras.Model` or SAMModel and
any finite batch source, or one `LossSurface` in place of both; leaves the model as it is; and gives
the same numbers for the same seed.
"""

from keras_sam.sharpness.block_lanczos import NotConvergedError
from keras_sam.sharpness.density import SpectralDensity, hessian_density
from keras_sam.sharpness.directions import filter_normalized
from keras_sam.sharpness.eigenvalues import hessian_eigenvalues
from keras_sam.sharpness.estimate import Estimate
from keras_sam.sharpness.hessian import HessianOperator
from keras_sam.sharpness.landscape import Landscape, loss_between, loss_landscape
from keras_sam.sharpness.loss_surface import LossSurface
from keras_sam.sharpness.non_uniformity import MomentDeviation, non_uniformity
from keras_sam.sharpness.plot import plot_landscapes
from keras_sam.sharpness.sam_sharpness import average_sharpness, sam_sharpness
from keras_sam.sharpness.trace import hessian_trace

__all__ = [
    "Estimate",
    "HessianOperator",
    "Landscape",
    "LossSurface",
    "MomentDeviation",
    "NotConvergedError",
    "SpectralDensity",
    "average_sharpness",
    "filter_normalized",
    "hessian_density",
    "hessian_eigenvalues",
    "hessian_trace",
    "loss_between",
    "loss_landscape",
    "non_uniformity",
    "plot_landscapes",
    "sam_sharpness",
]
