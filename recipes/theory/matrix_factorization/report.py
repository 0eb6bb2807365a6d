"""What `recipes.theory.matrix_factorization` says of its results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from recipes.reporting.markdown import aligned
from recipes.running.experiment import Result
from recipes.theory.matrix_factorization.measure import decades_per_epoch
from recipes.theory.summary import cell, geometric_cell, groups

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# What is below is rounding, of either sign.
_LEAST = 1e-32


def end(result: Result) -> float:
    """f - f* after the last epoch."""
    return max(result["curve"][-1], _LEAST)


def line(result: Result) -> str:
    """One result, for those who watch."""
    setting = result.setting
    rho = "" if setting.step == "SGD" else f" rho {setting.rho:g}"
    return (
        f"rank {setting.rank}, {setting.step}{rho}, seed {setting.seed}: f - f* {end(result):.1e}"
    )


def table(results: Sequence[Result]) -> str:
    """One row for each rank and step, as Markdown; a note below it."""
    header = ["rank", "step", "rho", "f*", "f - f* at the end", "log10 an epoch"]
    rows = [[*header, "grad^2 / (f - f*), least", "most"]]
    for (rank, step, rho), group in groups(results, "rank", "step", "rho").items():
        rows.append(
            [
                *(str(rank), step, "-" if step == "SGD" else f"{rho:g}"),
                cell([round(result["optimum"], 12) for result in group], ".3f"),
                geometric_cell([end(result) for result in group], _LEAST),
                cell([decades_per_epoch(result["curve"]) for result in group], ".3f"),
                f"{min(result['pl_least'] for result in group):.2g}",
                f"{max(result['pl_most'] for result in group):.2g}",
            ]
        )
    seeds = len({result.setting.seed for result in results})
    return "\n".join(
        [
            aligned(rows),
            "",
            f"{seeds} seed(s). f*: the best loss of factors of that rank; mean ± standard error. "
            "f - f*: geometric mean, and the factor of its standard error. log10 an epoch: the "
            "slope of log10(f - f*) over the second half of the epochs before it is rounding. "
            "Last columns: the least and the most along all paths; the least is the PL constant.",
        ]
    )


def figure(results: Sequence[Result]) -> Figure:
    """f - f* against the epoch, one panel a rank."""
    from matplotlib.figure import Figure

    from recipes.reporting.axes import FIXED, PLAIN, SAM, finish

    ranks = sorted({result.setting.rank for result in results})
    rhos = sorted({result.setting.rho for result in results if result.setting.rho > 0})
    styles = dict(zip(rhos, ("-", "--", ":", "-."), strict=False))
    colors = {"SGD": PLAIN, "unnormalised": SAM, "normalised": FIXED}
    drawn = Figure(figsize=(3.2 * len(ranks) + 0.6, 3.9), layout="constrained")
    panels = drawn.subplots(1, len(ranks), sharey=True, squeeze=False)[0]
    for axes, rank in zip(panels, ranks, strict=True):
        some = [result for result in results if result.setting.rank == rank]
        for (step, rho), group in groups(some, "step", "rho").items():
            curves = np.log(np.maximum([result["curve"] for result in group], _LEAST))
            label = step if step == "SGD" else f"SAM {step}, rho {rho:g}"
            mean = np.exp(curves.mean(axis=0))
            axes.plot(mean, styles.get(rho, "-"), color=colors[step], label=label)
            low, high = np.exp(curves.min(axis=0)), np.exp(curves.max(axis=0))
            axes.fill_between(range(len(mean)), low, high, color=colors[step], alpha=0.08, lw=0)
        axes.set_yscale("log")
        axes.set_title(
            f"rank {rank}: " + ("fits all examples" if end_is_zero(some) else "cannot fit them"),
            fontsize=10,
        )
        finish(axes, "epoch", "$f - f^*$" if axes is panels[0] else "", legend=False)
    panels[-1].legend(frameon=False, fontsize="x-small", loc="center right")
    one = results[0].setting
    seeds = len({result.setting.seed for result in results})
    drawn.suptitle(
        f"Matrix factorisation, learning rate {one.learning_rate:g}, batch size {one.batch_size}: "
        f"distance to the optimum, {seeds} seed(s), bands from least to most"
    )
    return drawn


def end_is_zero(results: Sequence[Result]) -> bool:
    """Whether the best loss of this rank is 0."""
    return all(result["optimum"] < 1e-12 for result in results)
