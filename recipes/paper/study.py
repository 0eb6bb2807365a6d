"""What the runs of one study came to, as one small file."""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from recipes.files import finite, write_atomically
from recipes.running.records import DIVERGED, Record

_PARTS = ("selected", "last", "best_test")


@dataclasses.dataclass(frozen=True)
class Study:
    """Runs, or results of an experiment, with what they share written once.

    Args:
        name: Of the study: that of its file.
        commands: Command lines that make it.
        entries: Flat mappings from dotted names to plain values, all of a run: its settings, its
            environment, its numbers.
        missing: Number of runs of the commands that are not there. Defaults to 0.

    Raises:
        ValueError: If there are no entries, or they are neither runs nor results of an experiment.

    Example:

    >>> study = Study("tiny", ("python -m tiny",), ({"setting.rho": 0.1, "loss": 2.0},))
    >>> study.results
    ({'rho': 0.1, 'loss': 2.0},)
    """

    name: str
    commands: tuple[str, ...]
    entries: tuple[Mapping[str, Any], ...]
    missing: int = 0

    def __post_init__(self) -> None:
        if not self.entries:
            raise ValueError(f"`entries` must not be empty. Received: study {self.name!r}")
        for entry in self.entries:
            kinds = {key.split(".")[0] for key in entry} & {"config", "setting"}
            if len(kinds) != 1:
                raise ValueError(
                    "`entries` must have a `config` (of a run) or a `setting` (of an experiment). "
                    f"Received: {sorted(entry)} in study {self.name!r}"
                )

    @functools.cached_property
    def records(self) -> list[Record]:
        """The runs, without their curves.

        Raises:
            ValueError: If the entries are no runs.
        """
        return [_record(entry) for entry in self.entries]

    @functools.cached_property
    def results(self) -> tuple[dict[str, Any], ...]:
        """An experiment's results, settings by their plain names."""
        return tuple(
            {key.removeprefix("setting."): value for key, value in entry.items()}
            for entry in self.entries
        )

    @property
    def seconds(self) -> float:
        """What all took together."""
        return sum(entry.get("seconds") or 0.0 for entry in self.entries)

    @property
    def devices(self) -> tuple[str, ...]:
        """What it ran on, with the backend where there is one."""
        found = []
        for entry in self.entries:
            place = str(entry.get("environment.device", "not recorded"))
            backend = entry.get("environment.backend")
            found.append(f"{place}, {backend}" if backend else place)
        return tuple(dict.fromkeys(found))

    def to_json(self) -> str:
        """The file's content, one line an entry."""
        names = list(dict.fromkeys(key for entry in self.entries for key in entry))
        first = self.entries[0]
        shared = {
            name: first[name]
            for name in names
            if all(name in e and _same(e[name], first[name]) for e in self.entries)
        }
        columns = [name for name in names if name not in shared]
        rows = [
            json.dumps(finite([entry.get(name) for name in columns]), allow_nan=False)
            for entry in self.entries
        ]
        head = {"commands": list(self.commands), "missing": self.missing}
        head |= {"shared": shared, "columns": columns}
        text = json.dumps(finite(head), indent=1, allow_nan=False)
        return text.removesuffix("\n}") + ',\n "rows": [\n  ' + ",\n  ".join(rows) + "\n ]\n}\n"

    @classmethod
    def from_json(cls, name: str, text: str) -> Study:
        """The study that `to_json` wrote.

        Raises:
            ValueError: If it is damaged.
        """
        try:
            data = json.loads(text, parse_constant=_refuse)
            columns, rows = data["columns"], data["rows"]
            if not all(isinstance(key, str) for key in [*columns, *data["commands"]]):
                raise ValueError("`columns` and `commands` must be texts")
            if any(len(row) != len(columns) for row in rows):
                raise ValueError(f"each row must have {len(columns)} values")
            entries = tuple(
                {**data["shared"], **dict(zip(columns, row, strict=True))} for row in rows
            )
            study = cls(name, tuple(data["commands"]), entries, int(data["missing"]))
            if any(key.startswith("config.") for key in entries[0]):
                _ = study.records
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{name}.json must be a file that `python -m recipes.paper --add` wrote. "
                f"Received: {type(error).__name__}: {error}"
            ) from error
        return study

    def write(self, folder: pathlib.Path) -> pathlib.Path:
        """Writes the file NAME.json in a folder."""
        path = folder / f"{self.name}.json"
        write_atomically(path, self.to_json().encode())
        return path


def read_studies(folder: pathlib.Path) -> dict[str, Study]:
    """All studies of a folder by name.

    Raises:
        ValueError: If a file is damaged.
    """
    return {
        path.stem: Study.from_json(path.stem, path.read_text(encoding="utf-8"))
        for path in sorted(pathlib.Path(folder).glob("*.json"))
    }


def flat(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, names joined by dots; an empty one stays as it is.

    Example:

    >>> flat({"config": {"rho": 0.1, "options": {}}, "seconds": 2})
    {'config.rho': 0.1, 'config.options': {}, 'seconds': 2}
    """
    found: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def nested(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What `flat` made flat."""
    data: dict[str, Any] = {}
    for name, value in entry.items():
        *path, last = name.split(".")
        place = data
        for key in path:
            place = place.setdefault(key, {})
        place[last] = value
    return data


def _record(entry: Mapping[str, Any]) -> Record:
    if not any(key.startswith("config.") for key in entry):
        raise ValueError("A study of an experiment has no records.")
    entry = {"curves": {}, "train": {}, **entry}
    if entry.get("status") == DIVERGED:
        entry = {key: value for key, value in entry.items() if key.split(".")[0] not in _PARTS}
        entry |= {part: {} for part in _PARTS}
    else:
        entry = {key: value for key, value in entry.items() if key not in _PARTS}
    if any(key.startswith("train.") for key in entry):
        del entry["train"]
    return Record.from_json(json.dumps(nested(entry)))


def _same(first: Any, second: Any) -> bool:
    return type(first) is type(second) and first == second


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")
