"""Records: one line a run, whatever crashes."""

import dataclasses
import json
import math
import multiprocessing
import warnings

import pytest

from recipes.files import append_line
from recipes.running.config import RunConfig
from recipes.running.records import Record, append_record, find_record, read_records, summarize

CONFIG = RunConfig(recipe="digits")


def make_record(**changes) -> Record:
    curves = {
        "loss": [1.0, 0.5, 0.25],
        "val_accuracy": [0.5, 0.75, 0.75],
        "val_loss": [1.0, 0.8, 0.9],
        "test_accuracy": [0.5, 0.7, 0.8],
    }
    record = Record(
        config=CONFIG.replace(**changes),
        environment={"backend": "tensorflow"},
        parameters=10,
        kept_parameters=10,
        status="finished",
        curves=curves,
        train={"loss": 0.2, "accuracy": 0.9},
        seconds=1.5,
        **summarize(curves),
    )
    return record


def test_the_best_epoch_is_chosen_on_validation_and_ties_by_its_loss():
    record = make_record()
    assert record.selected == {
        "epoch": 2,
        "loss": 0.5,
        "val_accuracy": 0.75,
        "val_loss": 0.8,
        "test_accuracy": 0.7,
    }
    assert record.last["epoch"] == 3
    assert (record.best_test["epoch"], record.best_test["test_accuracy"]) == (3, 0.8)


def test_a_nan_is_never_the_best():
    curves = {
        "val_accuracy": [0.5, math.nan],
        "val_loss": [1.0, math.nan],
        "test_accuracy": [0.4, math.nan],
    }
    summary = summarize(curves)
    assert summary["selected"]["epoch"] == summary["best_test"]["epoch"] == 1


def test_round_trip(tmp_path):
    records = [make_record(seed=seed, rho=0.1) for seed in range(3)]
    for record in records:
        append_record(tmp_path / "folder" / "records.jsonl", record)
    assert read_records(tmp_path) == records
    assert find_record(records[1].config, tmp_path) == records[1]
    assert find_record(CONFIG, tmp_path) is None


def test_a_record_is_found_whatever_the_words_of_its_settings(tmp_path):
    """As of a version that had fewer settings, or wrote them in another order."""
    record = make_record(seed=1)
    data = json.loads(record.to_json())
    data["config"] = dict(reversed(data["config"].items()))
    del data["config"]["noise_kind"]
    (tmp_path / "records.jsonl").write_text("torn\n" + json.dumps(data) + "\n")
    with pytest.warns(match="is no record"):
        assert find_record(record.config, tmp_path / "records.jsonl") == record


def test_nan_is_null_in_strict_json():
    record = make_record()
    record = dataclasses.replace(record, curves={"loss": [1.0, math.nan, math.inf]}, train={})
    line = record.to_json()
    json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    loss = Record.from_json(line).curves["loss"]
    assert loss[0] == 1.0
    assert all(map(math.isnan, loss[1:]))


def test_fields_of_a_later_version_are_ignored():
    data = {**json.loads(make_record().to_json()), "weather": "fine"}
    assert Record.from_json(json.dumps(data)) == make_record()


@pytest.mark.parametrize("cut", [1, 40, -2])
def test_a_torn_line_costs_no_line_but_itself(tmp_path, cut):
    path = tmp_path / "records.jsonl"
    append_record(path, make_record(seed=0))
    with path.open("a") as file:
        file.write(make_record(seed=1).to_json()[:cut])  # The process dies here.
    append_record(path, make_record(seed=2))
    append_record(path, make_record(seed=3))

    with pytest.warns(UserWarning, match=r"records\.jsonl, line 2, is no record"):
        records = read_records(path)
    assert [record.config.seed for record in records] == [0, 2, 3]


def test_bytes_that_are_no_text_are_skipped(tmp_path):
    path = tmp_path / "records.jsonl"
    path.write_bytes(b"\xff\x00\n" + make_record().to_json().encode() + b"\n")
    with pytest.warns(UserWarning, match="line 1"):
        assert read_records(path) == [make_record()]


def test_of_two_records_of_one_run_the_first_counts(tmp_path):
    append_record(tmp_path / "records.jsonl", make_record())
    append_record(tmp_path / "records-worker1.jsonl", dataclasses.replace(make_record(), seconds=9))
    (record,) = read_records(tmp_path)
    assert record.seconds == 9  # records-worker1 sorts first.


def test_no_file_is_no_records(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_records(tmp_path / "records.jsonl") == read_records(tmp_path) == []


def _append_many(path, letter):
    for _ in range(50):
        append_line(path, letter * 20_000)


def test_writers_at_the_same_time_do_not_mix_lines(tmp_path):
    path = tmp_path / "records.jsonl"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_append_many, args=(path, letter)) for letter in "abc"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    lines = [line for line in path.read_text().split("\n") if line]
    assert sorted(lines) == sorted(letter * 20_000 for letter in "abc" for _ in range(50))
