"""Studies of a recipe: resumed, paired, refused, reported; with workers; really killed."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

from recipes.running import parts, trainer
from recipes.running.config import RunConfig
from recipes.running.records import append_record, read_records
from recipes.running.runtime import Runtime
from tests.recipes.test_comparison import diverged, record
from tests.recipes.test_training import KilledError, comparable
from tuning import report
from tuning.command_line import main
from tuning.rho_rule import RhoRule
from tuning.run_study import run_study
from tuning.space import Space
from tuning.study import Study
from tuning.study_progress import StudyProgress

BACKEND = keras.backend.backend()
QUIET = Runtime(progress=False, checkpoint_seconds=10)
BASE = RunConfig(recipe="digits", epochs=2, take=300, batch_size=64)


def make_study(folder, **changes) -> Study:
    settings = {"base": BASE, "widths": (0.1, 0.2), "space": Space(rhos=(0.1,)), "seeds": (0, 1)}
    return Study(folder=folder, **{**settings, **changes})


def keys(records):
    return [(r.config.width, r.config.rho, r.config.seed) for r in records]


def results(records):
    return {key: comparable(r) for key, r in zip(keys(records), records, strict=True)}


def assert_agree(records, others):
    """The same runs, to rounding: a run alone and one of a population are other programs."""
    for ours, theirs in zip(records, others, strict=True):
        assert (ours.config, ours.status) == (theirs.config, theirs.status)
        for name in ("selected", "last", "best_test", "train"):
            expected = dict(getattr(theirs, name))
            assert dict(getattr(ours, name)) == pytest.approx(expected, rel=1e-4, nan_ok=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A study that was left in peace."""
    study = make_study(tmp_path_factory.mktemp("whole") / "study")
    run_study(study, runtime=QUIET)
    return study


def test_every_run_once_in_order(whole):
    expected = [(w, r, s) for w in (0.1, 0.2) for r in (0.0, 0.1) for s in (0, 1)]
    assert keys(read_records(whole.folder / "records.jsonl")) == expected
    lines = (whole.folder / "records.jsonl").read_text().splitlines()
    assert len(lines) == len(expected)


def test_disk_holds_records_and_report_only(whole):
    names = {path.name for path in whole.folder.iterdir()}
    expected = {"records.jsonl", "study.json", "table.md", "table.csv", "table.json", "size.png"}
    # TensorBoard writes hyperparameters by TensorFlow.
    assert names == expected | ({"tensorboard"} if BACKEND == "tensorflow" else set())


def test_the_report_is_drawn_from_the_records_alone(whole, tmp_path):
    copy = make_study(tmp_path)
    for run in whole.records():
        append_record(tmp_path / "records.jsonl", run)
    text = report.write_report(copy)
    assert (tmp_path / "table.md").read_text() == (whole.folder / "table.md").read_text()
    assert (tmp_path / "table.json").read_text() == (whole.folder / "table.json").read_text()

    (narrow, _) = csv.DictReader((tmp_path / "table.csv").open())
    tests = {
        rho: [
            r.selected["test_accuracy"] for r in whole.records() if keys([r])[0][:2] == (0.1, rho)
        ]
        for rho in (0.0, 0.1)
    }
    gains = np.subtract(tests[0.1], tests[0.0])
    assert float(narrow["sam_gain"]) == pytest.approx(gains.mean())
    assert float(narrow["sam_gain_error"]) == pytest.approx(gains.std(ddof=1) / np.sqrt(2))
    assert f"{100 * gains.mean():+.2f} ± " in text


def test_a_study_is_what_single_runs_are(whole, tmp_path):
    config = whole.config(0.2, 0.1, 1)
    alone = trainer.train(config, tmp_path / "run", runtime=Runtime(progress=False))
    found = results(whole.records())[0.2, 0.1, 1]
    assert_agree([alone], [found])
    assert found.environment == {**alone.environment, "population": 4}


def test_an_interrupted_study_goes_on_where_it_was(whole, tmp_path, monkeypatch):
    study = make_study(tmp_path / "study")
    original = trainer.Trainer.train
    trained = []

    def train(self, config, folder, **kwargs):
        if len(trained) == 3:
            raise KilledError
        trained.append(config)
        return original(self, config, folder, **kwargs)

    monkeypatch.setattr(trainer.Trainer, "train", train)
    with pytest.raises(KilledError):
        run_study(study, runtime=QUIET, population=1)
    monkeypatch.setattr(trainer.Trainer, "train", original)
    assert len(study.records()) == 3
    run_study(study, runtime=QUIET)  # What is left of the first width is one run; then four.

    assert_agree(study.records(), whole.records())
    together = [record.environment.get("population") for record in study.records()]
    assert together == [None] * 4 + [4] * 4
    assert len((study.folder / "records.jsonl").read_text().splitlines()) == 8


def test_a_finished_study_only_reports(whole, monkeypatch):
    monkeypatch.setattr(parts, "load_data", lambda config: pytest.fail("trained again"))
    assert "parameters" in run_study(whole, runtime=QUIET)


def test_other_settings_are_refused_with_the_difference(whole):
    other = make_study(whole.folder, seeds=(0, 1, 2), base=BASE.replace(label_noise=0.2))
    with pytest.raises(ValueError, match=r"base\.label_noise: 0\.0 -> 0\.2; seeds: \[0, 1\] -> "):
        run_study(other, runtime=QUIET)
    assert Study.load(whole.folder) == whole


def test_an_update_keeps_the_runs_that_still_belong(whole, tmp_path):
    study = make_study(tmp_path, widths=(0.1,))
    for run in whole.records():
        append_record(tmp_path / "records.jsonl", run)
    study.claim_folder()
    wider = make_study(tmp_path, widths=(0.1,), seeds=(0, 1, 2))
    run_study(wider, runtime=QUIET, update=True)
    assert sorted(keys(wider.records())) == [(0.1, r, s) for r in (0.0, 0.1) for s in (0, 1, 2)]
    assert Study.load(tmp_path) == wider


def test_the_folder_of_a_study_that_runs_is_refused(whole):
    from recipes.running.lock import locked

    with locked(whole.folder), pytest.raises(RuntimeError, match="in use"):
        run_study(whole, runtime=QUIET)


def test_divergence_is_recorded_and_the_search_goes_on(tmp_path):
    study = make_study(tmp_path, widths=(0.1,), space=Space(rhos=(0.1, 1e20)))
    text = run_study(study, runtime=QUIET)
    status = {r.config.rho: r.status for r in study.records()}
    assert status == {0.0: "finished", 0.1: "finished", 1e20: "diverged"}
    (comparison,) = study.comparisons()
    assert comparison.best.rho == 0.1
    assert "2 runs diverged at rho 1e+20" in text


@pytest.mark.slow
def test_hyperband_reports_full_runs_only(tmp_path):
    study = make_study(
        tmp_path,
        base=BASE.replace(epochs=3),
        widths=(0.1,),
        space=Space("hyperband", rhos=(0.05, 0.2)),
        seeds=(0,),
    )
    run_study(study, runtime=QUIET)
    everything = read_records(tmp_path / "records.jsonl")
    assert {r.config.epochs for r in everything} == {1, 3}
    assert {r.config.epochs for r in study.records()} == {3}
    assert 0.0 in {r.config.rho for r in study.records()}


def test_a_rule_is_saved_where_there_are_three_sizes(tmp_path):
    records = [
        record(width, rho, seed, validation=0.5 + (rho == best), epochs=2)
        for width, best in ((1.0, 0.1), (4.0, 0.2), (16.0, 0.4))
        for rho in (0.0, 0.1, 0.2, 0.4)
        for seed in (0, 1)
    ]
    base = records[0].config
    study = make_study(tmp_path, base=base, widths=(1, 4, 16), space=Space(rhos=(0.1, 0.2, 0.4)))
    for run in records:
        append_record(tmp_path / "records.jsonl", run)
    text = report.write_report(study)
    assert "Rule: best rho ~" in text
    assert RhoRule.load(tmp_path / "rho_rule.json").b == pytest.approx(0.5)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorBoard writes them by TensorFlow")
def test_hparams_of_every_run(whole):
    folders = list((whole.folder / "tensorboard").iterdir())
    assert len(folders) == 8
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util import tensor_util

    events = EventAccumulator(str(whole.folder / "tensorboard" / "width=0.2,rho=0.1,seed=1"))
    events.Reload()
    assert "_hparams_/session_start_info" in events.summary_metadata
    (tensor,) = events.Tensors("test_accuracy")
    expected = results(whole.records())[0.2, 0.1, 1].selected["test_accuracy"]
    assert float(tensor_util.make_ndarray(tensor.tensor_proto)) == pytest.approx(expected)


def test_progress_tells_of_each_trial_and_of_the_time_left(tmp_path, capsys, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("tuning.study_progress.time.monotonic", lambda: clock[0])
    study = make_study(tmp_path, base=record().config, widths=(1, 4))
    progress = StudyProgress(study, [record(1.0, 0.0, 0)])
    clock[0] = 3.0  # Each record says 1.5 s; two took 3 s, so the pace is as they say.
    progress.update([record(1.0, 0.0, 1), record(1.0, 0.1, 0)])
    output = capsys.readouterr().out
    assert "Going on: 1 runs were finished before." in output
    assert "width 1     SGD" in output
    assert "run 2 of 8" in output
    assert "rho 0.1" not in output  # Its second seed is to come.
    # One more run at width 1, and four at width 4, 1.5 s each.
    assert progress.seconds_left() == pytest.approx(7.5)

    progress.update([diverged(width=1.0, rho=0.1, seed=1)])
    assert "1 diverged" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"widths": ()}, "`widths` must be one or more different values"),
        ({"widths": (1, 1.0)}, "`widths` must be one or more different values"),
        ({"seeds": ()}, "`seeds` must be one or more different values"),
        ({"widths": (-1,)}, "`width` must be > 0"),
        ({"seeds": (2**32,)}, "`seeds` must be integers in"),
    ],
)
def test_bad_studies(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        make_study(tmp_path, **changes)


def test_widths_that_read_alike_are_all_studied(tmp_path):
    study = make_study(tmp_path, widths=(0.05, 0.0500000001))
    assert list(study.networks.values()) == [0.05, 0.0500000001]


@pytest.mark.parametrize("name", ["base", "space"])
def test_studies_of_the_wrong_type(tmp_path, name):
    with pytest.raises(TypeError, match=f"`{name}` must be a .*Received: `{name}=3`"):
        make_study(tmp_path, **{name: 3})


def test_a_damaged_study_says_what_to_do(tmp_path):
    study = make_study(tmp_path)
    (tmp_path / "study.json").write_text("")
    with pytest.raises(ValueError, match=r"study\.json is damaged.*Remove it"):
        study.claim_folder()
    with pytest.raises(ValueError, match=r"study\.json is damaged"):
        Study.load(tmp_path)


def test_populations_below_one(tmp_path):
    with pytest.raises(ValueError, match="`population` must be an integer >= 1"):
        run_study(make_study(tmp_path), runtime=QUIET, population=0)


def test_negative_workers(tmp_path):
    with pytest.raises(ValueError, match="`workers` must be an integer >= 0"):
        run_study(make_study(tmp_path), runtime=QUIET, workers=-1)


def test_the_command_line(tmp_path, capsys):
    flags = ["digits", "--widths", "0.1", "--rhos", "0.1", "--seeds", "1", "--epochs", "1"]
    flags += ["--take", "200", "--label-noise", "0.2", "--output", str(tmp_path), "--no-progress"]
    main("text", flags)
    study = Study.load(tmp_path)
    assert study.base.label_noise == 0.2
    assert keys(study.records()) == [(0.1, 0.0, 0), (0.1, 0.1, 0)]
    assert "label" not in capsys.readouterr().err
    with pytest.raises(SystemExit, match="base.take: 200 -> 250"):
        main("text", [*flags, "--take", "250"])
    with pytest.raises(SystemExit):
        main("text", ["digits", "--rhos", "-1"])
    assert "`rhos` must be positive" in capsys.readouterr().err


def command(folder, *more):
    flags = ["digits", "--widths", "0.1", "0.2", "--rhos", "0.1", "--seeds", "2"]
    flags += ["--epochs", "8", "--output", str(folder)]
    return [sys.executable, "-m", "tuning.rho_search", *flags, *more]


ENVIRONMENT = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}


@pytest.fixture(scope="module")
def whole_process(tmp_path_factory):
    folder = tmp_path_factory.mktemp("process") / "whole"
    subprocess.run(command(folder), check=True, env=ENVIRONMENT, timeout=200)
    return Study.load(folder)


@pytest.mark.slow
def test_kill_9_twice_then_the_same_command(whole_process, tmp_path):
    folder = tmp_path / "killed"
    records = folder / "records.jsonl"
    for finished in (2, 5):
        process = subprocess.Popen(command(folder), env=ENVIRONMENT)
        deadline = time.monotonic() + 120
        while not records.exists() or records.read_bytes().count(b"\n") < finished:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.02)
        time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command(folder), check=True, env=ENVIRONMENT, timeout=200)

    assert len(records.read_text().splitlines()) == 8
    assert results(Study.load(folder).records()) == results(whole_process.records())
    table = (whole_process.folder / "table.json").read_text()
    assert (folder / "table.json").read_text() == table


@pytest.mark.slow
def test_two_workers_give_the_same_table(whole_process, tmp_path):
    folder = tmp_path / "workers"
    subprocess.run(command(folder, "--workers", "2"), check=True, env=ENVIRONMENT, timeout=300)
    files = {path.name for path in folder.glob("records*.jsonl")}
    assert files == {"records-worker0.jsonl", "records-worker1.jsonl"}
    assert (folder / "table.json").read_text() == (whole_process.folder / "table.json").read_text()
    assert (
        keras.backend.backend()
        == json.loads((folder / "records-worker0.jsonl").read_text().splitlines()[0])[
            "environment"
        ]["backend"]
    )
