"""The examples of the docstrings run as they stand."""

import doctest
import importlib
import pkgutil

import pytest

import keras_sam.sparsity

MODULES = [module.name for module in pkgutil.iter_modules(keras_sam.sparsity.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(f"keras_sam.sparsity.{name}")
    assert doctest.testmod(module).failed == 0
