"""The figure of `recipes.methods`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.figure import Figure

from recipes.methods.comparison import metric_of, rows
from recipes.methods.variants import SGD
from recipes.reporting.axes import SAM, finish
from recipes.reporting.titles import count
from recipes.running.experiment import Result
from recipes.running.recipe import find


def figure(results: Sequence[Result]) -> Figure:
    """Gain of each method against what an epoch of it takes, at the selected and the last epoch."""
    metric = metric_of(results)
    found = [row for row in rows(results) if row.method != SGD]
    drawn = Figure(figsize=(6.4, 8), layout="constrained", facecolor="white")
    panels = drawn.subplots(2, 1)
    for axes, which in zip(panels, ("selected epoch", "last epoch"), strict=True):
        for row in found:
            last = which == "last epoch"
            gain = row.last_gain if last else row.best.gain
            error = row.last_gain_error if last else row.best.gain_error
            y, bar = metric.factor * gain, 0.0 if math.isnan(error) else metric.factor * error
            axes.errorbar(row.epoch_time, y, bar, fmt="o", ms=5, capsize=2, color=SAM)
            axes.annotate(
                row.method, (row.epoch_time, y), (5, 4), textcoords="offset points", fontsize=8
            )
        finish(axes, "time of an epoch, in SGD's", metric.gain_label, legend=False, zero=True)
        axes.set_title(which, fontsize="medium")
        axes.margins(x=0.15)
    setting = results[0].setting
    config = setting.config
    noise = f"{config.label_noise:.0%} label noise, " if config.label_noise else ""
    seeds = max((row.seeds for row in found), default=0)
    drawn.suptitle(
        f"{find(setting.recipe).title}, width {config.width:g}, {noise}"
        f"{count(config.epochs, 'epoch')}, {count(seeds, 'seed')}, bars: standard error"
    )
    return drawn
