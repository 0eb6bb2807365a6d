"""Figures of comparisons: size, sparsity, label noise."""

from __future__ import annotations

import json
import math
import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from recipes.reporting.axes import (
    FIXED,
    PAPER,
    PLAIN,
    SAM,
    curve,
    finish,
    log_ticks,
    shades,
    value_ticks,
    without_outliers,
)
from recipes.reporting.comparison import Comparison, fixed_rho
from recipes.reporting.outcome import RhoResult, standard_error
from recipes.reporting.table import varying
from recipes.reporting.titles import baseline, paper_gain, seeds, settings, subject, wrapped
from recipes.running.metric import Metric

EPOCHS = {
    "selected": "epoch selected on validation",
    "last": "last epoch",
    "best_test": "epoch best on test, as the paper's code reports",
}
WIDTH = 6.4  # Inches. Letters of 10 points are then read on a phone, too.
# Which result of a comparison is drawn, and what of it: a mean and its standard error.
Of: TypeAlias = Callable[[Comparison], RhoResult | None]
Value: TypeAlias = Callable[[RhoResult, Metric], tuple[float, float]]


def draw(
    found: Sequence[Comparison], folder: pathlib.Path, report: str = "selected"
) -> list[pathlib.Path]:
    """Draws every figure for which the comparisons have something to show.

    Args:
        found: What `comparisons` returns: they may differ in any setting.
        folder: Where the files go; one figure for each set of settings that is alike otherwise.
        report: Which epoch they are of, see `recipes.reporting.comparison.comparisons`; it is part
            of the files' names unless it is the default. Defaults to "selected".

    Returns:
        The files.
    """
    folder = pathlib.Path(folder)
    paths = []
    for kind, axes, figure in (
        ("size", ("width",), size_figure),
        ("sparsity", ("width", "sparsity", "pruner"), sparsity_figure),
        ("label_noise", ("width", "label_noise", "noise_kind"), noise_figure),
    ):
        groups = _alike(found, axes)
        for group in groups:
            if kind != "size" and len({_setting(c, kind) for c in group}) < 2:
                continue
            # What tells this figure from the others of its kind.
            apart = [
                f"{name}={getattr(group[0].config, name)}"
                for name in varying([other[0] for other in groups])
                if name not in axes
            ]
            suffix = [] if report == "selected" else [f"report={report}"]
            path = folder / (",".join([kind, *apart, *suffix]).replace("/", "|") + ".png")
            path.parent.mkdir(parents=True, exist_ok=True)
            drawn = figure(group, report=report)
            if apart:
                title = f"{drawn.get_suptitle()}; {', '.join(apart)}"
                drawn.suptitle(wrapped(title, WIDTH), fontsize="medium")
            drawn.savefig(path, dpi=150)
            paths.append(path)
    return paths


def size_figure(
    found: Sequence[Comparison],
    rule: Callable[[float], float] | None = None,
    report: str = "selected",
) -> Figure:
    """Both curves, the gain and the best rho against the number of parameters, and all against rho.

    Args:
        found: Comparisons that differ in width, by rising number of parameters.
        rule: If not `None`, a fitted rule from parameters to rho, drawn beside the best rhos.
        report: Which epoch they are of. Defaults to "selected".
    """
    figure, (curves, gain, best_rho, loss, accuracy, gains) = _figure(found, 6, report)
    metric, plain, rhos = found[0].metric, baseline(found), _rhos(found)
    sizes = [float(comparison.parameters) for comparison in found]

    def against_size(
        axes: Axes, of: Of, value: Value, label: str, color: str, style: str = "-"
    ) -> None:
        curve(axes, _points(found, _parameters, of, value), label, color, style)

    against_size(curves, _baseline, _test, plain, PLAIN)
    against_size(curves, _best, _test, "SAM, best rho", SAM)
    finish(curves, "parameters", metric.label, sizes=sizes)

    against_size(gain, _best, _gain, "rho tuned at each size", SAM)
    fixed = fixed_rho(found)
    if fixed is not None:
        label = f"fixed rho {fixed:g}"
        against_size(gain, lambda c: c.at(fixed), _gain, label, FIXED, "--")
    paper = [(c.parameters, paper_gain(c)) for c in found]
    points = [(x, metric.factor * y, math.nan) for x, y in paper if y is not None]
    curve(gain, points, "the paper's", PAPER, ":")
    finish(gain, "parameters", metric.gain_label, sizes=sizes, zero=True)

    against_size(best_rho, _best, _rho, "best on validation", SAM)
    if rule is not None:
        best_rho.plot(sizes, [rule(size) for size in sizes], color=FIXED, ls=":", label="rule")
    value_ticks(best_rho, "y", rhos)
    finish(best_rho, "parameters", "best rho", sizes=sizes)

    for color, comparison in zip(shades(len(found)), found, strict=True):
        sam = [result for result in comparison.results if result.rho > 0]
        label = f"{comparison.parameters:,} parameters"
        for axes, value in ((accuracy, _test), (gains, _gain)):
            curve(axes, [(r.rho, *value(r, metric)) for r in sam], label, color)
        if comparison.baseline is not None:
            level, _ = _test(comparison.baseline, metric)
            accuracy.axhline(level, color=color, linestyle=":")
    value_ticks(accuracy, "x", rhos)
    value_ticks(gains, "x", rhos)
    finish(accuracy, f"rho  (dotted: {plain})", metric.label)
    finish(gains, "rho", metric.gain_label, zero=True, legend=False)
    for axes in (accuracy, gains):
        without_outliers(axes)

    against_size(loss, _baseline, _train_loss, plain, PLAIN)
    against_size(loss, _best, _train_loss, "SAM, best rho", SAM)
    log_ticks(loss)
    finish(loss, "parameters", "training loss", sizes=sizes)
    return figure


def sparsity_figure(found: Sequence[Comparison], report: str = "selected") -> Figure:
    """Gain against sparsity; accuracy, gain and best rho at equal numbers of kept weights."""
    figure, (against, curves, gain, best_rho) = _figure(found, 4, report)
    sizes = [float(comparison.parameters) for comparison in found]
    metric = found[0].metric
    for color, (width, group) in _lines(found, "width"):
        points = _points(group, lambda c: _setting(c, "sparsity"), _best, _gain)
        curve(against, points, f"width {width:g}", color)
    for color, (sparsity, group) in _lines(found, "sparsity"):
        for axes, value in ((curves, _test), (gain, _gain), (best_rho, _rho)):
            points = _points(group, _parameters, _best, value)
            curve(axes, points, f"sparsity {sparsity:g}", color)
    value_ticks(best_rho, "y", _rhos(found))
    finish(against, "sparsity", metric.gain_label, zero=True)
    finish(curves, "kept parameters", f"{metric.label}, SAM", sizes=sizes, legend=False)
    finish(gain, "kept parameters", metric.gain_label, sizes=sizes, legend=False, zero=True)
    finish(best_rho, "kept parameters", "best rho", sizes=sizes)
    return figure


def noise_figure(found: Sequence[Comparison], report: str = "selected") -> Figure:
    """Both accuracies, the gain and the best rho against the share of wrong labels."""
    figure, (plain, sam, gain, best_rho) = _figure(found, 4, report)
    metric = found[0].metric

    def noise(comparison: Comparison) -> float:
        return _setting(comparison, "label_noise")

    for color, (width, group) in _lines(found, "width"):
        label = f"width {width:g}"
        curve(plain, _points(group, noise, _baseline, _test), label, color)
        for axes, value in ((sam, _test), (gain, _gain), (best_rho, _rho)):
            curve(axes, _points(group, noise, _best, value), label, color)
    sam.sharey(plain)
    value_ticks(best_rho, "y", _rhos(found))
    finish(plain, "label noise", f"{metric.label}, {baseline(found)}", legend=False)
    finish(sam, "label noise", f"{metric.label}, SAM", legend=False)
    finish(gain, "label noise", metric.gain_label, zero=True)
    finish(best_rho, "label noise", "best rho", legend=False)
    return figure


def _points(
    found: Sequence[Comparison], x: Callable[[Comparison], float], of: Of, value: Value
) -> list[tuple[float, float, float]]:
    """(x, mean, error) of each comparison that has the result."""
    results = [(c, of(c)) for c in found]
    return [(x(c), *value(result, c.metric)) for c, result in results if result is not None]


def _parameters(comparison: Comparison) -> float:
    return comparison.parameters


def _baseline(comparison: Comparison) -> RhoResult | None:
    return comparison.baseline


def _best(comparison: Comparison) -> RhoResult | None:
    return comparison.best


def _test(result: RhoResult, metric: Metric) -> tuple[float, float]:
    return metric.factor * result.test, metric.factor * result.test_error


def _gain(result: RhoResult, metric: Metric) -> tuple[float, float]:
    return metric.factor * result.gain, metric.factor * result.gain_error


def _rho(result: RhoResult, metric: Metric) -> tuple[float, float]:
    return result.rho, math.nan


def _train_loss(result: RhoResult, metric: Metric) -> tuple[float, float]:
    return result.train_loss, standard_error(result.train_losses.values())


def _rhos(found: Sequence[Comparison]) -> list[float]:
    return [result.rho for comparison in found for result in comparison.results]


def _figure(found: Sequence[Comparison], panels: int, report: str) -> tuple[Figure, Sequence[Axes]]:
    """A figure of two columns, for the width of a phone, and white on a dark page as well."""
    rows = math.ceil(panels / 2)
    layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06)
    figure = Figure(figsize=(WIDTH, 0.6 + 2.7 * rows), layout=layout, facecolor="white")
    config = found[0].config
    what = "" if config is None else f"{subject(config)}: "
    title = f"{what}SAM against {baseline(found)}, {seeds(found)}, bars: standard error"
    if config is not None:
        changed = settings(config)
        title += f"\n{EPOCHS[report]}" + (f"; {changed}" if changed else "")
    figure.suptitle(wrapped(title, WIDTH), fontsize="medium")
    return figure, figure.subplots(rows, 2).flat


def _lines(found: Sequence[Comparison], line: str) -> Iterable[tuple[Any, tuple[float, list]]]:
    """A colour and a group of comparisons for each value of a setting, rising."""
    values = sorted({_setting(c, line) for c in found})
    groups = [(value, [c for c in found if _setting(c, line) == value]) for value in values]
    return zip(shades(len(groups)), groups, strict=True)


def _setting(comparison: Comparison, name: str) -> float:
    return comparison.width if name == "width" else getattr(comparison.config, name)


def _alike(found: Sequence[Comparison], apart_from: Sequence[str]) -> list[list[Comparison]]:
    """Groups of comparisons whose settings are the same but for some."""
    groups: dict[str, list[Comparison]] = {}
    for comparison in found:
        settings = {} if comparison.config is None else comparison.config.to_dict()
        alike = {key: value for key, value in settings.items() if key not in apart_from}
        groups.setdefault(json.dumps(alike, sort_keys=True), []).append(comparison)
    return list(groups.values())
