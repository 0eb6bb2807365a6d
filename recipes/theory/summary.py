"""From results to the cells of a table: groups, means and their errors."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from recipes.reporting.outcome import mean, standard_error

if TYPE_CHECKING:
    from recipes.running.experiment import Result


def groups(results: Iterable[Result], *fields: str) -> dict[tuple[Any, ...], list[Result]]:
    """Results by the values of some fields of their settings, in the order of their first."""
    found: dict[tuple[Any, ...], list[Result]] = {}
    for result in results:
        key = tuple(getattr(result.setting, field) for field in fields)
        found.setdefault(key, []).append(result)
    return found


def cell(values: Iterable[float], form: str) -> str:
    """Mean ± standard error of what is finite, as text; "-" of nothing.

    Example:

    >>> cell([1.0, 3.0], ".1f"), cell([2.0], ".1f"), cell([math.nan], ".1f")
    ('2.0 ± 1.0', '2.0', '-')
    """
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return "-"
    error = standard_error(finite)
    text = format(mean(finite), form)
    # What differs in the last bits alone is one number.
    if math.isnan(error) or error <= 1e-12 * max(map(abs, finite)):
        return text
    return f"{text} ± {error:{form.lstrip('+')}}"


def geometric_cell(values: Iterable[float], least: float) -> str:
    """Geometric mean and, in brackets, the factor of its standard error; what is below is `least`.

    Example:

    >>> geometric_cell([1e-3, 1e-5], least=1e-30)
    '1.0e-04 (x 10)'
    """
    logs = [math.log(max(value, least)) for value in values if not math.isnan(value)]
    if not logs:
        return "-"
    error = standard_error(logs)
    text = f"{math.exp(mean(logs)):.1e}"
    return text if math.isnan(error) else f"{text} (x {math.exp(error):.2g})"


def paired(results: Iterable[Result], reference: Iterable[Result], name: str) -> list[float]:
    """A value less that of the reference of the same seed, where both are there."""
    base = {result.setting.seed: result[name] for result in reference}
    return [
        result[name] - base[result.setting.seed]
        for result in results
        if result.setting.seed in base
    ]


def means(values: Iterable[float]) -> tuple[float, float]:
    """Mean and standard error of what is finite, for a figure."""
    finite = [value for value in values if math.isfinite(value)]
    return mean(finite), standard_error(finite)
