"""A workload is one file: what CONTRIBUTING.md shows runs, goes on, is studied and drawn."""

import dataclasses
import json
import math
import pathlib
import re
import sys

import keras
import numpy as np
import pytest

from recipes import figures
from recipes.running import command_line, recipe
from recipes.running.config import RunConfig
from recipes.running.records import read_records
from recipes.running.runtime import Runtime
from recipes.running.trainer import train
from recipes.running.training import Training
from tests.recipes.test_training import KillAt, KilledError, comparable
from tuning.command_line import main as study

CONTRIBUTING = pathlib.Path(__file__).parents[2] / "CONTRIBUTING.md"
QUIET = Runtime(progress=False)


def block(title: str) -> str:
    text = CONTRIBUTING.read_text().split(f"## {title}\n")[1]
    return re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module into a folder that Python searches, and forgets it afterwards."""
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")

    def write(name: str, text: str) -> None:
        path = tmp_path / "elsewhere" / (name.replace(".", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    before = set(sys.modules)
    yield write
    for name in set(sys.modules) - before:
        if name.startswith(("diabetes", "bench", "walk")):
            del sys.modules[name]


def test_a_sixth_recipe_is_one_file(module, tmp_path, capsys):
    module("diabetes", block("A new workload"))
    diabetes = recipe.find("diabetes")
    assert diabetes.module == "diabetes"
    assert "diabetes" not in recipe.names()

    # It runs by its command line, with flags of its own.
    flags = ["--quick", "--rho", "0.1", "--activation", "tanh", "--no-progress"]
    command_line.main(diabetes, "text", [*flags, "--output", str(tmp_path / "runs")])
    (record,) = read_records(tmp_path / "runs")
    assert record.config.options == {"activation": "tanh"}
    assert record.metric == diabetes.metric
    errors = record.curves["val_mean_absolute_error"]
    assert record.selected["epoch"] == 1 + int(np.argmin(errors))
    test = record.selected["test_mean_absolute_error"]
    assert f"test mean absolute error {test:.4f}" in capsys.readouterr().out

    # It goes on after a crash and ends as if there had been none.
    config = diabetes.config(quick=True, rho=0.1, seed=1)
    whole = train(config, tmp_path / "a" / "run", runtime=QUIET)
    with pytest.raises(KilledError):
        train(config, tmp_path / "b" / "run", runtime=QUIET, callbacks=[KillAt(1)])
    resumed = train(config, tmp_path / "b" / "run", runtime=QUIET)
    assert comparable(resumed) == comparable(whole)

    # It is studied and drawn.
    folder = tmp_path / "study"
    arguments = ["diabetes", "--quick", "--seeds", "2", "--no-progress", "--output", str(folder)]
    study("text", arguments)
    table = (folder / "table.md").read_text()
    assert "SGD test mean absolute error | SAM test mean absolute error" in table
    rows = json.loads((folder / "table.json").read_text())
    tests = {
        rho: [
            r.selected["test_mean_absolute_error"]
            for r in read_records(folder)
            if (r.config.width, r.config.rho) == (1, rho)
        ]
        for rho in (0.0, rows[0]["sam_rho"])
    }
    gains = np.subtract(*tests.values())  # An error that falls is a gain.
    assert rows[0]["sam_gain"] == pytest.approx(gains.mean())
    (tmp_path / "drawn").mkdir()
    figures.main([str(folder), "--output", str(tmp_path / "drawn")])
    assert (tmp_path / "drawn" / "size.png").stat().st_size > 10_000

    # What it does not have is refused before anything is trained.
    with pytest.raises(SystemExit):
        command_line.main(diabetes, "text", ["--activation", "gelu"])
    assert "`activation` must be one of relu, tanh" in capsys.readouterr().err
    with pytest.raises(ValueError, match="`label_noise` must be 0 where labels are no classes"):
        train(config.replace(label_noise=0.1), tmp_path / "c" / "run", runtime=QUIET)


def test_a_recipe_in_a_package_is_named_by_its_dotted_name(module):
    module(
        "bench.diabetes",
        block("A new workload").replace('name="diabetes"', 'name="bench.diabetes"'),
    )
    assert recipe.find("bench.diabetes").default.recipe == "bench.diabetes"


class Walk(Training):
    """Training that is no `fit`: a random walk whose state is an array and a number."""

    def __init__(self, config: RunConfig, runtime: Runtime) -> None:
        self.config = config
        self.weight = keras.Variable(0.0)
        self.variables = [self.weight]
        self.parameters = self.kept_parameters = 1
        self.steps = np.zeros(3)
        self.count = 0

    def fit(self, run, callbacks):
        for epoch in range(run.epoch, self.config.epochs):
            for callback in callbacks:
                callback.on_epoch_begin(epoch)
            generator = np.random.default_rng([self.config.seed, epoch])
            self.steps += generator.normal(size=3) + self.config.rho
            self.count += 1
            self.weight.assign(self.steps.sum() * self.count)
            value = float(keras.ops.convert_to_numpy(self.weight))
            logs = {"loss": -value, "return": value}
            curves = {
                f"{part}{name}": v for part in ("", "val_", "test_") for name, v in logs.items()
            }
            run.end_epoch(curves, seconds=0.0)
            if run.stopped():
                return

    def train_metrics(self):
        value = float(keras.ops.convert_to_numpy(self.weight))
        return {"loss": -value, "return": value}

    def save(self, path):
        path.write_bytes(b"a network")

    def state(self):
        return {"steps": self.steps, "count": self.count}

    def restore(self, state):
        self.steps, self.count = state["steps"], state["count"]


WALK = """
from recipes.running.metric import Metric
from recipes.running.recipe import Recipe
from tests.recipes.test_new_recipe import Walk

RECIPE = Recipe(
    name="walk", title="a walk", training=Walk, metric=Metric("return", percent=False),
    defaults={"epochs": 4}, quick={"epochs": 2}, widths=(1,), rhos=(0.1, 10),
)
"""


def test_training_that_is_no_fit_meets_the_same_records_and_studies(module, tmp_path):
    module("walk", WALK)
    config = recipe.find("walk").config(seed=3)
    runtime = dataclasses.replace(QUIET, save_model=True)
    whole = train(config, tmp_path / "a" / "run", runtime=runtime)
    with pytest.raises(KilledError):
        train(config, tmp_path / "b" / "run", runtime=runtime, callbacks=[KillAt(2)])
    resumed = train(config, tmp_path / "b" / "run", runtime=runtime)

    assert comparable(resumed) == comparable(whole)
    steps = [np.random.default_rng([3, epoch]).normal(size=3).sum() for epoch in range(4)]
    assert whole.curves["return"] == pytest.approx(np.cumsum(steps) * np.arange(1, 5), rel=1e-6)
    assert (tmp_path / "a" / "run" / "model.keras").read_bytes() == b"a network"

    folder = tmp_path / "study"
    flags = ["--seeds", "2", "--report", "last", "--no-progress", "--output", str(folder)]
    study("text", ["walk", *flags])
    (row,) = json.loads((folder / "table.json").read_text())
    assert row["sam_rho"] == 10
    # Each step is 10 longer in three directions: at the last epoch 4 * 4 * 30.
    assert row["sam_gain"] == pytest.approx(480, rel=1e-5)


def test_records_of_before_recipes_had_names_are_read(tmp_path):
    record = train(
        RunConfig(recipe="digits", width=0.1, epochs=1, take=100, batch_size=32),
        tmp_path / "run",
        runtime=QUIET,
    )
    data = json.loads(record.to_json())
    del data["config"]["recipe"], data["config"]["options"], data["metric"]
    data["config"] |= {"dataset": "digits", "network": "mlp", "network_options": {}}
    old = tmp_path / "old"
    old.mkdir()
    (old / "records.jsonl").write_text(json.dumps(data) + "\n")
    assert read_records(old) == [record]

    data["config"]["network"] = "lstm"
    (old / "records.jsonl").write_text(json.dumps(data) + "\n")
    with pytest.warns(UserWarning, match="is no record"):
        assert read_records(old) == []
    with pytest.raises(ValueError, match="recipe that is still there.*`network='lstm'`"):
        recipe.read_config(data["config"])


def test_a_new_score_and_a_new_experiment(tmp_path, capsys):
    names: dict = {}
    exec(block("A new score for pruning"), names)
    kept = [mask.mean() for mask in names["masks"].values()]
    assert sum(mask.sum() for mask in names["masks"].values()) == round(0.1 * (600 + 90))
    assert len(kept) == 2

    # A module, or `dataclasses` could not look up its annotations.
    (tmp_path / "parabola.py").write_text(block("A new experiment"))
    sys.path.insert(0, str(tmp_path))
    try:
        import parabola
    finally:
        sys.path.remove(str(tmp_path))
    parabola.EXPERIMENT.main(["--output", str(tmp_path)])
    results = [json.loads(line) for line in (tmp_path / "parabola" / "results.jsonl").open()]
    # |w| = eta rho / (2 - eta), by w -> w - eta (w + rho) = -w.
    expected = [0, 0.5 * 0.1 / 1.5, 0.5 * 0.2 / 1.5]
    assert [result["distance"] for result in results] == pytest.approx(expected)
    assert (tmp_path / "parabola" / "parabola.png").stat().st_size > 5000
    parabola.EXPERIMENT.main(["--output", str(tmp_path), "--rhos", "0.1", "0.3"])
    assert len((tmp_path / "parabola" / "results.jsonl").read_text().splitlines()) == 4
    assert "1/2" not in capsys.readouterr().out.splitlines()[-1]
    with pytest.raises(SystemExit):
        parabola.EXPERIMENT.main(["--steps", "0"])
    assert "`steps` must be >= 1. Received: `steps=0`" in capsys.readouterr().err
    assert not math.isnan(results[0]["seconds"])
