"""Figures and a table from records alone: `python -m recipes.figures runs/digits`.

Reads every record below the folder, prints their table and writes `size.png` (SGD and SAM against
the number of parameters), and `sparsity.png` and `label_noise.png` where records differ in those.
Bars are standard errors over seeds; those of a gain are of the paired gain. Takes seconds.
"""

from __future__ import annotations

import argparse
import json
import math
import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recipes.comparison import (
    REPORTS,
    Comparison,
    RhoResult,
    comparisons,
    fixed_rho,
    standard_error,
)
from recipes.records import read_records
from recipes.table import table, varying

Value: TypeAlias = Callable[[RhoResult], tuple[float, float]]

# Colours that differ for colour-blind readers as well (Okabe and Ito).
_PLAIN, _SAM, _FIXED = "#000000", "#D55E00", "#0072B2"


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table of a folder's records and draws its figures."""
    parser = argparse.ArgumentParser(
        prog="python -m recipes.figures",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=pathlib.Path, help="folder with records, at any depth")
    parser.add_argument(
        "--report",
        choices=REPORTS,
        default="selected",
        help="epoch whose test accuracy counts: best on validation, last, or best on test "
        "as the paper's code does (default: selected)",
    )
    parser.add_argument("--output", type=pathlib.Path, help="folder to draw in (default: FOLDER)")
    parsed = parser.parse_args(arguments)
    found = comparisons(read_records(parsed.folder), parsed.report)
    if not found:
        parser.error(f"there are no records below {parsed.folder}")
    print(table(found))
    for path in draw(found, parsed.output or parsed.folder):
        print(path)


def draw(found: Sequence[Comparison], folder: pathlib.Path) -> list[pathlib.Path]:
    """Draws every figure for which the comparisons have something to show.

    Args:
        found: What `comparisons` returns: they may differ in any setting.
        folder: Where the files go; one figure for each set of settings that is alike otherwise.

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
            path = folder / (",".join([kind, *apart]) + ".png")
            path.parent.mkdir(parents=True, exist_ok=True)
            drawn = figure(group)
            if apart:
                drawn.suptitle(f"{drawn.get_suptitle()}; {', '.join(apart)}")
            drawn.savefig(path, dpi=150)
            paths.append(path)
    return paths


def size_figure(
    found: Sequence[Comparison], rule: Callable[[float], float] | None = None
) -> Figure:
    """Both curves, the gain and the best rho against the number of parameters, and all against rho.

    Args:
        found: Comparisons that differ in width, by rising number of parameters.
        rule: If not `None`, a fitted rule from parameters to rho, drawn beside the best rhos.
    """
    figure = _figure(found, rows=2, columns=3)
    (curves, gain, best_rho), (accuracy, gains, loss) = figure.subplots(2, 3)
    plain = [(c.parameters, c.baseline) for c in found]
    tuned = [(c.parameters, c.best) for c in found]

    _curve(curves, plain, _test, "SGD", _PLAIN)
    _curve(curves, tuned, _test, "SAM, best rho", _SAM)
    _label(curves, "parameters", "test accuracy (%)", log=True)

    _curve(gain, tuned, _gain, "rho tuned at each size", _SAM)
    fixed = fixed_rho(found)
    if fixed is not None:
        at_fixed = [(c.parameters, c.at(fixed)) for c in found]
        _curve(gain, at_fixed, _gain, f"rho = {fixed:g} at all", _FIXED, "--")
    _label(gain, "parameters", "gain of SAM (points)", log=True, zero=True)

    _curve(best_rho, tuned, _rho, "best on validation", _SAM)
    if rule is not None:
        sizes = [float(c.parameters) for c in found]
        best_rho.plot(sizes, [rule(size) for size in sizes], color=_FIXED, ls=":", label="rule")
    _rho_ticks(best_rho, "y", found)
    _label(best_rho, "parameters", "best rho", log=True)

    for color, comparison in zip(_shades(len(found)), found, strict=True):
        sam = [(result.rho, result) for result in comparison.results if result.rho > 0]
        label = f"{comparison.parameters:,} parameters"
        _curve(accuracy, sam, _test, label, color)
        _curve(gains, sam, _gain, label, color)
        if comparison.baseline is not None:
            accuracy.axhline(100 * comparison.baseline.test, color=color, linestyle=":")
    _rho_ticks(accuracy, "x", found)
    _rho_ticks(gains, "x", found)
    _label(accuracy, "rho  (dotted: SGD)", "test accuracy (%)", legend=False)
    _label(gains, "rho", "gain of SAM (points)", zero=True)

    _curve(loss, plain, _train_loss, "SGD", _PLAIN)
    _curve(loss, tuned, _train_loss, "SAM, best rho", _SAM)
    loss.set_yscale("log")
    _label(loss, "parameters", "training loss", log=True)
    return figure


def sparsity_figure(found: Sequence[Comparison]) -> Figure:
    """Gain against sparsity; accuracy, gain and best rho at equal numbers of kept weights."""
    figure = _figure(found, rows=1, columns=4)
    against, curves, gain, best_rho = figure.subplots(1, 4)
    for color, (width, group) in _lines(found, "width"):
        points = [(_setting(c, "sparsity"), c.best) for c in group]
        _curve(against, points, _gain, f"width {width:g}", color)
    for color, (sparsity, group) in _lines(found, "sparsity"):
        points = [(c.parameters, c.best) for c in group]
        for axes, value in ((curves, _test), (gain, _gain), (best_rho, _rho)):
            _curve(axes, points, value, f"sparsity {sparsity:g}", color)
    _rho_ticks(best_rho, "y", found)
    _label(against, "sparsity", "gain of SAM (points)", zero=True)
    _label(curves, "kept parameters", "test accuracy of SAM (%)", log=True, legend=False)
    _label(gain, "kept parameters", "gain of SAM (points)", log=True, legend=False, zero=True)
    _label(best_rho, "kept parameters", "best rho", log=True)
    return figure


def noise_figure(found: Sequence[Comparison]) -> Figure:
    """Both accuracies, the gain and the best rho against the share of wrong labels."""
    figure = _figure(found, rows=1, columns=4)
    plain, sam, gain, best_rho = figure.subplots(1, 4)
    for color, (width, group) in _lines(found, "width"):
        best = [(_setting(c, "label_noise"), c.best) for c in group]
        baseline = [(_setting(c, "label_noise"), c.baseline) for c in group]
        _curve(plain, baseline, _test, f"width {width:g}", color)
        for axes, value in ((sam, _test), (gain, _gain), (best_rho, _rho)):
            _curve(axes, best, value, f"width {width:g}", color)
    sam.sharey(plain)
    _rho_ticks(best_rho, "y", found)
    _label(plain, "label noise", "test accuracy of SGD (%)", legend=False)
    _label(sam, "label noise", "test accuracy of SAM (%)", legend=False)
    _label(gain, "label noise", "gain of SAM (points)", zero=True)
    _label(best_rho, "label noise", "best rho", legend=False)
    return figure


def _test(result: RhoResult) -> tuple[float, float]:
    return 100 * result.test, 100 * result.test_error


def _gain(result: RhoResult) -> tuple[float, float]:
    return 100 * result.gain, 100 * result.gain_error


def _rho(result: RhoResult) -> tuple[float, float]:
    return result.rho, math.nan


def _train_loss(result: RhoResult) -> tuple[float, float]:
    return result.train_loss, standard_error(result.train_losses.values())


def _curve(
    axes: Axes,
    points: Iterable[tuple[float, RhoResult | None]],
    value: Value,
    label: str,
    color: Any,
    style: str = "-",
) -> None:
    """Draws a mean with its standard error against x, leaving out what is not there."""
    rows = sorted((x, *value(result)) for x, result in points if result is not None)
    if rows:
        x, means, errors = zip(*rows, strict=True)
        bars = [0.0 if math.isnan(error) else error for error in errors]
        axes.errorbar(x, means, bars, fmt="o" + style, ms=4, capsize=2, color=color, label=label)


def _rho_ticks(axes: Axes, name: str, found: Sequence[Comparison]) -> None:
    """A logarithmic axis "x" or "y" of rho, with the values that were tried as its ticks."""
    rhos = sorted({result.rho for c in found for result in c.results if result.rho > 0})
    axes.set(**{f"{name}scale": "log"})
    if rhos:  # All that was tried, also where the best rho is always the same.
        axes.set(**{f"{name}lim": (rhos[0] / 1.3, rhos[-1] * 1.3)})
    if len(rhos) <= 8:
        axis = {"x": axes.xaxis, "y": axes.yaxis}[name]
        axis.set_ticks(rhos, labels=[f"{rho:g}" for rho in rhos])
        axis.set_ticks([], minor=True)


def _label(
    axes: Axes, x: str, y: str, log: bool = False, legend: bool = True, zero: bool = False
) -> None:
    if log:
        axes.set_xscale("log")
    if zero:
        axes.axhline(0, color="0.7", linewidth=1, zorder=0)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    if legend and axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize="small")


def _figure(found: Sequence[Comparison], rows: int, columns: int) -> Figure:
    figure = Figure(figsize=(4.2 * columns, 3.4 * rows), layout="constrained")
    seeds = sorted({len(result.tests) for c in found for result in c.results})
    count = " to ".join(map(str, sorted({seeds[0], seeds[-1]})))
    config = found[0].config
    subject = "" if config is None else f"{config.dataset}, {config.network}: "
    figure.suptitle(f"{subject}SAM against SGD, {count} seed(s), bars: standard error")
    return figure


def _shades(count: int) -> Any:
    """Colours from dark to light, for what is ordered."""
    return colormaps["viridis"]([0.85 * index / max(1, count - 1) for index in range(count)])


def _lines(found: Sequence[Comparison], line: str) -> Iterable[tuple[Any, tuple[float, list]]]:
    """A colour and a group of comparisons for each value of a setting, rising."""
    values = sorted({_setting(c, line) for c in found})
    groups = [(value, [c for c in found if _setting(c, line) == value]) for value in values]
    return zip(_shades(len(groups)), groups, strict=True)


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


if __name__ == "__main__":
    main()
