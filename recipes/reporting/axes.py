"""How curves, axes and colours look in every figure of the recipes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes

# Colours that differ for colour-blind readers as well (Okabe and Ito).
PLAIN, SAM, FIXED, PAPER = "#000000", "#D55E00", "#0072B2", "#999999"


def curve(
    axes: Axes,
    points: Iterable[tuple[float, float, float]],
    label: str,
    color: Any,
    style: str = "-",
) -> None:
    """Draws means with their standard errors against x, leaving out what is not there.

    Args:
        axes: Where.
        points: (x, mean, error) in any order; an error of NaN draws no bar.
        label: For the legend.
        color: Of line and marks.
        style: Of the line. Defaults to a solid one.
    """
    rows = sorted(point for point in points if not math.isnan(point[1]))
    if rows:
        x, means, errors = zip(*rows, strict=True)
        bars = [0.0 if math.isnan(error) else error for error in errors]
        axes.errorbar(x, means, bars, fmt="o" + style, ms=4, capsize=2, color=color, label=label)


def value_ticks(axes: Axes, name: str, values: Sequence[float]) -> None:
    """A logarithmic axis "x" or "y" with the positive values that were tried as its ticks."""
    values = sorted({value for value in values if value > 0})
    axes.set(**{f"{name}scale": "log"})
    if values:  # All that was tried, also where one value alone is drawn.
        axes.set(**{f"{name}lim": (values[0] / 1.3, values[-1] * 1.3)})
    if len(values) <= 8:
        axis = {"x": axes.xaxis, "y": axes.yaxis}[name]
        axis.set_ticks(values, labels=[f"{value:g}" for value in values])
        axis.set_ticks([], minor=True)


def finish(
    axes: Axes, x: str, y: str, log: bool = False, legend: bool = True, zero: bool = False
) -> None:
    """Labels the axes.

    Args:
        axes: Which.
        x: Label of the x axis.
        y: Label of the y axis.
        log: Whether x is logarithmic. Defaults to `False`.
        legend: Whether there is a legend. Defaults to `True`.
        zero: Whether a line marks y = 0. Defaults to `False`.
    """
    if log:
        axes.set_xscale("log")
    if zero:
        axes.axhline(0, color="0.7", linewidth=1, zorder=0)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    if legend and axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize="small")


def shades(count: int) -> Any:
    """Colours from dark to light, for what is ordered."""
    return colormaps["viridis"]([0.85 * index / max(1, count - 1) for index in range(count)])
