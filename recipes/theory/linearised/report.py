"""What `recipes.theory.linearised` says of its results."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from recipes.reporting.markdown import aligned
from recipes.running.experiment import Result
from recipes.theory.summary import cell, groups, means, paired

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _radius(rho: float, scale: str) -> str:
    return f"{rho:g} / alpha" if scale == "alpha" else f"{rho:g}"


def line(result: Result) -> str:
    """One result, for those who watch."""
    s = result.setting
    return (
        f"alpha {s.alpha:g}, rho {_radius(s.rho, s.scale)}, seed {s.seed}: test accuracy "
        f"{100 * result['accuracy']:.2f} %, stability {result['stability']:.4f}"
    )


def table(results: Sequence[Result]) -> str:
    """One row for each alpha and radius, as Markdown; a note below it."""
    header = ["alpha", "rho", "test %", "gain", "train loss of alpha h", "stability"]
    rows = [[*header, "|w - w0| / |w0|"]]
    notes = []
    found = groups(results, "alpha", "rho", "scale")
    for (alpha, rho, scale), group in sorted(found.items()):
        reference = found.get((alpha, 0.0, "fixed"), []) if rho else []
        name = "SGD" if rho == 0 else _radius(rho, scale)
        rows.append(
            [
                *(f"{alpha:g}", name),
                cell([100 * r["accuracy"] for r in group], ".2f"),
                cell([100 * gain for gain in paired(group, reference, "accuracy")], "+.2f"),
                cell([r["loss"] for r in group], ".1e"),
                cell([r["stability"] for r in group], ".4f"),
                cell([r["movement"] for r in group], ".1e"),
            ]
        )
        diverged = sum(math.isnan(r["accuracy"]) for r in group)
        if diverged:
            notes.append(f"alpha {alpha:g}, rho {name}: {diverged} run(s) diverged.")
    seeds = len({result.setting.seed for result in results})
    note = (
        f"Mean ± standard error over {seeds} seed(s), gains (SAM's accuracy less SGD's) paired. "
        "rho / alpha: the radius shrinks as the way that the weights go. stability: of the signs "
        "of hidden ReLUs since w0. Either kind of radius alone would mislead."
    )
    return "\n".join([aligned(rows), "", note, *notes])


def figure(results: Sequence[Result]) -> Figure:
    """Test accuracy and stability against alpha, with rho fixed and with rho / alpha."""
    from matplotlib.figure import Figure

    from recipes.reporting.axes import FIXED, PLAIN, SAM, curve, finish, value_ticks

    drawn = Figure(figsize=(12.5, 4), layout="constrained")
    left, middle, right = drawn.subplots(1, 3)
    middle.sharey(left)
    rhos = sorted({result.setting.rho for result in results})
    alphas = sorted({result.setting.alpha for result in results})
    colors = dict(zip(rhos, (PLAIN, SAM, FIXED, "#009E73", "#CC79A7"), strict=False))
    panels = (
        (left, "accuracy", ("fixed",), "test accuracy %", "rho the same for all alpha"),
        (middle, "accuracy", ("alpha",), "test accuracy %", "rho / alpha"),
        (right, "stability", ("fixed", "alpha"), "stability of activations", "dashed: rho / alpha"),
    )
    for axes, name, scales, label, title in panels:
        for rho in rhos:
            for scale in scales:
                some = [
                    r
                    for r in results
                    if r.setting.rho == rho
                    and (r.setting.scale == scale or rho == 0 or r.setting.alpha == 1)
                ]
                factor = 100 if name == "accuracy" else 1
                points = [
                    (alpha, *means(factor * r[name] for r in group))
                    for (alpha,), group in groups(some, "alpha").items()
                ]
                shown = "SGD" if rho == 0 else f"SAM, rho {rho:g}"
                dashed = scale == "alpha" and axes is right
                color, style = colors.get(rho, "0.5"), "--" if dashed else "-"
                curve(axes, points, "" if dashed else shown, color, style)
        value_ticks(axes, "x", alphas)
        finish(axes, "alpha", label, legend=axes is left)
        axes.set_title(title, fontsize=10)
    seeds = len({result.setting.seed for result in results})
    one = results[0].setting
    drawn.suptitle(
        f"Towards the linearised regime: {one.dataset}, {one.train_size} examples, {seeds} "
        "seed(s), bars: standard error"
    )
    return drawn
