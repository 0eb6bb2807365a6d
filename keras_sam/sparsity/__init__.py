"""Pruning masks for any Keras 3 model: at initialisation, gradual or dynamic.

masks = sparsity.prune(model, 0.9, score="snip", data=(x, y), loss="mse")
model = SAMModel(model, rho=0, masks=masks)    # rho=0: the plain optimizer
print(sparsity.summary(model))
"""

from keras_sam.sparsity.budget import sparsity_for_budget
from keras_sam.sparsity.distributions import DISTRIBUTIONS
from keras_sam.sparsity.kernels import prunable
from keras_sam.sparsity.polynomial_pruning import PolynomialPruning
from keras_sam.sparsity.pruning import prune
from keras_sam.sparsity.rigl import RigL
from keras_sam.sparsity.scores import SCORES
from keras_sam.sparsity.set import SET
from keras_sam.sparsity.sparsity_summary import summary
from keras_sam.sparsity.stripping import strip

__all__ = [
    "DISTRIBUTIONS",
    "SCORES",
    "SET",
    "PolynomialPruning",
    "RigL",
    "prunable",
    "prune",
    "sparsity_for_budget",
    "strip",
    "summary",
]
