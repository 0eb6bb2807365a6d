"""What `recipes.methods` says of its results."""

from __future__ import annotations

import math
from collections.abc import Sequence

from recipes.methods.comparison import metric_of, rows
from recipes.methods.variants import SGD, VARIANTS
from recipes.reporting.markdown import aligned
from recipes.reporting.titles import count
from recipes.running.experiment import Result


def line(result: Result) -> str:
    """One result, for those who watch."""
    setting = result.setting
    text = f"{setting.method}, rho {setting.rho:g}, seed {setting.seed}: "
    if result["diverged"]:
        return f"{text}diverged, {result.seconds} s"
    metric = metric_of([result])
    test = metric.shown(result["test"][int(result["selected"]) - 1])
    return f"{text}{metric.column} {test}, {result.seconds} s"


def table(results: Sequence[Result]) -> str:
    """One row a method, as Markdown; a note below it."""
    metric = metric_of(results)
    found = rows(results)
    header = ["method", "passes", "epoch", "best rho", metric.column, "gain", "gain, last epoch"]
    lines = [[*header, "time to SGD's best", "reached"]]
    for row in found:
        passes = VARIANTS[row.method].passes
        plain = row.method == SGD
        unit = VARIANTS[row.method].unit
        lines.append(
            [
                row.method,
                "1 to 2" if math.isnan(passes) else f"{passes:g}",
                f"{row.epoch_time:.2f}x",
                "" if plain else f"{unit * row.best.rho:g}",
                metric.shown(row.best.test, row.best.test_error),
                "" if plain else metric.shown(row.best.gain, row.best.gain_error, signed=True),
                "" if plain else metric.shown(row.last_gain, row.last_gain_error, signed=True),
                "-" if math.isnan(row.time_to_equal) else f"{row.time_to_equal:.2f}x",
                f"{row.reached}/{row.seeds}",
            ]
        )
    seeds = max(row.seeds for row in found)
    note = (
        f"Mean ± standard error over {count(seeds, 'seed')}, gains paired by seed; rho selected on "
        "validation data. epoch: the time that one takes, against SGD's, in the same process. time "
        "to SGD's best: until the validation metric is SGD's best, against SGD itself; the median "
        "over those seeds at which it is reached."
    )
    return f"{aligned(lines)}\n\n{note}"
