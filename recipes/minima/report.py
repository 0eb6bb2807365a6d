"""What `recipes.minima` says of its results."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from recipes.reporting.markdown import aligned
from recipes.reporting.outcome import mean, standard_error
from recipes.reporting.titles import count
from recipes.running.experiment import Result

_MOMENTS = ("s_2", "s_3", "s_4")


def diverged(result: Result) -> bool:
    """Whether the loss is no longer finite."""
    return not math.isfinite(result["loss"])


def line(result: Result) -> str:
    """One result, for those who watch."""
    setting = result.setting
    text = f"rho {setting.rho:g}, seed {setting.seed}: {result['steps']} steps, "
    if diverged(result):
        return text + f"diverged, {result.seconds} s"
    return (
        f"{text}loss {result['loss']:.1e}, lambda_max {result['lambda_max']:.2f} "
        f"(limit {setting.limit:.2f}), trace {result['trace']:.0f}, s_2 {result['s_2']:.1f}, "
        f"{result.seconds} s"
    )


def table(results: Sequence[Result]) -> str:
    """One row for each rho, mean and standard error over seeds, as Markdown; notes below it."""
    header = ["rho", "seeds", "train loss", "test accuracy %", "lambda_max", "limit"]
    moments = [f"{name}{what}" for name in _MOMENTS for what in ("", " limit")]
    lines = [[*header, "eta lambda_max", "trace", *moments]]
    notes = [
        "Mean ± standard error over seeds. limit: the largest stable lambda. Limits of s_k: Eq. 7, "
        "for steps on single examples; batches of B, drawn with replacement, allow sqrt(B) times "
        "as much of s_2. They are necessary for condition (6), not for stability itself."
    ]
    if any(_uncentred(result.setting, name) for result in results for name in _MOMENTS):
        notes.append(
            "*: rho > eta / 2, where Eq. 7 bounds the centred moments M_3 - sym(H M_2) and "
            "M_4 - M_2^2 alone, and not M_k - H^k, which s_k is of."
        )
    for rho, group in by_rho(results):
        fine = [result for result in group if not diverged(result)]
        eta = group[0].setting.learning_rate
        columns: list[tuple[Callable[[Result], float], str]] = [
            (lambda r: r["loss"], ".1e"),
            (lambda r: 100 * r["test_accuracy"], ".2f"),
            (lambda r: r["lambda_max"], ".2f"),
            (lambda r: r.setting.limit, ".2f"),
            (lambda r, eta=eta: eta * r["lambda_max"], ".2f"),  # type: ignore[misc]
            (lambda r: r["trace"], ".0f"),
        ]
        cells = [_cell([value(result) for result in fine], form) for value, form in columns]
        for name in _MOMENTS:
            mark = " *" if _uncentred(group[0].setting, name) else ""
            # Results of before version 0.2 have s_2 alone.
            cells.append(_cell([r.values.get(name, math.nan) for r in fine], ".1f"))
            cells.append(_cell([group[0].setting.limits[name]], ".1f") + mark)
        lines.append(["SGD" if rho == 0 else f"{rho:g}", str(len(fine)), *cells])
        if len(fine) < len(group):
            notes.append(f"rho {rho:g}: {count(len(group) - len(fine), 'run')} diverged.")
        late = [result for result in fine if result["loss"] > result.setting.goal]
        if late:
            notes.append(
                f"rho {rho:g}: {count(len(late), 'run')} above the goal of "
                f"{late[0].setting.goal:g} at the end."
            )
    return "\n".join([aligned(lines), "", *notes])


def _uncentred(setting: Any, name: str) -> bool:
    """Whether Eq. 7 holds for the centred moment and not for the one that is measured."""
    finite = math.isfinite(setting.limits[name])
    return finite and name in ("s_3", "s_4") and setting.rho > setting.learning_rate / 2


def by_rho(results: Sequence[Result]) -> list[tuple[float, list[Result]]]:
    """The results at each rho, rising."""
    rhos = sorted({result.setting.rho for result in results})
    return [(rho, [r for r in results if r.setting.rho == rho]) for rho in rhos]


def _cell(values: Sequence[float], form: str) -> str:
    if not values or not math.isfinite(values[0]):
        return "-"
    text = format(mean(values), form)
    error = standard_error(values)
    return text if math.isnan(error) or error == 0 else f"{text} ± {error:{form}}"
