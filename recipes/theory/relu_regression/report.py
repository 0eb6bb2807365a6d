"""What `recipes.theory.relu_regression` says of its results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from recipes.reporting.markdown import aligned
from recipes.running.experiment import Result
from recipes.theory.relu_regression.function import Weights, barrier
from recipes.theory.relu_regression.measure import GRID, data
from recipes.theory.summary import cell, groups, means, paired

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def line(result: Result) -> str:
    """One result, for those who watch."""
    s = result.setting
    return (
        f"{s.neurons} neurons, rho {s.rho:g}, seed {s.seed}: loss {result['loss']:.1e}, total "
        f"variation {result['total_variation']:.2f}, {result['kinks']} kinks"
    )


def apart(result: Result, reference: Result) -> tuple[float, float, float]:
    """Between SAM and gradient descent: distance of functions, of weights, and the barrier.

    The first is the root of the mean square on the grid; the second is over the mean of what both
    have travelled; the third is of the loss on the segment between the weights.
    """
    x, y = data(result.setting)
    one, other = (Weights.of(np.array(r["weights"])) for r in (result, reference))
    functions = np.subtract(result["function"], reference["function"])
    travelled = (result["travelled"] + reference["travelled"]) / 2
    return (
        float(np.sqrt(np.mean(functions**2))),
        float(np.linalg.norm(one.flat() - other.flat()) / travelled),
        barrier(one, other, x, y),
    )


def table(results: Sequence[Result]) -> str:
    """One row for each width and radius, as Markdown; a note below it."""
    header = ["neurons", "rho", "loss", "test MSE", "kinks", "change", "TV(f')", "change"]
    rows = [[*header, "lambda_max", "f distance to GD", "w distance / travel", "barrier"]]
    forms = (".3f", ".1f", ".2f")
    found = groups(results, "neurons", "rho")
    for (neurons, rho), group in found.items():
        reference = found.get((neurons, 0.0), []) if rho else []
        base = {result.setting.seed: result for result in reference}
        pairs = [apart(r, base[r.setting.seed]) for r in group if r.setting.seed in base]
        columns = list(zip(*pairs, strict=True)) or [(), (), ()]
        rows.append(
            [
                *(str(neurons), "GD" if rho == 0 else f"{rho:g}"),
                *(cell([r[name] for r in group], ".1e") for name in ("loss", "test")),
                cell([r["kinks"] for r in group], ".1f"),
                cell(paired(group, reference, "kinks"), "+.1f"),
                cell([r["total_variation"] for r in group], ".2f"),
                cell(paired(group, reference, "total_variation"), "+.2f"),
                cell([r["lambda_max"] for r in group], ".1f"),
                *(cell(values, form) for values, form in zip(columns, forms, strict=True)),
            ]
        )
    seeds = len({result.setting.seed for result in results})
    one = results[0].setting
    note = (
        f"{one.points} points of the {one.target}, {one.steps} steps; mean ± standard error over "
        f"{seeds} seed(s), changes paired with gradient descent. TV(f'): total variation on [-1, 1]"
        f"{', of the target 4' if one.target == 'triangle' else ''}. barrier: how far the loss "
        "rises on the segment from one's weights to the other's."
    )
    return "\n".join([aligned(rows), "", note])


def figure(results: Sequence[Result]) -> Figure:
    """The functions of one seed, and total variation and kinks against rho."""
    from matplotlib.figure import Figure

    from recipes.reporting.axes import FIXED, PLAIN, SAM, curve, finish

    widths = sorted({result.setting.neurons for result in results})
    rhos = sorted({result.setting.rho for result in results})
    colors = dict(zip(rhos, (PLAIN, SAM, FIXED, "#009E73", "#CC79A7"), strict=False))
    drawn = Figure(figsize=(3.6 * (len(widths) + 2), 3.8), layout="constrained")
    panels = drawn.subplots(1, len(widths) + 2)
    one = results[0].setting
    for axes, neurons in zip(panels, widths, strict=False):
        some = [r for r in results if r.setting.neurons == neurons and r.setting.seed == one.seed]
        for result in some:
            rho = result.setting.rho
            label = "gradient descent" if rho == 0 else f"SAM, rho {rho:g}"
            axes.plot(GRID, result["function"], color=colors.get(rho, "0.5"), label=label)
        axes.plot(*data(one), "o", ms=4, color="0.6", label="data", zorder=0)
        axes.set_title(f"{neurons} neurons, seed {one.seed}", fontsize=10)
        finish(axes, "x", "f(x)", legend=axes is panels[0])
    shades = dict(zip(widths, (FIXED, SAM, PLAIN, "#009E73"), strict=False))
    for axes, name, label in (
        (panels[-2], "total_variation", "total variation of f'"),
        (panels[-1], "kinks", "kinks"),
    ):
        for neurons in widths:
            points = [
                (rho, *means(r[name] for r in group))
                for (width, rho), group in groups(results, "neurons", "rho").items()
                if width == neurons
            ]
            curve(axes, points, f"{neurons} neurons", shades.get(neurons, "0.5"))
        if name == "total_variation" and one.target == "triangle":
            axes.axhline(4, color="0.6", linestyle="--", label="target")
        axes.set_ylim(bottom=0)
        finish(axes, "rho (0: gradient descent)", label)
    seeds = len({result.setting.seed for result in results})
    drawn.suptitle(
        f"One hidden layer of ReLUs on {one.points} points, {one.steps} steps; {seeds} seed(s), "
        "bars: standard error"
    )
    return drawn
