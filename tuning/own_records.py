"""What is recorded of the runs of a user's own network."""

from __future__ import annotations

import json
import math
import pathlib
from collections.abc import Container, Mapping
from typing import Any

from recipes.files import read_lines
from recipes.reporting.outcome import Outcome

_NAMES = ("rho", "seed", "epochs", "score", "test", "train_loss", "parameters", "seconds")


def read_runs(directory: pathlib.Path, seeds: Container[int]) -> list[dict[str, Any]]:
    """The runs of some seeds that a folder's files `records*.jsonl` hold, each once."""
    runs: dict[tuple[float, int, int], dict[str, Any]] = {}
    for file in sorted(directory.glob("records*.jsonl")):
        for run in read_lines(file, _run):
            runs.setdefault((run["rho"], run["seed"], run["epochs"]), run)
    return [run for run in runs.values() if run["seed"] in seeds]


def outcome(run: Mapping[str, Any]) -> Outcome:
    """A run in the form that is compared."""
    values = {name: number(run[name]) for name in ("score", "test", "train_loss")}
    return Outcome(rho=run["rho"], seed=run["seed"], **values)


def number(value: float | None) -> float:
    """A value of a record, NaN where the run diverged."""
    return math.nan if value is None else value


def _run(line: str) -> dict[str, Any]:
    run = json.loads(line)
    if not isinstance(run, dict) or not set(_NAMES) <= set(run):
        raise ValueError(f"A record must be an object with {_NAMES}. Received: `line={line!r}`")
    return run
