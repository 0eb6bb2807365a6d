"""Experiments that are not one training: settings in, a line of numbers out, then table and figure.

An experiment is a frozen dataclass of settings, a function that measures, and two that show what
was measured. Flags, the grid over which it runs, the file of results, going on after an interrupt
and the lock are the same for all.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import math
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from recipes.files import append_line, finite, read_lines, with_nan, write_atomically
from recipes.running.command_line import OUTPUT
from recipes.running.environment import environment
from recipes.running.flags import Parser, add_flags, field_names, given
from recipes.running.interrupt import command
from recipes.running.lock import locked

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """What was measured at one setting.

    Args:
        setting: The setting, an instance of the experiment's dataclass.
        values: Numbers, lists of numbers and texts by name; what is unknown is NaN.
        environment: Versions and device. Defaults to nothing.
        seconds: Time that it took. Defaults to NaN.

    Example:

    >>> Result(setting=None, values={"loss": 0.5})["loss"]
    0.5
    """

    setting: Any
    values: Mapping[str, Any]
    environment: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    seconds: float = math.nan

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def to_json(self) -> str:
        """One line of strict JSON: what is not finite is null."""
        data = {
            "setting": dataclasses.asdict(self.setting),
            "environment": dict(self.environment),
            **self.values,
            "seconds": self.seconds,
        }
        return json.dumps(finite(data), allow_nan=False)

    @classmethod
    def from_json(cls, line: str, setting: type) -> Result:
        """The result that `to_json` wrote, with NaN for null, of a given dataclass of settings."""
        data = with_nan(json.loads(line))
        settings = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in data.pop("setting").items()
        }
        return cls(
            setting=setting(**settings),
            environment=data.pop("environment"),
            seconds=data.pop("seconds"),
            values=data,
        )


# From the settings that are to be measured to (setting, values), in any order.
Measure = Callable[[Sequence[Any]], Iterator[tuple[Any, Mapping[str, Any]]]]


def one_by_one(measure: Callable[[Any], Mapping[str, Any]]) -> Measure:
    """A `Measure` from a function that measures at one setting."""

    def run(settings: Sequence[Any]) -> Iterator[tuple[Any, Mapping[str, Any]]]:
        for setting in settings:
            yield setting, measure(setting)

    return run


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """Settings, a measurement, a table and a figure.

    Args:
        name: Results go to a folder of this name; its last part names table and figure.
        module: What `python -m` runs it by.
        description: For `--help`.
        setting: A frozen dataclass, whose fields are made by `recipes.running.flags.setting` and
            checked in `__post_init__` by a ValueError. A field `seed` is counted up.
        grid: From fields to the values that they go through by default. Their flags are plural:
            "rho" becomes `--rhos`.
        measure: What is done at the settings that have no result yet.
        line: One line of a result, for those who watch.
        table: The results as text. All that is shown is drawn from the results alone.
        figure: The results as a figure.
        quick: What `--quick` changes: settings, `seeds`, and the grid by its fields' names.
        seeds: Number of seeds. Defaults to 5; 0 if the settings have no `seed`.
        environment: What is recorded of the place. Defaults to Python, NumPy and SciPy.
    """

    name: str
    module: str
    description: str | None
    setting: type
    grid: Mapping[str, Sequence[Any]]
    measure: Measure
    line: Callable[[Result], str]
    table: Callable[[Sequence[Result]], str]
    figure: Callable[[Sequence[Result]], Figure]
    quick: Mapping[str, Any]
    seeds: int = 5
    environment: Callable[[], Mapping[str, Any]] = environment

    def main(self, arguments: Sequence[str] | None = None) -> None:
        """Measures what is not measured yet, prints the table and draws the figure."""
        parser = self.parser()
        parsed = parser.parse_args(arguments)
        try:
            settings = self.settings(parsed)
        except (TypeError, ValueError) as error:
            parser.error(str(error))
        folder = parsed.output / self.name
        with command("Stopped. The same command goes on with what is missing."), locked(folder):
            text, drawn = self._show(folder, self._results(folder / "results.jsonl", settings))
        print(text)
        print(drawn)

    def settings(self, parsed: argparse.Namespace) -> list[Any]:
        """The settings that the flags ask for.

        Raises:
            ValueError: If one is out of range.
        """
        quick = dict(self.quick) if parsed.quick else {}
        grid = {
            name: getattr(parsed, _plural(name), quick.pop(name, values))
            for name, values in self.grid.items()
        }
        if self.seeds:
            seeds = getattr(parsed, "seeds", quick.pop("seeds", self.seeds))
            if seeds < 1:
                raise ValueError(f"`seeds` must be >= 1. Received: `seeds={seeds}`")
            grid = {"seed": range(seeds), **grid}
        common = {**quick, **given(vars(parsed), field_names(self.setting))}
        points = [
            dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())
        ]
        settings = [self.setting(**{**common, **point}) for point in points]
        return list(dict.fromkeys(settings))

    def _results(self, path: pathlib.Path, settings: Sequence[Any]) -> list[Result]:
        done = {
            result.setting: result
            for result in read_lines(path, lambda line: Result.from_json(line, self.setting))
        }
        left = [setting for setting in settings if setting not in done]
        number = len(settings) - len(left)
        began = time.monotonic()
        for setting, values in self.measure(left) if left else ():
            result = Result(
                setting=setting,
                values=values,
                environment=self.environment(),
                seconds=round(time.monotonic() - began, 1),
            )
            append_line(path, result.to_json())
            done[setting] = result
            number += 1
            print(f"{number}/{len(settings)}  {self.line(result)}", flush=True)
            began = time.monotonic()
        return [done[setting] for setting in settings]

    def _show(self, folder: pathlib.Path, results: Sequence[Result]) -> tuple[str, pathlib.Path]:
        name = pathlib.PurePath(self.name).name
        text = self.table(results)
        write_atomically(folder / f"{name}.md", text.encode() + b"\n")
        drawn = folder / f"{name}.png"
        self.figure(results).savefig(drawn, dpi=150)
        return text, drawn

    def parser(self) -> argparse.ArgumentParser:
        """The command line."""
        parser = Parser(
            prog=f"python -m {self.module}",
            description=self.description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.add_argument("--output", type=pathlib.Path, default=OUTPUT, help="folder of runs")
        quick = ", ".join(f"{key} {_text(value)}" for key, value in self.quick.items())
        parser.add_argument("--quick", action="store_true", help=f"small and fast: {quick}")
        fields = {field.name: field for field in dataclasses.fields(self.setting)}
        for name, values in self.grid.items():
            metadata = fields[name].metadata
            parser.add_argument(
                "--" + _plural(name).replace("_", "-"),
                type=type(values[0]),
                nargs="+",
                default=argparse.SUPPRESS,
                choices=metadata.get("choices"),
                help=f"{metadata['help']} (default: {_text(values)})",
            )
        if self.seeds:
            text = f"number of seeds (default: {self.seeds})"
            parser.add_argument("--seeds", type=int, default=argparse.SUPPRESS, help=text)
        add_flags(parser, self.setting, leave_out=(*self.grid, "seed"))
        return parser


def _plural(name: str) -> str:
    return name if name.endswith("s") else f"{name}s"


def _text(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
