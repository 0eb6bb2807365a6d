"""The examples in the docstrings run."""

import doctest
import importlib
import pkgutil
import sys

import pytest

import keras_sam
from keras_sam import methods, schedules

MODULES = [
    "keras_sam.vectors",
    "keras_sam.perturbation",
    "keras_sam.sam_gradient",
    *(
        module.name
        for package in (methods, schedules)
        for module in pkgutil.iter_modules(package.__path__, package.__name__ + ".")
    ),
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    importlib.import_module(name)
    # Not as attributes: `keras_sam.methods.gsam` is the function.
    assert doctest.testmod(sys.modules[name]).failed == 0


def test_public_names():
    assert {"Every", "Follow", "Late", "SAMModel", "methods"} <= set(keras_sam.__all__)
    for package in (keras_sam, methods, schedules):
        for name in package.__all__:
            assert hasattr(package, name)
