"""The figure of `recipes.minima`."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from recipes.minima.report import by_rho, diverged
from recipes.reporting.axes import SAM
from recipes.reporting.figures import WIDTH
from recipes.reporting.outcome import standard_error
from recipes.reporting.titles import count, wrapped
from recipes.running.experiment import Result


def figure(results: Sequence[Result]) -> Figure:
    """lambda_max with the edge of stability, trace and s_2 against rho."""
    groups = [
        (rho, [result for result in group if not diverged(result)])
        for rho, group in by_rho(results)
    ]
    groups = [(rho, group) for rho, group in groups if group]
    rhos = [rho for rho, _ in groups]
    positive = [rho for rho in rhos if rho > 0]
    drawn = Figure(figsize=(WIDTH, 6), layout="constrained", facecolor="white")
    *panels, spare = drawn.subplots(2, 2).flat
    spare.remove()
    for axes, (name, label) in zip(
        panels,
        [("lambda_max", "largest eigenvalue"), ("trace", "trace"), ("s_2", "non-uniformity $s_2$")],
        strict=True,
    ):
        values = [[result[name] for result in group] for _, group in groups]
        errors = [np.nan_to_num(standard_error(value)) for value in values]
        means = [np.mean(value) for value in values]
        axes.errorbar(rhos, means, errors, fmt="o-", ms=4, capsize=2, color=SAM, label="measured")
        if positive:
            axes.set_xscale("symlog", linthresh=min(positive))
        axes.set_xticks(rhos, labels=["SGD" if rho == 0 else f"{rho:g}" for rho in rhos])
        axes.set_xticks([], minor=True)
        axes.set(xlabel="rho", ylabel=label)
        axes.spines[["top", "right"]].set_visible(False)
    if groups:
        one = groups[0][1][0].setting
        grid = np.linspace(0, max(rhos), 2000)
        limits = [dataclasses.replace(one, rho=float(rho)).limit for rho in grid]
        panels[0].plot(grid, limits, color="0.5", linestyle="--", label="edge of stability")
        panels[0].legend(frameon=False, fontsize="small")
        for axes in panels:
            axes.set_ylim(bottom=0)
        seeds = max(len(group) for _, group in groups)
        title = (
            f"{one.dataset}, {one.train_size} examples, width {one.width:g}, learning rate "
            f"{one.learning_rate:g}: minima of SGD and SAM, {count(seeds, 'seed')}, "
            "bars: standard error"
        )
        drawn.suptitle(wrapped(title, WIDTH), fontsize="medium")
    return drawn
