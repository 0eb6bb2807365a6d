"""Comparisons as text, as CSV and as JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from typing import Any

from scipy import stats

from recipes.reporting.comparison import Comparison, fixed_rho
from recipes.reporting.markdown import aligned
from recipes.reporting.outcome import RhoResult
from recipes.reporting.titles import baseline, count, paper_gain, seeds

# Settings that get a column of their own where comparisons differ in them.
_NEVER_SHOWN = ("rho", "seed", "width")


def rows(found: Sequence[Comparison]) -> list[dict[str, Any]]:
    """One flat row a comparison, in plain numbers: what `table`, `to_csv` and `to_json` show.

    Accuracies and gains are fractions, not percent. What is not known is NaN. The plain optimizer
    is "sgd", whichever it is.
    """
    fixed = fixed_rho(found)
    differing = varying(found)
    result = []
    for comparison in found:
        settings = {} if comparison.config is None else comparison.config.to_dict()
        row: dict[str, Any] = {"width": comparison.width, "parameters": comparison.parameters}
        row |= {name: settings.get(name) for name in differing}
        row["seeds"] = max((len(r.tests) for r in comparison.results), default=0)
        row["diverged"] = sum(r.diverged for r in comparison.results)
        row |= _columns("sgd", comparison.baseline, ("test", "test_error", "train_loss"))
        row |= _columns("sam", comparison.best, ("rho", "test", "test_error", "train_loss"))
        row |= _columns("sam", comparison.best, ("gain", "gain_error"))
        at_fixed = None if fixed is None else comparison.at(fixed)
        row |= _columns("fixed", at_fixed, ("rho", "test", "gain", "gain_error"))
        paper = paper_gain(comparison)
        row["paper_gain"] = math.nan if paper is None else paper
        result.append(row)
    return result


def table(found: Sequence[Comparison]) -> str:
    """The comparisons as an aligned Markdown table, with a line below on each unclear gain.

    Accuracies and gains are in percent and points, with their standard errors.
    """
    differing = varying(found)
    data = rows(found)
    plain = baseline(found)
    metrics = {comparison.metric for comparison in found}
    test = metrics.pop().column if len(metrics) == 1 else "test"
    header = ["width", "parameters", *differing, f"{plain} {test}", f"SAM {test}", "gain"]
    header += ["best rho", "gain, fixed rho", f"{plain} train loss", "SAM train loss"]
    paper = any(not math.isnan(row["paper_gain"]) for row in data)
    lines = [[*header, "paper's gain"] if paper else header]
    for comparison, row in zip(found, data, strict=True):
        metric = comparison.metric
        cells = [
            _number(row["width"], "g"),
            f"{row['parameters']:,}",
            *(str(row[name]) for name in differing),
            metric.shown(row["sgd_test"], row["sgd_test_error"]),
            metric.shown(row["sam_test"], row["sam_test_error"]),
            metric.shown(row["sam_gain"], row["sam_gain_error"], signed=True),
            _number(row["sam_rho"], "g"),
            metric.shown(row["fixed_gain"], row["fixed_gain_error"], signed=True),
            _number(row["sgd_train_loss"], ".4f"),
            _number(row["sam_train_loss"], ".4f"),
        ]
        lines.append([*cells, metric.shown(row["paper_gain"], signed=True)] if paper else cells)
    return "\n".join([aligned(lines), "", *notes(found)])


def notes(found: Sequence[Comparison]) -> list[str]:
    """What a reader of the table must know besides it, in a few lines."""
    lines = []
    differing = varying(found)

    def names(some: Sequence[Comparison]) -> str:
        """The comparisons by their numbers of parameters, and by what else tells them apart."""
        texts = []
        for c in some:
            settings = [f"{name} {getattr(c.config, name)}" for name in differing]
            texts.append(f"{c.parameters:,}" + (f" ({', '.join(settings)})" if settings else ""))
        return ", ".join(texts) + " parameters"

    lines.append(f"Mean ± standard error over {seeds(found)}, gains paired.")
    fixed = fixed_rho(found)
    if fixed is not None:
        lines.append(f"Fixed rho: {fixed:g}, the best on validation over all rows together.")
    best = [(c, c.best) for c in found]
    noise = [c for c, r in best if r is not None and len(r.gains) > 1 and not gain_is_clear(r)]
    if noise:
        lines.append(
            "Gain within noise (its 95 % t-interval over the paired seeds includes 0): "
            f"{names(noise)}."
        )
    alone = [c for c, result in best if result is not None and len(result.gains) < 2]
    if alone:
        lines.append(f"No interval for the gain, with fewer than two pairs: {names(alone)}.")
    for end, extreme in (("smallest", min), ("largest", max)):
        rhos = [[r.rho for r in c.results if r.rho > 0] for c in found]
        edge = [
            c
            for (c, result), tried in zip(best, rhos, strict=True)
            if result is not None and len(tried) > 1 and result.rho == extreme(tried)
        ]
        if edge:
            lines.append(f"Best rho is the {end} that was tried: {names(edge)}.")
    for comparison in found:
        for result in comparison.results:
            if result.diverged:
                lines.append(
                    f"{names([comparison])}: {count(result.diverged, 'run')} diverged at "
                    f"rho {result.rho:g}."
                )
    return lines


def gain_is_clear(result: RhoResult, confidence: float = 0.95) -> bool:
    """Whether the t-interval of the paired gain leaves out 0; never with fewer than two pairs."""
    if len(result.gains) < 2:
        return False
    quantile = stats.t.ppf((1 + confidence) / 2, len(result.gains) - 1)
    return abs(result.gain) > quantile * result.gain_error


def to_csv(found: Sequence[Comparison]) -> str:
    """The rows as CSV, one line a comparison."""
    text = io.StringIO()
    data = rows(found)
    writer = csv.DictWriter(text, fieldnames=list(data[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(data)
    return text.getvalue()


def to_json(found: Sequence[Comparison]) -> str:
    """The rows as JSON, with what was measured at every rho; NaN is null."""
    data = []
    for comparison, row in zip(found, rows(found), strict=True):
        measured = [
            {
                "rho": result.rho,
                "score": result.score,
                "test": result.test,
                "test_error": result.test_error,
                "gain": result.gain,
                "gain_error": result.gain_error,
                "train_loss": result.train_loss,
                "seeds": list(result.tests),
                "diverged": result.diverged,
            }
            for result in comparison.results
        ]
        data.append(row | {"results": [_without_nan(entry) for entry in measured]})
    return json.dumps([_without_nan(row) for row in data], indent=1, allow_nan=False)


def _columns(prefix: str, result: RhoResult | None, names: Sequence[str]) -> dict[str, float]:
    return {
        f"{prefix}_{name}": math.nan if result is None else getattr(result, name) for name in names
    }


def varying(found: Sequence[Comparison]) -> list[str]:
    """The settings, besides rho, seed and width, in which comparisons differ."""
    settings = [comparison.config.to_dict() for comparison in found if comparison.config]
    return [
        name
        for name in (settings[0] if settings else {})
        if name not in _NEVER_SHOWN and len({str(s[name]) for s in settings}) > 1
    ]


def _number(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)


def _without_nan(row: dict[str, Any]) -> dict[str, Any]:
    return {
        key: None if isinstance(value, float) and math.isnan(value) else value
        for key, value in row.items()
    }
