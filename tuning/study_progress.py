"""Progress of a study: a line a finished trial, and the time left."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from recipes.reporting.outcome import mean, standard_error
from recipes.reporting.titles import optimizer
from recipes.running.config import RunConfig
from recipes.running.records import DIVERGED, Record
from tuning.study import Study


class StudyProgress:
    """Shows how far the records of a study have come.

    Args:
        study: The study.
        records: Runs that were finished before.
        shown: Whether anything is shown. Defaults to `True`.
    """

    def __init__(self, study: Study, records: Iterable[Record], shown: bool = True) -> None:
        self.study = study
        self.shown = shown
        self._console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
            console=self._console,
            disable=not (shown and sys.stdout.isatty()),
        )
        self._task = self._bar.add_task("", total=study.runs, left="")
        self.records = list(records)
        self._before = len(self.records)
        if self.records and shown:
            self._console.print(f"Going on: {self._before} runs were finished before.")
        trials = {(r.config.width, r.config.rho) for r in self.records}
        self._told = {trial for trial in trials if self._complete(*trial)}
        self._began = time.monotonic()
        self._bar.start()

    def begin(self, config: RunConfig) -> None:
        """Names the run that is under way."""
        text = f"width {config.width:g}, rho {config.rho:g}, seed {config.seed}"
        self._bar.update(self._task, description=text)

    def update(self, records: Iterable[Record]) -> None:
        """Takes in the records that are new, and tells of the trials that they complete."""
        known = {(r.config.width, r.config.rho, r.config.seed) for r in self.records}
        for record in records:
            shortened = record.config.epochs != self.study.base.epochs  # By Hyperband.
            run = (record.config.width, record.config.rho, record.config.seed)
            if shortened or run in known:
                continue
            self.records.append(record)
            trial = (record.config.width, record.config.rho)
            if self._complete(*trial) and trial not in self._told:
                self._told.add(trial)
                self._tell(self._runs(*trial))
        left = self.seconds_left()
        text = "" if left is None else f"{_duration(left)} left"
        self._bar.update(self._task, completed=len(self.records), left=text)

    def close(self) -> None:
        """Ends the display."""
        self._bar.stop()

    def seconds_left(self) -> float | None:
        """An estimate of the time left; `None` where nothing is known.

        A run that is to come takes as long as others of its width and method did. A width that has
        not been seen continues the power law of the two nearest that have.
        """
        new = self.records[self._before :]
        if self.study.runs is None or not new:
            return None
        pace = (time.monotonic() - self._began) / max(1e-9, sum(r.seconds for r in new))
        trials = (self.study.space.count or 1) - 1
        left = 0.0
        for width in self.study.widths:
            for sam, count in ((False, 1), (True, trials)):
                done = sum(
                    r.config.width == width and (r.config.rho > 0) == sam for r in self.records
                )
                left += (count * len(self.study.seeds) - done) * self._seconds(width, sam)
        return pace * left

    def _seconds(self, width: float, sam: bool) -> float:
        """What one run is expected to take."""
        times: dict[float, list[float]] = {}
        for record in self.records:
            if (record.config.rho > 0) == sam:
                times.setdefault(record.config.width, []).append(record.seconds)
        if not times:
            return 2 * self._seconds(width, False) if sam else self._seconds(width, True) / 2
        near, *others = sorted(times, key=lambda seen: abs(seen - width))
        seconds = mean(times[near])
        if near == width or not others:
            return seconds
        slope = math.log(mean(times[others[0]]) / seconds) / math.log(others[0] / near)
        return seconds * (width / near) ** min(2.0, max(0.0, slope))

    def _complete(self, width: float, rho: float) -> bool:
        return len(self._runs(width, rho)) == len(self.study.seeds)

    def _runs(self, width: float, rho: float) -> list[Record]:
        return [r for r in self.records if (r.config.width, r.config.rho) == (width, rho)]

    def _tell(self, runs: list[Record]) -> None:
        if not self.shown:
            return
        config = runs[0].config
        total = "?" if self.study.runs is None else self.study.runs
        ended = [r for r in runs if r.status != DIVERGED]
        metric = self.study.metric
        validation = mean(r.selected[f"val_{metric.name}"] for r in ended)
        test = [r.selected[f"test_{metric.name}"] for r in ended]
        unit = " %" if metric.percent else ""
        method = f"{optimizer(config):<9}" if config.rho == 0 else f"rho {config.rho:<5g}"
        left = self.seconds_left()
        self._console.print(
            f"width {config.width:<5g} {method} "
            f"validation {metric.shown(validation):>6}{unit}  "
            f"test {metric.shown(mean(test), standard_error(test)):>6}{unit}"
            + (f"  {len(runs) - len(ended)} diverged" if len(ended) < len(runs) else "")
            + f"   run {len(self.records)} of {total}"
            + ("" if left is None else f", {_duration(left)} left")
        )


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
