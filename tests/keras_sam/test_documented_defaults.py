"""What a docstring says of a default is the signature's."""

import ast
import contextlib
import importlib
import inspect
import pkgutil
import re

import keras
import pytest

import keras_sam

ENTRY = re.compile(r"^ {4}\**(\w+): ", re.MULTILINE)
DEFAULT = re.compile(
    r"Defaults\s+to\s+(?:`([^`]+)`|(\"[^\"]*\")|([-+]?\d[\d.e+-]*\d|\d)(?=[.,:;)]))", re.DOTALL
)
# Files that begin with the name of a framework need it; the others may not be installed.
OTHERS = {"tensorflow", "jax", "torch"} - {keras.backend.backend()}


def documented(function):
    """The defaults that a docstring names, by argument; those in words are left out."""
    text = inspect.cleandoc(function.__doc__ or "")
    if "Args:" not in text:
        return {}
    text = re.split(r"\n(?=\w+:\n)", text.split("Args:\n", 1)[1])[0]
    starts = list(ENTRY.finditer(text))
    ends = [start.start() for start in starts[1:]] + [len(text)]
    found = {}
    for start, end in zip(starts, ends, strict=True):
        match = DEFAULT.search(text[start.end() : end])
        with contextlib.suppress(ValueError):  # Another argument's name.
            if match:
                found[start[1]] = ast.literal_eval(next(filter(None, match.groups())))
    return found


def public_callables():
    for info in pkgutil.walk_packages(keras_sam.__path__, "keras_sam."):
        if info.name.rpartition(".")[2].partition("_")[0] in OTHERS:
            continue
        module = importlib.import_module(info.name)
        for name, value in vars(module).items():
            ours = getattr(value, "__module__", None) == info.name and not name.startswith("_")
            if ours and (inspect.isclass(value) or inspect.isfunction(value)):
                yield f"{info.name}.{name}", value
                if inspect.isclass(value):
                    for method, function in vars(value).items():
                        if inspect.isfunction(function) and not method.startswith("_"):
                            yield f"{info.name}.{name}.{method}", function


CALLABLES = dict(public_callables())
NAMED = {name: documented(value) for name, value in CALLABLES.items()}


@pytest.mark.parametrize("name", sorted(name for name, found in NAMED.items() if found))
def test_documented_defaults_are_those_of_the_signature(name):
    parameters = inspect.signature(CALLABLES[name]).parameters
    wrong = {}
    for argument, default in NAMED[name].items():
        actual = parameters[argument].default if argument in parameters else "no such argument"
        if actual != default or isinstance(actual, bool) != isinstance(default, bool):
            wrong[argument] = f"documented {default!r}, in fact {actual!r}"
    assert wrong == {}


def test_they_are_found():
    assert (
        NAMED["keras_sam.sam_model.SAMModel"] | {"rho": 0.05, "eta": 0.01, "masks": None}
        == (NAMED["keras_sam.sam_model.SAMModel"])
    )
    assert NAMED["keras_sam.sparsity.rigl.RigL"]["frequency"] == 100
    assert NAMED["keras_sam.schedules.follow.Follow"].keys() >= {"lr_min"}
    assert sum(map(len, NAMED.values())) > 100
