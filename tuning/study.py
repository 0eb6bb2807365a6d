"""A study: rho searched on each width of a recipe. What it finds is a function of its records."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Callable
from typing import Any

from recipes.reporting.comparison import Comparison, comparisons
from recipes.reporting.outcome import mean
from recipes.running.config import RunConfig
from recipes.running.metric import Metric
from recipes.running.recipe import find, read_config
from recipes.running.records import DIVERGED, Record, read_records
from tuning.folder import claim, read_settings
from tuning.space import Space, checked_seeds


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """The settings of a study, and its folder.

    Args:
        folder: Where its records go, in files `records*.jsonl`.
        base: The settings that all runs share; their width, rho and seed do not count.
        widths: Widths of the network.
        space: Which rhos are tried on each.
        seeds: Seeds of the runs of each rho. Runs of one seed are a pair: the same initial weights,
            splits, label noise, order and augmentation.

    Raises:
        ValueError: If there are no widths or no seeds, or some are there twice.
    """

    folder: pathlib.Path
    base: RunConfig
    widths: tuple[float, ...]
    space: Space
    seeds: tuple[int, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.base, RunConfig):
            raise TypeError(f"`base` must be a RunConfig. Received: `base={self.base!r}`")
        if not isinstance(self.space, Space):
            raise TypeError(f"`space` must be a Space. Received: `space={self.space!r}`")
        object.__setattr__(self, "folder", pathlib.Path(self.folder))
        object.__setattr__(self, "widths", tuple(float(width) for width in self.widths))
        object.__setattr__(self, "seeds", checked_seeds(self.seeds))
        if not self.widths or len(set(self.widths)) < len(self.widths):
            raise ValueError(
                f"`widths` must be one or more different values. Received: `widths={self.widths}`"
            )
        # One form for equal studies; and a width out of range is told here.
        configs = [self.base.replace(width=w, rho=0.0, seed=self.seeds[0]) for w in self.widths]
        object.__setattr__(self, "base", configs[0])

    @property
    def metric(self) -> Metric:
        """What chooses rho, and is reported."""
        return find(self.base.recipe).metric

    @property
    def networks(self) -> dict[str, float]:
        """From the name that a width has in trials to the width."""
        return {f"width {width!r}": width for width in self.widths}

    @property
    def runs(self) -> int | None:
        """Number of runs, `None` where Hyperband decides."""
        count = self.space.count
        return None if count is None else count * len(self.widths) * len(self.seeds)

    def config(self, width: float, rho: float, seed: int, epochs: int | None = None) -> RunConfig:
        """The settings of one run."""
        changes: dict[str, Any] = {"width": width, "rho": rho, "seed": seed}
        return self.base.replace(**changes, epochs=self.base.epochs if epochs is None else epochs)

    def records(self) -> list[Record]:
        """The finished runs that belong to this study; Hyperband's shorter runs do not."""
        return [
            record
            for record in read_records(*sorted(self.folder.glob("records*.jsonl")))
            if record.config.seed in self.seeds
            and record.config.width in self.widths
            and record.config
            == self.config(record.config.width, record.config.rho, record.config.seed)
        ]

    def comparisons(self, report: str = "selected") -> list[Comparison]:
        """SAM against SGD on each width, from the records."""
        return comparisons(self.records(), report)

    def settings(self) -> dict[str, Any]:
        """The study's settings as plain data."""
        return {
            "base": self.base.to_dict(),
            "widths": list(self.widths),
            "seeds": list(self.seeds),
            "space": {**dataclasses.asdict(self.space), "rhos": list(self.space.rhos)},
        }

    def claim_folder(self, update: bool = False) -> None:
        """Writes the settings to the folder, or checks that they are those of the study in it.

        Args:
            update: If `True`, these settings replace those in the folder. Runs that belong to both
                are kept. Defaults to `False`.

        Raises:
            ValueError: If the folder is that of a study with other settings.
        """
        claim(self.folder / "study.json", self.settings(), update)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Study:
        """The study of a folder.

        Raises:
            FileNotFoundError: If there is none.
        """
        folder = pathlib.Path(folder)
        settings = read_settings(folder / "study.json")
        return cls(
            folder=folder,
            base=read_config(settings["base"]),
            widths=tuple(settings["widths"]),
            space=Space(**settings["space"]),
            seeds=tuple(settings["seeds"]),
        )

    def peers(self, width: float, rho: float, epochs: int | None = None) -> list[RunConfig]:
        """The runs that are best trained together with those of one trial: its seeds.

        Of a grid, those of all rhos: what its later trials ask for is then in the records.
        """
        rhos = (0.0, *self.space.rhos) if self.space.strategy == "grid" else (rho,)
        return [self.config(width, r, seed, epochs) for r in rhos for seed in self.seeds]

    def trial(
        self,
        train: Callable[[RunConfig], Record],
        together: Callable[[list[RunConfig]], None] | None = None,
    ) -> Callable[[str, float, int | None], float | None]:
        """What `search` runs: all seeds of one network at one rho.

        Args:
            train: From the settings of a run to its record, which may exist already.
            together: What may train a trial's peers at once before. Defaults to nothing.

        Returns:
            `(network, rho, epochs)` -> mean best validation metric, turned so that higher is
            better; `None` if a run diverged.
        """
        metric = self.metric

        def run(network: str, rho: float, epochs: int | None) -> float | None:
            width = self.networks[network]
            if together is not None:
                together(self.peers(width, rho, epochs))
            records = [train(self.config(width, rho, seed, epochs)) for seed in self.seeds]
            if any(record.status == DIVERGED for record in records):
                return None
            return metric.sign * mean(record.selected[f"val_{metric.name}"] for record in records)

        return run
