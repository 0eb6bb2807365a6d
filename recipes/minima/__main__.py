"""The command line of `recipes.minima`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes import minima
from recipes.minima.measure import measure
from recipes.minima.report import line, table
from recipes.minima.setting import Setting
from recipes.running.experiment import Experiment, Result, one_by_one
from recipes.running.runtime import place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure


def figure(results: Sequence[Result]) -> Figure:
    """The figure of `recipes.minima.figure`, which `--help` need not wait for."""
    from recipes.minima.figure import figure

    return figure(results)


EXPERIMENT = Experiment(
    name="minima",
    module="recipes.minima",
    description=minima.__doc__,
    setting=Setting,
    grid={"rho": (0.0, 0.01, 0.03, 0.1, 0.3)},
    measure=one_by_one(measure),
    line=line,
    table=table,
    figure=figure,
    quick={
        **{"dataset": "digits", "width": 0.2, "train_size": 100, "batch_size": 50, "goal": 0.05},
        **{"max_steps": 3000, "rho": (0.0, 0.1), "seeds": 1},
    },
    environment=place,
)

if __name__ == "__main__":
    EXPERIMENT.main()
