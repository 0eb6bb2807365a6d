"""On JAX and PyTorch, recipes never import TensorFlow, and studies do not need it installed."""

import importlib.util

import pytest

from tests.python_process import output

# A module that is None cannot be imported, as if it were not installed.
ABSENT = """
import runpy, sys
for name in ("tensorflow", "tensorflow_datasets", "tf_keras"):
    sys.modules[name] = None
module, *sys.argv[1:] = sys.argv[1:]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""
# TensorFlow is there, and must be left alone.
UNTOUCHED = """
import runpy, sys
module, *sys.argv[1:] = sys.argv[1:]
runpy.run_module(module, run_name="__main__", alter_sys=True)
assert "tensorflow" not in sys.modules, "imported"
"""


def run(program, backend, *arguments):
    # JAX's own cache of compiled programs looks for TensorFlow's file system.
    cache = "JAX_COMPILATION_CACHE_DIR"
    return output("-c", program, *arguments, without=[cache], KERAS_BACKEND=backend)


@pytest.mark.slow
@pytest.mark.parametrize("program", [ABSENT, UNTOUCHED], ids=["absent", "untouched"])
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_no_tensorflow(backend, program, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    flags = ["--no-progress", "--output", str(tmp_path)]
    small = ["--quick", "--epochs", "2", "--width", "0.1", "--rho", "0.1"]
    assert "2 epochs" in run(program, backend, "recipes.digits", *small, *flags)
    study = ["digits", "--widths", "0.1", "--rhos", "0.1", "--seeds", "1", "--epochs", "1"]
    out = run(program, backend, "tuning.rho_search", *study, *flags)
    assert "|   0.1 |      2,370 |" in out
