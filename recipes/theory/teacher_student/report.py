"""What `recipes.theory.teacher_student` says of its results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from recipes.reporting.markdown import aligned
from recipes.running.experiment import Result
from recipes.theory.summary import cell, groups, means, paired

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Read off Figure 1 of the paper, by parameters: SGD's test loss less SAM's.
PAPER = {10_201: 0.026, 30_601: 0.035, 102_001: 0.083}


def line(result: Result) -> str:
    """One result, for those who watch."""
    s = result.setting
    return (
        f"{s.parameters:,} parameters, rho {s.rho:g}, seed {s.seed}: test error "
        f"{result['last']:.3f} at the end, {result['selected']:.3f} at the selected epoch"
    )


def gains(reference: Sequence[Result], group: Sequence[Result], name: str) -> list[float]:
    """SGD's test error less SAM's, for each seed."""
    return paired(reference, group, name)


def table(results: Sequence[Result]) -> str:
    """One row for each width and radius, last and selected epoch side by side, as Markdown."""
    header = ["parameters", "rho", "train loss", "test, last", "test, selected"]
    rows = [[*header, "gain, last", "gain, selected", "paper's gain"]]
    found = groups(results, "width", "rho")
    for (width, rho), group in found.items():
        reference = found.get((width, 0.0), []) if rho else []
        parameters = group[0].setting.parameters
        names = ("train_loss", "last", "selected")
        paper = f"{PAPER[parameters]:+.3f}" if rho and parameters in PAPER else "-"
        rows.append(
            [
                *(f"{parameters:,}", "SGD" if rho == 0 else f"{rho:g}"),
                *(cell([r[name] for r in group], ".3f") for name in names),
                *(cell(gains(reference, group, name), "+.3f") for name in names[1:]),
                paper,
            ]
        )
    seeds = len({result.setting.seed for result in results})
    note = (
        f"Mean squared errors, mean ± standard error over {seeds} seed(s), gains (SGD's less SAM's)"
        " paired: after the last epoch, and after the epoch with the least validation error. The "
        "paper's gain is read off its Figure 1."
    )
    return "\n".join([aligned(rows), "", note])


def figure(results: Sequence[Result]) -> Figure:
    """Gains against size at the last and the selected epoch, and SGD's curves."""
    from matplotlib.figure import Figure

    from recipes.reporting.axes import PAPER as GREY
    from recipes.reporting.axes import curve, finish, shades, value_ticks

    widths = sorted({result.setting.width for result in results})
    rhos = sorted({result.setting.rho for result in results if result.setting.rho > 0})
    found = groups(results, "width", "rho")
    drawn = Figure(figsize=(12.5, 3.9), layout="constrained")
    left, middle, right = drawn.subplots(1, 3)
    middle.sharey(left)
    sizes = [found[key][0].setting.parameters for key in found]
    for axes, name, title in (
        (left, "last", "gain at the last epoch"),
        (middle, "selected", "gain at the selected epoch"),
    ):
        for rho, color in zip(rhos, shades(len(rhos)), strict=True):
            points = [
                (
                    found[width, rho][0].setting.parameters,
                    *means(gains(found.get((width, 0.0), []), found[width, rho], name)),
                )
                for width in widths
                if (width, rho) in found
            ]
            curve(axes, points, f"SAM, rho {rho:g}", color)
        shown = {size: gain for size, gain in PAPER.items() if size in sizes}
        axes.plot(list(shown), list(shown.values()), "s--", color=GREY, ms=4, label="paper")
        value_ticks(axes, "x", sizes)
        finish(axes, "parameters", "SGD's test error less SAM's", zero=True)
        axes.set_title(title, fontsize=10)
    for width, color in zip(widths, shades(len(widths)), strict=True):
        group = found.get((width, 0.0), [])
        if group:
            size = f"{group[0].setting.parameters:,} parameters"
            for name, style in (("test", "-"), ("train", "--")):
                curves = np.mean([result[name] for result in group], axis=0)
                label = f"{size}, {name}"
                right.plot(range(1, len(curves) + 1), curves, style, color=color, label=label)
    finish(right, "epoch", "SGD's mean squared error")
    right.set_yscale("log")
    right.set_title("SGD: test (solid) and training (dashed)", fontsize=10)
    seeds = len({result.setting.seed for result in results})
    drawn.suptitle(f"Teacher and student: {seeds} seed(s), bars: standard error")
    return drawn
