"""What is recorded of the runs of a user's own network."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Container
from typing import Any

from recipes.files import read_lines

_NAMES = ("rho", "seed", "epochs", "score", "test", "train_loss", "parameters", "seconds")


def read_runs(directory: pathlib.Path, seeds: Container[int]) -> list[dict[str, Any]]:
    """The runs of some seeds that a folder's files `records*.jsonl` hold, each once."""
    runs: dict[tuple[float, int, int], dict[str, Any]] = {}
    for file in sorted(directory.glob("records*.jsonl")):
        for run in read_lines(file, _run):
            runs.setdefault((run["rho"], run["seed"], run["epochs"]), run)
    return [run for run in runs.values() if run["seed"] in seeds]


def _run(line: str) -> dict[str, Any]:
    run = json.loads(line)
    if not isinstance(run, dict) or not set(_NAMES) <= set(run):
        raise ValueError(f"A record must be an object with {_NAMES}. Received: `line={line!r}`")
    return run
