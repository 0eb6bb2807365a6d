"""The examples in the docstrings of recipes.theory run."""

import doctest
import importlib
import pkgutil

import pytest

import recipes.theory

MODULES = [
    module.name
    for module in pkgutil.walk_packages(recipes.theory.__path__, "recipes.theory.")
    if not module.name.endswith("__main__")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0
