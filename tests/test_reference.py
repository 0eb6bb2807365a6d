"""The reference names everything that is public, and nothing that is not there."""

import importlib
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"
# Modules whose `__all__` is public, and names without one.
PUBLIC = ["keras_sam", "keras_sam.methods", "keras_sam.sparsity", "keras_sam.sharpness"]
OTHERS = {
    "keras_sam.optimizers.SGD",
    "keras_sam.callbacks.SharpnessCallback",
    "tuning.rho_search.RhoSearch",
    "tuning.rho_rule.RhoRule",
    "tuning.space.Space",
    "recipes.running.recipe.Recipe",
    "recipes.running.config.RunConfig",
}
# Modules of pages of their own, and the version, which is in the text.
ELSEWHERE = {"keras_sam.methods", "keras_sam.optimizers", "keras_sam.__version__"}


def entries():
    pages = [path.read_text() for path in REFERENCE.glob("*.md")]
    return [name for page in pages for name in re.findall(r"^::: (\S+)$", page, re.MULTILINE)]


def test_every_public_name_is_in_the_reference():
    modules = {name: importlib.import_module(name) for name in PUBLIC}
    public = {f"{name}.{member}" for name, module in modules.items() for member in module.__all__}
    schedules = importlib.import_module("keras_sam.schedules").__all__
    public |= {f"keras_sam.{name}" for name in schedules} | OTHERS
    assert public - ELSEWHERE - set(entries()) == set()


def test_every_entry_exists():
    for name in entries():
        module, member = name.rsplit(".", 1)
        assert hasattr(importlib.import_module(module), member), name


def test_no_entry_is_there_twice():
    assert sorted(set(entries())) == sorted(entries())


def test_examples_are_shown_as_code(monkeypatch):
    pytest.importorskip("griffe")
    monkeypatch.syspath_prepend(ROOT / "docs")
    from doctest_blocks import fenced

    shown = "A sum.\n\n```pycon\n>>> 1 + 1  # two\n2\n>>> 2\n2\n```\n\nThe end."
    assert fenced("A sum.\n\n>>> 1 + 1  # two\n2\n>>> 2\n2\n\nThe end.") == shown
    assert fenced("a\n\n    >>> 1\n    1") == "a\n\n    ```pycon\n    >>> 1\n    1\n    ```"
