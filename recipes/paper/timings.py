"""Step times as a study: what `tests.benchmarks.step_time --json FILE` wrote."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from recipes.paper.study import Study

_SETTINGS = ("package", "network", "filters", "batch_size", "backend", "rho", "sparsity")


def add_timings(name: str, file: pathlib.Path) -> Study:
    """One entry for each step and round; the round is the seed, since rounds are paired.

    Raises:
        ValueError: If the file is not one that step_time wrote, or holds no time.
    """
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        entries = [
            _entry(document["machine"], one, index, seconds)
            for one in document["measurements"]
            if one["failure"] is None
            for index, seconds in enumerate(one["step_seconds"])
        ]
        if not entries:
            raise ValueError("it holds no times")
        command = _command(document["settings"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            "`folders` must be a file that `tests.benchmarks.step_time --json` wrote. "
            f"Received: {file} ({type(error).__name__}: {error})"
        ) from error
    return Study(name, (command,), tuple(entries))


def _command(settings: Mapping[str, Any]) -> str:
    words = ["python -m tests.benchmarks.step_time"]
    for key, value in settings.items():
        if key != "json" and value not in (None, False, []):
            texts = [] if value is True else value if isinstance(value, list) else [value]
            words += ["--" + key.replace("_", "-"), *map(str, texts)]
    return " ".join(words)


def _entry(machine: Any, one: Any, index: int, seconds: float) -> dict[str, Any]:
    variant = one["variant"]
    settings = {f"setting.{key}": variant[key] for key in _SETTINGS}
    settings["setting.method"] = variant.get("method", "")
    # Keras's own step, without keras_sam, is told from rho 0.
    settings["setting.rho"] = "plain" if variant["rho"] is None else variant["rho"]
    return {
        **settings,
        "setting.seed": index,
        "environment.device": one["device"],
        "environment.python": machine["python"],
        "environment.platform": machine["platform"],
        "milliseconds": float(f"{1000 * seconds:.6g}"),
        "peak_memory": float(f"{one['peak_memory']:.6g}"),
    }
