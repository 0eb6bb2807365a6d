"""Every command of recipes.theory: help, results once, table, figure."""

import importlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest

TINY = {
    "convergence": "--problems orthogonal rows --batch-sizes 1 2 --rhos-relative 0 0.5 --seeds 2",
    "stability": "--kinds rank1 commuting --batch-sizes 2 --rhos 0 3 --seeds 2",
    "matrix_factorization": "--ranks 4 10 --rhos 0.1 --epochs 4 --examples 50 --seeds 2",
    "signal_noise": "--dimensions 50 100 --signals 1 4 --epochs 10 --max-epochs 30 --seeds 2",
    "linearised": "--alphas 1 10 --rhos 0 0.1 --train-size 100 --width 0.1 --epochs 1 --seeds 2",
    "relu_regression": "--neurons 4 --rhos 0 0.1 --steps 500 --seeds 2",
    "teacher_student": "--widths 10 20 --rhos 0 0.1 --examples 200 --epochs 2 --seeds 2",
}
# What stands in a table, and in how many rows.
SHOWN = {
    "convergence": ("factor (bound) |", "checks of the bound of one step, 0 above it"),
    "stability": ("(6) / exact", "0.8264 centred, 1.4463 with M_4 - H^4"),
    "matrix_factorization": ("f - f* at the end", "normalised"),
    "signal_noise": ("SAM, equal loss", "0.03"),
    "linearised": ("stability", "0.1 / alpha"),
    "relu_regression": ("TV(f')", "barrier", "GD"),
    "teacher_student": ("gain, selected", "2,041", "SGD"),
}


def experiment(name):
    return importlib.import_module(f"recipes.theory.{name}.__main__").EXPERIMENT


@pytest.mark.parametrize("name", TINY)
def test_from_flags_to_table_and_figure(name, tmp_path, capsys):
    arguments = [*TINY[name].split(), "--output", str(tmp_path)]
    experiment(name).main(arguments)
    folder = tmp_path / "theory" / name
    text = capsys.readouterr().out
    table = (folder / f"{name}.md").read_text()
    assert table.strip() in text
    assert all(part in table for part in SHOWN[name])
    assert "±" in table or "(x " in table
    assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")

    # What is done is not done again, and gives the same text.
    lines = (folder / "results.jsonl").read_text()
    experiment(name).main(arguments)
    assert (folder / "results.jsonl").read_text() == lines
    assert (folder / f"{name}.md").read_text() == table


@pytest.mark.parametrize("name", TINY)
def test_bad_flags_are_refused(name, capsys):
    with pytest.raises(SystemExit) as stopped:
        experiment(name).main(["--seeds", "0"])
    assert stopped.value.code == 2
    assert "`seeds` must be >= 1. Received: `seeds=0`" in capsys.readouterr().err


@pytest.mark.parametrize("name", TINY)
def test_quick_is_a_smaller_grid(name):
    parser = experiment(name).parser()
    whole, quick = (
        experiment(name).settings(parser.parse_args(arguments)) for arguments in ([], ["--quick"])
    )
    assert 0 < len(quick) < len(whole)
    assert len(set(whole)) == len(whole)


def test_help_waits_for_no_framework():
    """In one process for all: what `--help` imports."""
    script = (
        "import importlib, sys\n"
        f"for name in {list(TINY)}:\n"
        "    importlib.import_module(f'recipes.theory.{name}.__main__')\n"
        "print(sorted({'keras', 'tensorflow', 'jax', 'torch', 'matplotlib'} & set(sys.modules)))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "[]"


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
@pytest.mark.parametrize("name", ["linearised", "relu_regression", "teacher_student"])
def test_quick_runs_on_every_backend(name, backend, tmp_path):
    """The commands that train networks: all results are finite and reproduce the table."""
    pytest.importorskip(backend)
    command = [sys.executable, "-m", f"recipes.theory.{name}", "--quick", "--output", str(tmp_path)]
    environment = {**os.environ, "KERAS_BACKEND": backend}
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    folder = tmp_path / "theory" / name
    assert (folder / f"{name}.md").read_text().strip() in shown.stdout
    lines = (folder / "results.jsonl").read_text().splitlines()
    parser = experiment(name).parser()
    assert len(lines) == len(experiment(name).settings(parser.parse_args(["--quick"])))
    for result in map(json.loads, lines):
        assert result.pop("environment")["backend"] == backend
        assert "null" not in json.dumps(result)  # What is not finite.


@pytest.mark.slow
def test_vgg11_on_images(tmp_path, monkeypatch):
    """The paper's network, narrow, on images of CIFAR-10's shape."""

    def load(dataset, train_size):
        assert dataset == "cifar10"
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(train_size + 20, 32, 32, 3)), rng.integers(10, size=train_size + 20)
        x = x.astype("float32")
        return (x[:train_size], y[:train_size]), (x[train_size:], y[train_size:])

    monkeypatch.setattr("recipes.theory.linearised.measure.load", load)
    flags = "--dataset cifar10 --width 0.05 --train-size 40 --batch-size 20 --epochs 1 --alphas 10"
    arguments = [*flags.split(), "--rhos", "0", "0.1", "--seeds", "1", "--output", str(tmp_path)]
    experiment("linearised").main(arguments)
    lines = (tmp_path / "theory" / "linearised" / "results.jsonl").read_text().splitlines()
    results = [json.loads(line) for line in lines]
    assert len(results) == 3  # SGD, rho and rho / alpha.
    for result in results:
        assert 0 < result["stability"] <= 1
        assert result["loss"] > 0
        assert result["movement"] > 0
