"""How curves, axes and colours look in every figure of the recipes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

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
    axes: Axes,
    x: str,
    y: str,
    log: bool = False,
    sizes: Sequence[float] = (),
    legend: bool = True,
    zero: bool = False,
) -> None:
    """Labels the axes.

    Args:
        axes: Which.
        x: Label of the x axis.
        y: Label of the y axis.
        log: Whether x is logarithmic. Defaults to `False`.
        sizes: Numbers of parameters, which become the ticks of a logarithmic x. Defaults to none.
        legend: Whether there is a legend. Defaults to `True`.
        zero: Whether a line marks y = 0. Defaults to `False`.
    """
    if log:
        axes.set_xscale("log")
    if sizes:
        _size_ticks(axes, sizes)
    if zero:
        axes.axhline(0, color="0.7", linewidth=1, zorder=0)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    if legend and axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize="small")


def log_ticks(axes: Axes) -> None:
    """A logarithmic y axis with several ticks, also where it spans less than a decade."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    few = (1.0, 2.0, 5.0) if high > 5 * low else (1.0, 1.2, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
    axes.yaxis.set_major_locator(LogLocator(subs=few))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def without_outliers(axes: Axes) -> None:
    """Limits y to where most points are, and marks by a triangle what lies below.

    A rho that is far too large would flatten everything else.
    """
    points = [
        (x, y)
        for container in axes.containers
        for x, y in container.lines[0].get_xydata()  # type: ignore[attr-defined]
    ]
    values = [y for _, y in points]
    if len(values) < 4:
        return
    low, high = np.percentile(values, (25, 75))
    floor = low - 3 * max(high - low, 1e-12)
    kept = [y for y in values if y >= floor]
    if len(kept) == len(values):
        return
    bottom = min(kept) - 0.25 * (max(kept) - min(kept) or 1.0)
    axes.set_ylim(bottom=bottom)
    for x, y in points:
        if y < floor:
            axes.plot(x, bottom, marker="v", color="0.4", ms=6, clip_on=False, linestyle="")


def _size_ticks(axes: Axes, sizes: Sequence[float]) -> None:
    """A logarithmic x axis with the sizes that there are as its ticks: 61k, 1.4M."""
    axes.set_xscale("log")
    ticks: list[float] = []
    for size in sorted(set(sizes)):
        if not ticks or size > 1.6 * ticks[-1]:  # Labels of others would overlap.
            ticks.append(size)
    axes.set_xticks(ticks, labels=[_short(size) for size in ticks])
    axes.set_xticks([], minor=True)


def _short(size: float) -> str:
    for unit, letter in ((1e6, "M"), (1e3, "k")):
        if size >= unit:
            return f"{size / unit:.3g}{letter}"
    return f"{size:g}"


def shades(count: int) -> Any:
    """Colours from dark to light, for what is ordered."""
    return colormaps["viridis"]([0.85 * index / max(1, count - 1) for index in range(count)])
