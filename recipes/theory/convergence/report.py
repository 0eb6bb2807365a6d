"""What `recipes.theory.convergence` says of its results."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from recipes.reporting.markdown import aligned
from recipes.running.experiment import Result
from recipes.theory.convergence.measure import STEP_SIZES
from recipes.theory.summary import cell, groups, means

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def decay(result: Result) -> float:
    """How many times as much of the loss a step takes away as is promised."""
    return (1 - result["exact"]) / (1 - result["bound"])


def closest(result: Result) -> float:
    """The largest exact / bound over step sizes: above 1 the theorem would be wrong."""
    return max(ratio for ratio in result["ratios"] if not math.isnan(ratio))


def line(result: Result) -> str:
    """One result, for those who watch."""
    setting = result.setting
    return (
        f"{setting.problem}, B {setting.batch_size}, rho {setting.rhos_relative:g} rho_max, seed "
        f"{setting.seed}: factor {result['exact']:.4f}, bound {result['bound']:.4f}"
    )


def table(results: Sequence[Result]) -> str:
    """One row for each problem, batch size and radius, as Markdown; notes below it."""
    header = ["problem", "B", "rho / rho_max", "rho", "rho_max", "eta*", "factor (exact)"]
    rows = [[*header, "factor (bound)", "decay ratio", "largest exact / bound"]]
    for (kind, batch_size, share), group in groups(
        results, "problem", "batch_size", "rhos_relative"
    ).items():
        columns = [
            cell([result[name] for result in group], ".3g") for name in ("rho", "rho_max", "eta")
        ]
        factors = [cell([result[name] for result in group], ".4f") for name in ("exact", "bound")]
        rows.append(
            [
                *(kind, str(batch_size), f"{share:g}", *columns, *factors),
                cell(map(decay, group), ".2f"),
                f"{max(map(closest, group)):.4f}",
            ]
        )
    ratios = [ratio for result in results for ratio in result["ratios"] if not math.isnan(ratio)]
    broken = sum(ratio > 1 + 1e-9 for ratio in ratios)
    seeds = len({result.setting.seed for result in results})
    return "\n".join(
        [
            aligned(rows),
            "",
            f"Mean ± standard error over {seeds} seed(s). factor: of the expected loss, a step, at "
            "eta*. decay ratio: (1 - exact) / (1 - bound). Last column: over seeds and over steps "
            f"of {STEP_SIZES[0]:g} to {STEP_SIZES[-1]:g} eta*, as far as the bound is proven.",
            f"{len(ratios)} checks of the bound of one step, {broken} above it.",
        ]
    )


def figure(results: Sequence[Result]) -> Figure:
    """Trajectories with their bounds, decay against rho, and nearness to the bound."""
    from matplotlib.figure import Figure

    from recipes.reporting.axes import FIXED, PLAIN, SAM, curve, finish

    kinds = list(dict.fromkeys(result.setting.problem for result in results))
    colors = dict(zip(kinds, (SAM, FIXED, PLAIN, "#009E73"), strict=False))
    sizes = sorted({result.setting.batch_size for result in results})
    least = [result for result in results if result.setting.batch_size == sizes[0]]
    drawn = Figure(figsize=(13, 3.9), layout="constrained")
    left, middle, right = drawn.subplots(1, 3)

    shares = sorted({result.setting.rhos_relative for result in results})
    share = shares[len(shares) // 2]
    for kind in kinds:
        one = next(
            r for r in least if (r.setting.problem, r.setting.rhos_relative) == (kind, share)
        )
        left.plot(one["losses"], color=colors[kind], label=kind)
        left.plot(one["bounds"], color=colors[kind], linestyle="--")
    left.plot([], [], color="0.5", linestyle="--", label="bound")
    left.set_yscale("log")
    finish(left, "step", "expected loss / its start")
    left.set_title(
        f"B = {sizes[0]}, rho = {share:g} rho_max, seed {least[0].setting.seed}", fontsize=10
    )

    for kind in kinds:
        points = [
            (value, *means(map(decay, group)))
            for (name, value), group in groups(least, "problem", "rhos_relative").items()
            if name == kind
        ]
        curve(middle, points, kind, colors[kind])
    middle.axhline(1, color="0.5", linestyle="--", label="bound")
    middle.set_yscale("log")
    ticks = [1, 2, 4, 8, 16, 32]
    middle.set_yticks(ticks, labels=[f"{tick}x" for tick in ticks])
    middle.set_yticks([], minor=True)
    finish(middle, "rho / rho_max", "decay, as a multiple of the promised")
    middle.set_title(f"B = {sizes[0]}, step size eta*", fontsize=10)

    for kind in kinds:
        group = [result for result in least if result.setting.problem == kind]
        top = [max(r["ratios"][i] for r in group) for i in range(len(STEP_SIZES))]
        right.plot(STEP_SIZES, top, "o-", ms=4, color=colors[kind], label=kind)
    right.axhline(1, color="0.5", linestyle="--", label="bound")
    finish(right, "step size / eta*", "exact factor / bound, the largest", log=True)
    right.set_title("all rho and seeds; above 1 it would be wrong", fontsize=10)
    drawn.suptitle("Theorem 7/12 on least squares that interpolate: exact against the bound")
    return drawn
