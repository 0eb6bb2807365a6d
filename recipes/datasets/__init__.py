"""Datasets of the recipes, as batched tf.data pipelines: each function returns a `Data`."""

from recipes.datasets.cifar10 import cifar10
from recipes.datasets.data import Data
from recipes.datasets.digits import digits
from recipes.datasets.imagenet2012 import imagenet2012
from recipes.datasets.mnist import mnist

__all__ = ["Data", "cifar10", "digits", "imagenet2012", "mnist"]
