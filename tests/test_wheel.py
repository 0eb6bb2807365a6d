"""What is installed without the checkout: the wheel, and the library alone."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile

import pytest

from tests.test_packaging import requirements

ROOT = pathlib.Path(__file__).parents[1]
TRAIN = """
import importlib.util, keras, numpy as np
from keras_sam import SAMModel, sharpness, sparsity

assert importlib.util.find_spec("tensorflow") is None
assert keras.backend.backend() == "jax"
net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
model = SAMModel(net, rho=0.05, masks=sparsity.prune(net, 0.5))
model.compile("sgd", "mse")
model.fit(np.ones((8, 2)), np.zeros((8, 1)), verbose=0)
print(sharpness.hessian_trace(model, (np.ones((8, 2)), np.zeros((8, 1)))), sparsity.summary(model))
"""


def run(*command, environment, cwd, **changes):
    """Runs a program of a virtual environment, which sees nothing of the checkout."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "KERAS_BACKEND")}
    path = f"{environment / 'bin'}{os.pathsep}{kept['PATH']}"
    done = subprocess.run(
        command, cwd=cwd, env={**kept, "PATH": path, **changes}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def checkout(tmp_path):
    """A copy of what is in the repository: building leaves files behind."""
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    for name in files.stdout.splitlines():
        if (ROOT / name).exists():
            target = tmp_path / "checkout" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target)
    return tmp_path / "checkout"


@pytest.fixture
def environment(tmp_path):
    """A fresh virtual environment."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    return tmp_path / "venv"


def test_the_library_alone_needs_no_other_versions():
    lines = (ROOT / "docs" / "library.txt").read_text().splitlines()
    assert set(line for line in lines if not line.startswith("#")) < set(requirements())


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_wheel_runs_the_main_job_outside_the_checkout(checkout, environment, tmp_path):
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path]
    subprocess.run(build, cwd=checkout, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"keras_sam/py.typed", "recipes/digits.py", "tuning/rho_search.py"} <= set(names)
    assert not [name for name in names if name.startswith(("tests/", "docs/"))]

    # The requirements are those that this process has: they are added, not installed once more.
    run("pip", "install", "--no-deps", str(wheel), environment=environment, cwd=tmp_path)
    packages = next((environment / "lib").glob("python*/site-packages"))
    (packages / "requirements.pth").write_text(sysconfig.get_path("purelib"))
    where = "import keras_sam; print(keras_sam.__file__)"
    found = run("python", "-c", where, environment=environment, cwd=tmp_path)
    assert str(packages) in found

    tiny = ["--widths", "0.1", "--rhos", "0.1", "--seeds", "1", "--epochs", "1"]
    command = ["python", "-m", "tuning.rho_search", "digits", *tiny, "--output", "out"]
    assert "| best rho |" in run(*command, environment=environment, cwd=tmp_path)
    assert (tmp_path / "out").is_dir()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_library_alone_trains_on_jax_without_tensorflow(checkout, environment, tmp_path):
    guide = (ROOT / "docs" / "backends.md").read_text()
    command = re.search(r"```bash\n(pip install jax .*)\n```", guide)[1]
    run("bash", "-c", command, environment=environment, cwd=checkout)
    out = run("python", "-c", TRAIN, environment=environment, cwd=tmp_path, KERAS_BACKEND="jax")
    assert "Estimate(" in out
