"""From the folder of a study that has run to the study that is kept."""

from __future__ import annotations

import functools
import importlib
import json
import math
import pathlib
import shlex
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from recipes.files import read_lines
from recipes.paper.study import Study, flat
from recipes.paper.timings import add_timings
from recipes.reporting.comparison import Comparison, comparisons
from recipes.running.experiment import Experiment, Result
from recipes.running.recipe import find
from recipes.running.records import Record, read_records

# What is measured is kept to so many digits: far below its spread, and half the file.
_DIGITS = 8


def add(name: str, folders: Sequence[pathlib.Path], commands: Sequence[str] = ()) -> Study:
    """The study of what was recorded below some folders.

    Args:
        name: What it is called.
        folders: With files `records*.jsonl` of runs, or `results.jsonl` of an experiment; or one
            file of step times.
        commands: Of an experiment: its command lines, whose results alone are kept. Those of runs
            are made from their settings.

    Raises:
        ValueError: If there is nothing, or not of one recipe, or results of an experiment are not
            those of `commands`.
    """
    if pathlib.PurePath(name).name != name or not name or name.startswith("."):
        raise ValueError(f"`name` must be a file's name without ending. Received: `name={name!r}`")
    if len(folders) == 1 and folders[0].suffix == ".json":
        return add_timings(name, folders[0])
    files = [file for folder in folders for file in sorted(folder.rglob("results.jsonl"))]
    records = [record for folder in folders for record in read_records(folder)]
    if bool(files) == bool(records):
        found = "both" if files else "neither"
        raise ValueError(
            "`folders` must hold either records of runs or results of an experiment. "
            f"Received: `folders={[str(folder) for folder in folders]}`, with {found}"
        )
    if records:
        return _of_runs(name, records)
    return _of_experiment(name, files, commands)


def _of_runs(name: str, records: Sequence[Record]) -> Study:
    recipes = {record.config.recipe for record in records}
    if len(recipes) > 1:
        raise ValueError(f"The runs of a study must be of one recipe. Received: {sorted(recipes)}")
    unique = {json.dumps(r.config.to_dict(), sort_keys=True): r for r in reversed(records)}
    records = sorted(unique.values(), key=_order)
    commands, missing = command_lines(records)
    entries = tuple(map(_run, records))
    return Study(name, _on(entries, commands), entries, missing)


def _order(record: Record) -> tuple[str, float, float, int]:
    config = record.config.replace(width=1.0, rho=0.0, seed=0)
    c = record.config
    return json.dumps(config.to_dict(), sort_keys=True), c.width, c.rho, c.seed


def _run(record: Record) -> dict[str, Any]:
    """A record without curves, and with what outcomes are made of alone."""
    data = json.loads(record.to_json())
    metric = record.metric.name
    kept = ("epoch", f"test_{metric}", f"val_{metric}", "val_loss")
    for part in ("selected", "last", "best_test"):
        data[part] = {key: data[part][key] for key in kept if key in data[part]}
    data["train"] = {key: value for key, value in data["train"].items() if key == "loss"}
    del data["curves"]
    entry = flat(data)
    return {k: v if k.startswith("config.") else _rounded(v) for k, v in entry.items()}


def command_lines(records: Iterable[Record]) -> tuple[list[str], int]:
    """The commands of `tuning.rho_search` that make some runs, and how many they lack of them.

    One command for each set of settings that widths, radii and seeds alone tell apart.
    """
    groups: dict[str, list[Comparison]] = {}
    for comparison in comparisons(records):
        assert comparison.config is not None
        same = comparison.config.replace(width=1.0).to_dict()
        groups.setdefault(json.dumps(same, sort_keys=True), []).append(comparison)
    lines, missing = [], 0
    for group in groups.values():
        config = group[0].config
        assert config is not None
        widths = sorted({comparison.width for comparison in group})
        rhos = sorted({result.rho for c in group for result in c.results} - {0.0})
        seeds = max(len(r.tests) + r.diverged for c in group for r in c.results)
        made = sum(len(r.tests) + r.diverged for c in group for r in c.results)
        missing += len(widths) * (len(rhos) + 1) * seeds - made
        recipe = find(config.recipe)
        flags = [f"--widths {_text(widths)}", f"--rhos {_text(rhos)}", f"--seeds {seeds}"]
        for key, (value, _) in config.differences(recipe.default).items():
            if key not in ("width", "rho", "seed"):
                flags.append(_flag(key, value))
        lines.append(f"python -m tuning.rho_search {recipe.name} {' '.join(flags)}")
    return lines, missing


def _flag(key: str, value: Any) -> str:
    name = key.replace("_", "-")
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no-{name}"
    return f"--{name} {_text(value if isinstance(value, tuple) else (value,))}"


def _text(values: Iterable[Any]) -> str:
    texts = ("none" if v is None else f"{v:g}" if isinstance(v, float) else str(v) for v in values)
    return " ".join(map(shlex.quote, texts))


def _of_experiment(name: str, files: Sequence[pathlib.Path], commands: Sequence[str]) -> Study:
    if not commands:
        raise ValueError(
            f"`commands` must be given for results of an experiment. Received: study {name!r}"
        )
    entries: dict[Any, dict[str, Any]] = {}
    for command in commands:
        experiment, settings = asked(command)
        results: dict[Any, Result] = {}
        for file in files:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Lines of other experiments are none of this one.
                results |= {
                    result.setting: result
                    for result in read_lines(file, functools.partial(_read, experiment))
                }
        absent = [setting for setting in settings if setting not in results]
        if absent:
            raise ValueError(
                f"{len(absent)} of {len(settings)} results of `{command}` are missing. "
                f"Received: `files={[str(file) for file in files]}`, without {absent[0]}"
            )
        entries |= {setting: _result(results[setting]) for setting in settings}
    kept = tuple(entries.values())
    return Study(name, _on(kept, commands), kept)


def _on(entries: Sequence[Mapping[str, Any]], commands: Sequence[str]) -> tuple[str, ...]:
    """The commands with the backend they ran on, where it is not the default."""
    backends = {entry.get("environment.backend", "tensorflow") for entry in entries}
    backend = backends.pop() if len(backends) == 1 else "tensorflow"
    prefix = "" if backend == "tensorflow" else f"KERAS_BACKEND={backend} "
    return tuple(f"{prefix}{command}" for command in commands)


def asked(command: str) -> tuple[Experiment, list[Any]]:
    """The experiment of a command line `python -m recipes....`, and the settings it asks for.

    Raises:
        ValueError: If it is not the command line of an experiment.
    """
    words = shlex.split(command)
    if words[:2] != ["python", "-m"] or len(words) < 3 or not words[2].startswith("recipes."):
        raise ValueError(
            f"A command must be `python -m recipes.NAME ...`. Received: `command={command!r}`"
        )
    module = importlib.import_module(f"{words[2]}.__main__")
    experiment = getattr(module, "EXPERIMENT", None)
    if not isinstance(experiment, Experiment):
        raise ValueError(f"A command must be of an experiment. Received: `command={command!r}`")
    return experiment, experiment.settings(experiment.parser().parse_args(words[3:]))


def _read(experiment: Experiment, line: str) -> Result:
    return Result.from_json(line, experiment.setting)


def _result(result: Result) -> dict[str, Any]:
    data = json.loads(result.to_json())
    setting = {"setting": data.pop("setting")}
    return flat(setting) | {key: _rounded(v) for key, v in flat(_summarised(data)).items()}


def _summarised(data: Mapping[str, Any]) -> dict[str, Any]:
    """Lists of numbers by what is asked of them later: their ends, their extremes, their number."""
    found: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, list):
            known = [v for v in value if isinstance(v, int | float) and math.isfinite(v)]
            ends = {"first": value[0], "last": value[-1]} if value else {}
            extremes = {"least": min(known), "most": max(known)} if known else {}
            found[key] = ends | extremes | {"count": len(known)}
        else:
            found[key] = value
    return found


def _rounded(value: Any) -> Any:
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value
