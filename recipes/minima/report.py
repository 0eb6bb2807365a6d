"""Table and figure of `recipes.minima`."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from recipes.comparison import standard_error
from recipes.minima.result import Result
from recipes.table import aligned


def table(results: Sequence[Result]) -> str:
    """One row for each rho, mean and standard error over seeds, as Markdown; notes below it."""
    header = ["rho", "seeds", "train loss", "test accuracy %", "lambda_max", "limit"]
    lines = [[*header, "eta lambda_max", "trace", "s_2"]]
    notes = ["Mean ± standard error over seeds. limit: the largest stable lambda."]
    for rho, group in _by_rho(results):
        fine = [result for result in group if not result.diverged]
        eta = group[0].setting.learning_rate
        columns: list[tuple[Callable[[Result], float], str]] = [
            (lambda r: r.loss, ".1e"),
            (lambda r: 100 * r.test_accuracy, ".2f"),
            (lambda r: r.lambda_max, ".2f"),
            (lambda r: r.setting.limit, ".2f"),
            (lambda r, eta=eta: eta * r.lambda_max, ".2f"),  # type: ignore[misc]
            (lambda r: r.trace, ".0f"),
            (lambda r: r.s_2, ".1f"),
        ]
        cells = [_cell([value(result) for result in fine], form) for value, form in columns]
        lines.append(["SGD" if rho == 0 else f"{rho:g}", str(len(fine)), *cells])
        if len(fine) < len(group):
            notes.append(f"rho {rho:g}: {len(group) - len(fine)} run(s) diverged.")
        late = [result for result in fine if result.loss > result.setting.goal]
        if late:
            notes.append(
                f"rho {rho:g}: {len(late)} run(s) above the goal of {late[0].setting.goal:g} "
                f"at the end."
            )
    return "\n".join([aligned(lines), "", *notes])


def figure(results: Sequence[Result]) -> Any:
    """lambda_max with the edge of stability, trace and s_2 against rho: a matplotlib `Figure`."""
    from matplotlib.figure import Figure

    groups = [
        (rho, [result for result in group if not result.diverged])
        for rho, group in _by_rho(results)
    ]
    groups = [(rho, group) for rho, group in groups if group]
    rhos = [rho for rho, _ in groups]
    positive = [rho for rho in rhos if rho > 0]
    drawn = Figure(figsize=(12, 3.6), layout="constrained")
    panels = drawn.subplots(1, 3)
    for axes, (name, label) in zip(
        panels,
        [("lambda_max", "largest eigenvalue"), ("trace", "trace"), ("s_2", "non-uniformity $s_2$")],
        strict=True,
    ):
        values = [[getattr(result, name) for result in group] for _, group in groups]
        errors = [np.nan_to_num(standard_error(value)) for value in values]
        means = [np.mean(value) for value in values]
        axes.errorbar(
            rhos, means, errors, fmt="o-", ms=4, capsize=2, color="#D55E00", label="measured"
        )
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
        drawn.suptitle(
            f"{one.dataset}, {one.train_size} examples, width {one.width:g}, learning rate "
            f"{one.learning_rate:g}: minima of SGD and SAM, {seeds} seed(s), bars: standard error"
        )
    return drawn


def _by_rho(results: Sequence[Result]) -> list[tuple[float, list[Result]]]:
    rhos = sorted({result.setting.rho for result in results})
    return [(rho, [r for r in results if r.setting.rho == rho]) for rho in rhos]


def _cell(values: Sequence[float], form: str) -> str:
    if not values or math.isnan(values[0]):
        return "-"
    text = format(np.mean(values), form)
    error = standard_error(values)
    return text if math.isnan(error) or error == 0 else f"{text} ± {error:{form}}"
