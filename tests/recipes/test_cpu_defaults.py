"""Recipes, studies and benchmarks switch oneDNN on; the library changes nothing."""

import json
import os
import subprocess
import sys

import keras
import pytest

from recipes.running.runtime import Runtime

SHOW = """
import json, os, sys
names = "TF_ENABLE_ONEDNN_OPTS", "TF_CPP_MIN_LOG_LEVEL"
print(json.dumps([os.environ.get(name) for name in names]), "tensorflow" in sys.modules)
"""


def after(statement, **environment):
    """The two variables after an import, and whether it imported TensorFlow."""
    names = ("TF_ENABLE_ONEDNN_OPTS", "TF_CPP_MIN_LOG_LEVEL")
    inherited = {key: value for key, value in os.environ.items() if key not in names}
    done = subprocess.run(
        [sys.executable, "-c", statement + SHOW],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    variables, imported = done.stdout.strip().rsplit(" ", 1)
    return json.loads(variables), imported == "True"


@pytest.mark.parametrize("package", ["recipes", "tuning", "tests.benchmarks"])
def test_what_the_user_has_not_set_is_set_before_tensorflow_is_imported(package):
    assert after(f"import {package}") == (["1", "3"], False)
    mine = {"TF_ENABLE_ONEDNN_OPTS": "0", "TF_CPP_MIN_LOG_LEVEL": "1"}
    assert after(f"import {package}", **mine) == (["0", "1"], False)


@pytest.mark.slow
def test_the_library_sets_nothing_and_a_late_import_neither():
    assert after("import keras_sam")[0] == [None, None]
    # TensorFlow has read the variables; a record must not claim otherwise.
    assert after("import tensorflow, recipes")[0] == [None, None]


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="oneDNN of TensorFlow")
@pytest.mark.parametrize(
    ("told", "noted"), [("1", "on"), ("0", "off"), (None, "TensorFlow's default")]
)
def test_records_say_whether_onednn_is_on(told, noted, monkeypatch):
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    if told is not None:
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", told)
    assert Runtime().environment(1)["onednn"] == noted


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="oneDNN of TensorFlow")
def test_other_backends_have_none():
    assert "onednn" not in Runtime().environment(1)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, str(os.cpu_count())),
        ({"JAX_NUM_CPU_DEVICES": "3"}, "3"),
        ({"XLA_FLAGS": "--xla_force_host_platform_device_count=3"}, "None"),
    ],
    ids=["default", "own", "own-by-xla"],
)
def test_jax_has_a_device_for_each_core_unless_the_user_says_otherwise(environment, expected):
    inherited = {k: v for k, v in os.environ.items() if "JAX_NUM" not in k and k != "XLA_FLAGS"}
    program = "import recipes, os; print(os.environ.get('JAX_NUM_CPU_DEVICES'))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == expected
