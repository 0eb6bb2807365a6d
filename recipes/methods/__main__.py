"""The command line of `recipes.methods`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes import methods
from recipes.methods.measure import measure
from recipes.methods.setting import Setting
from recipes.methods.variants import VARIANTS
from recipes.running.experiment import Experiment, Result
from recipes.running.runtime import place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure


def line(result: Result) -> str:
    """One result, for those who watch."""
    from recipes.methods.report import line

    return line(result)


def table(results: Sequence[Result]) -> str:
    """The table of `recipes.methods.report`, which `--help` need not wait for."""
    from recipes.methods.report import table

    return table(results)


def figure(results: Sequence[Result]) -> Figure:
    """The figure of `recipes.methods.figure`."""
    from recipes.methods.figure import figure

    return figure(results)


EXPERIMENT = Experiment(
    name="methods",
    module="recipes.methods",
    description=methods.__doc__,
    setting=Setting,
    grid={"method": tuple(VARIANTS), "rho": (0.05, 0.1, 0.2)},
    measure=measure,
    line=line,
    table=table,
    figure=figure,
    quick={"epochs": 4, "rho": (0.1,), "method": ("sgd", "sam", "looksam", "msam"), "seeds": 2},
    environment=place,
)

if __name__ == "__main__":
    EXPERIMENT.main()
