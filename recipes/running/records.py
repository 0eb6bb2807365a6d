"""Records: one JSON line a finished run, from which all tables and figures are drawn."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from recipes.files import append_line, finite, read_lines, with_nan
from recipes.running.config import RunConfig
from recipes.running.metric import ACCURACY, Metric
from recipes.running.recipe import read_config

FINISHED = "finished"
DIVERGED = "diverged"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """The result of one run.

    Args:
        config: The run's settings.
        environment: Versions, backend, devices: what else the numbers may depend on.
        metric: What selects an epoch and is reported.
        parameters: Number of trainable weights.
        kept_parameters: Those that are not pruned.
        status: "finished", or "diverged" if the training loss became NaN or infinite.
        curves: From the name of a metric to its value after each epoch: `loss` and the metric
            (the mean over the epoch's clean passes), `val_*`, `test_*`, `learning_rate`.
        selected: Metrics of the epoch with the best validation metric (the lowest validation loss
            among equals): the numbers to report. Empty if the run diverged.
        last: Metrics of the last epoch.
        best_test: Metrics of the epoch with the best *test* metric, which is how the paper's code
            reports. The test set then takes part in the selection: only for comparison with it.
        train: `loss` and the metric of the final weights over one more epoch of training batches
            (augmented, with their noisy labels): does the network interpolate?
        seconds: Time spent training and evaluating, over all interrupted starts.

    `selected`, `last` and `best_test` hold `epoch` (from 1) and the metrics of `curves`.
    """

    config: RunConfig
    environment: Mapping[str, Any]
    parameters: int
    kept_parameters: int
    status: str
    curves: Mapping[str, Sequence[float]]
    selected: Mapping[str, float]
    last: Mapping[str, float]
    best_test: Mapping[str, float]
    train: Mapping[str, float]
    seconds: float
    metric: Metric = ACCURACY

    def to_json(self) -> str:
        """The record as one line of strict JSON: NaN and infinity become null."""
        data = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        data["config"] = self.config.to_dict()
        data["metric"] = self.metric.to_dict()
        return json.dumps(finite(data), allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> Record:
        """The record that `to_json` wrote; null in curves and metrics becomes NaN.

        Records of before version 0.2, which tell their recipe by data and network, are read too.

        Raises:
            ValueError: If the line is no record.
        """
        data = json.loads(line)
        names = [field.name for field in dataclasses.fields(cls) if field.name != "metric"]
        if not isinstance(data, dict) or not set(names) <= set(data):
            raise ValueError(f"A record must be an object with {names}. Received: `line={line!r}`")
        metric = Metric(**data.get("metric", {}))
        data = {name: data[name] for name in names}
        data["config"] = read_config(data["config"])
        for key in ("curves", "selected", "last", "best_test", "train"):
            data[key] = with_nan(data[key])
        return cls(**data, metric=metric)


def summarize(
    curves: Mapping[str, Sequence[float]], metric: Metric = ACCURACY
) -> dict[str, dict[str, float]]:
    """Picks the epochs that a record names out of the curves: `selected`, `last`, `best_test`.

    Args:
        curves: From metric to its value after each epoch, at least one epoch.
        metric: What selects. Defaults to accuracy.

    Example:

    >>> curves = {"val_accuracy": [0.7, 0.9, 0.9], "val_loss": [1.0, 0.6, 0.5],
    ...           "test_accuracy": [0.8, 0.9, 0.7]}
    >>> {name: row["epoch"] for name, row in summarize(curves).items()}
    {'selected': 3, 'last': 3, 'best_test': 2}
    """
    validation = [metric.score(value) for value in curves[f"val_{metric.name}"]]
    test = [metric.score(value) for value in curves[f"test_{metric.name}"]]
    losses = [math.inf if math.isnan(value) else value for value in curves["val_loss"]]
    epochs = range(len(validation))
    best = max(epochs, key=lambda i: (validation[i], -losses[i]))
    best_test = max(epochs, key=lambda i: test[i])
    return {
        name: {"epoch": epoch + 1, **{key: values[epoch] for key, values in curves.items()}}
        for name, epoch in [("selected", best), ("last", epochs[-1]), ("best_test", best_test)]
    }


def append_record(path: str | os.PathLike[str], record: Record) -> None:
    """Appends a record to a file, as `append_line` does."""
    append_line(path, record.to_json())


def read_records(*paths: str | os.PathLike[str]) -> list[Record]:
    """Reads all records of some files, or of all files `records*.jsonl` below a folder.

    A line that is no record, as a crash may leave at the end of a file, is reported by a warning
    and skipped. Of several records of one config (two machines may have run it) the first counts.

    Args:
        *paths: Files, or folders. A file that does not exist has no records.

    Example:

    ```python
    for record in read_records("runs/digits"):
        print(record.config.rho, record.selected["test_accuracy"])
    ```
    """
    records: dict[str, Record] = {}
    for path in map(pathlib.Path, paths):
        files = sorted(path.rglob("records*.jsonl")) if path.is_dir() else [path]
        for file in files:
            for record in read_lines(file, Record.from_json):
                key = json.dumps(record.config.to_dict(), sort_keys=True)
                records.setdefault(key, record)
    return list(records.values())


def find_record(config: RunConfig, *paths: str | os.PathLike[str]) -> Record | None:
    """The record of a run with exactly these settings, or `None` if there is none."""
    # A study asks for each of its runs: of a line that says something else, only the text is read.
    text = json.dumps(config.to_dict())
    for path in (path for path in map(pathlib.Path, paths) if path.is_file()):
        for record in read_lines(
            path, lambda line: Record.from_json(line) if text in line else None
        ):
            if record is not None and record.config == config:
                return record
    # Records of other versions may say it in other words.
    return next((r for r in read_records(*paths) if r.config == config), None)
