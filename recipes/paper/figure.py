"""The summary: SAM's gain against the number of weights, the paper's beside ours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from recipes.paper.panels import PANELS
from recipes.paper.study import Study
from recipes.reporting.axes import FIXED, PAPER, SAM, curve, finish, without_outliers
from recipes.reporting.outcome import mean, standard_error

_COLUMNS = 4


def figure(studies: Mapping[str, Study]) -> Figure:
    """One panel a workload. It is opaque, so that it reads on light and on dark pages."""
    panels = [
        (panel, ours)
        for panel in PANELS
        if (ours := panel.samples(studies)) or panel.paper is not None
    ]
    rows = math.ceil(len(panels) / _COLUMNS)
    drawn = Figure(figsize=(11.5, 2.7 * rows), layout="constrained", facecolor="white")
    grid = list(drawn.subplots(rows, _COLUMNS, squeeze=False).flat)
    for axes, (panel, ours) in zip(grid, panels, strict=False):
        paper = panel.paper
        pairs = [] if paper is None else zip(paper.parameters, paper.gains, strict=True)
        known = [(size, gain) for size, gain in pairs if not math.isnan(size)]
        if known:
            axes.plot(*zip(*known, strict=True), "s--", color=PAPER, ms=4, label="paper")
        for (label, sample), color in zip(ours.items(), (SAM, FIXED), strict=False):
            points = [(x, mean(ys), standard_error(ys)) for x, ys in sample.by_x.items()]
            curve(axes, points, label, color)
        sizes = [x for sample in ours.values() for x in sample.by_x] + [x for x, _ in known]
        finish(axes, "parameters", panel.ylabel, log=True, sizes=_apart(sizes), zero=True)
        without_outliers(axes)
        axes.set_title(panel.title + ("" if ours else "\n(ours: not run)"), fontsize=10)
    for axes in grid[len(panels) :]:
        axes.remove()
    drawn.suptitle(
        "What SAM gains over the plain optimizer; bars: standard error over seeds; triangle: below"
    )
    return drawn


def _apart(sizes: Sequence[float]) -> list[float]:
    """Those whose labels have room: a quarter of the logarithmic axis lies between two."""
    least, most = min(sizes), max(sizes)
    room = (most / least) ** 0.25
    kept = [least]
    for size in sorted(set(sizes)):
        if size >= room * kept[-1]:
            kept.append(size)
    return kept
