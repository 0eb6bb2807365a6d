"""Numbers to judge a claim by, drawn from a study."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from recipes.paper.study import Study
from recipes.reporting.comparison import Comparison, comparisons, fixed_rho
from recipes.reporting.outcome import RhoResult, mean, standard_error
from recipes.running.records import Record


class Point(NamedTuple):
    """One number: y, of one seed, where something is x."""

    x: float
    y: float
    seed: int


@dataclasses.dataclass(frozen=True)
class Sample:
    """Points, and how they are shown.

    Args:
        points: What was measured; those of NaN are left out.
        form: Of y, as `format` takes it. Defaults to two digits with a sign.
        against: What x is, as "parameters". Defaults to nothing: x is the same everywhere.

    Example:

    >>> str(Sample((Point(1e3, 0.1, 0), Point(1e3, 0.3, 1), Point(2e3, 0.4, 0)), against="size"))
    'size 1,000: +0.20 ± 0.10, 2,000: +0.40 (1 to 2 seeds)'
    """

    points: tuple[Point, ...]
    form: str = "+.2f"
    against: str = ""

    def __post_init__(self) -> None:
        finite = tuple(point for point in self.points if math.isfinite(point.y))
        object.__setattr__(self, "points", finite)

    @property
    def by_x(self) -> dict[float, list[float]]:
        """The ys at each x, x rising."""
        return {
            x: [point.y for point in self.points if point.x == x]
            for x in sorted({point.x for point in self.points})
        }

    @property
    def largest(self) -> list[float]:
        """The ys at the largest x."""
        return list(self.by_x.values())[-1] if self.points else []

    def __str__(self) -> str:
        cells = [
            f"{_x(x)}: {shown(ys, self.form)}" if self.against else shown(ys, self.form)
            for x, ys in self.by_x.items()
        ]
        counts = sorted({len(ys) for ys in self.by_x.values()})
        number = " to ".join(dict.fromkeys(f"{count:,}" for count in (counts[:1] + counts[-1:])))
        once = len({(point.x, point.seed) for point in self.points}) == len(self.points)
        name = f"{self.against.replace('_', ' ')} " if self.against else ""
        return f"{name}{', '.join(cells)} ({number or 'no'} {'seeds' if once else 'values'})"


# What draws a sample from a study.
Draw: TypeAlias = Callable[[Study], Sample]


def shown(values: Iterable[float], form: str) -> str:
    """Mean ± standard error; the mean alone of one value, or of equal ones."""
    values = list(values)
    error = standard_error(values)
    text = format(mean(values), form)
    return text if math.isnan(error) or error == 0 else f"{text} ± {error:{form.lstrip('+')}}"


def gains(
    report: str = "selected", rho: str = "best", against: str = "parameters", **where: Any
) -> Draw:
    """SAM's test metric less the plain optimizer's, paired by seed, in points where in percent.

    Args:
        report: Which epoch, see `recipes.reporting.comparison.comparisons`.
        rho: "best" on validation of each network, or "fixed": the best of all together.
        against: What x is: "parameters" (those kept), or a setting of a run.
        **where: Settings that the runs must have.
    """

    def draw(study: Study) -> Sample:
        return _of(study, report, rho, against, where, lambda result: result.gains, "+")

    return draw


def metrics(
    report: str = "selected",
    rho: str | float = "best",
    against: str = "parameters",
    **where: Any,
) -> Draw:
    """The test metric, in percent where it is a fraction: as `gains`; a rho of 0 is without SAM."""

    def draw(study: Study) -> Sample:
        return _of(study, report, rho, against, where, lambda result: result.tests, "")

    return draw


def best_rhos(against: str = "parameters", report: str = "selected", **where: Any) -> Draw:
    """The rho that validates best at each seed, which x says of which network."""

    def draw(study: Study) -> Sample:
        points = []
        for comparison in _found(study, report, where):
            results = [r for r in comparison.results if r.rho > 0]
            for seed in sorted({seed for result in results for seed in result.scores}):
                best = max(
                    (result for result in results if seed in result.scores),
                    key=lambda r: (r.scores[seed], -r.losses.get(seed, math.inf)),
                )
                points.append(Point(_at(comparison, against), best.rho, seed))
        return Sample(tuple(points), ".3g", against)

    return draw


def exponents(**where: Any) -> Draw:
    """The slope of log(best rho) on log(parameters), of each seed: the exponent of a rule."""

    def draw(study: Study) -> Sample:
        found = best_rhos(**where)(study).points
        points = []
        for seed in sorted({point.seed for point in found}):
            x, y = np.log([(p.x, p.y) for p in found if p.seed == seed]).T
            if len(set(x)) > 1:
                points.append(Point(0.0, float(np.polyfit(x, y, 1)[0]), seed))
        return Sample(tuple(points), "+.2f")

    return draw


def less(first: Draw, second: Draw) -> Draw:
    """One sample less another, paired by seed; each must have one x, or both the same."""

    def draw(study: Study) -> Sample:
        one, other = first(study), second(study)
        alone = len(one.by_x) == len(other.by_x) == 1
        base = {(0.0 if alone else p.x, p.seed): p.y for p in other.points}
        points = [
            Point(p.x, p.y - base[key], p.seed)
            for p in one.points
            if (key := (0.0 if alone else p.x, p.seed)) in base
        ]
        form = one.form if one.form.startswith("+") else f"+{one.form}"
        return Sample(tuple(points), form, "" if alone else one.against)

    return draw


def values(
    of: str | Callable[[Mapping[str, Any]], float],
    against: str = "",
    form: str = ".3g",
    **where: Any,
) -> Draw:
    """Numbers of an experiment.

    Args:
        of: The name of what was measured, or a function of a result.
        against: The setting that is x. Defaults to none.
        form: How it is shown.
        **where: Settings that the results must have; a tuple lists what one may be.
    """

    def draw(study: Study) -> Sample:
        points = [
            Point(float(row[against]) if against else 0.0, _number(row, of), row.get("seed", 0))
            for row in study.results
            if _fits(row, where)
        ]
        return Sample(tuple(points), form, against)

    return draw


def changes(
    of: str | Callable[[Mapping[str, Any]], float],
    than: Mapping[str, Any],
    against: str = "",
    form: str = "+.3g",
    relative: bool = False,
    **where: Any,
) -> Draw:
    """Numbers of an experiment less those of a reference that is the same in all else.

    Args:
        of: As in `values`.
        than: In what the reference differs: `{"rho": 0.0}` is the plain optimizer.
        against: The setting that is x. Defaults to none.
        form: How it is shown.
        relative: Whether they are divided by the reference's instead. Defaults to `False`.
        **where: As in `values`; what is in `than` as well, the reference need not have.
    """

    def draw(study: Study) -> Sample:
        settings = [
            key.removeprefix("setting.") for key in study.entries[0] if key.startswith("setting.")
        ]
        # What only SAM's radius depends on is set to a default where there is none.
        same = [key for key in settings if key not in {*than, "scale", "rho_power"}]

        def key(row: Mapping[str, Any]) -> tuple[Any, ...]:
            return tuple(str(row[name]) for name in same)

        base = {key(row): _number(row, of) for row in study.results if _fits(row, than)}
        points = [
            Point(
                float(row[against]) if against else 0.0,
                _number(row, of) / base[key(row)]
                if relative
                else _number(row, of) - base[key(row)],
                row.get("seed", 0),
            )
            for row in study.results
            if _fits(row, where) and not _fits(row, than) and key(row) in base
        ]
        return Sample(tuple(points), form, against)

    return draw


def _of(
    study: Study,
    report: str,
    rho: str | float,
    against: str,
    where: Mapping[str, Any],
    of: Callable[[RhoResult], Mapping[int, float]],
    sign: str,
) -> Sample:
    found = _found(study, report, where)
    fixed = fixed_rho(found) if rho == "fixed" else rho
    points, percent = [], True
    for comparison in found:
        result = comparison.best
        if rho != "best":
            result = None if fixed is None else comparison.at(float(fixed))
        if result is not None:
            percent = comparison.metric.percent
            x, factor = _at(comparison, against), comparison.metric.factor
            points += [Point(x, factor * y, seed) for seed, y in sorted(of(result).items())]
    return Sample(tuple(points), sign + (".2f" if percent else ".4f"), against)


def _found(study: Study, report: str, where: Mapping[str, Any]) -> list[Comparison]:
    def fits(record: Record) -> bool:
        return _fits({**record.config.to_dict(), **record.config.options}, where)

    return comparisons(filter(fits, study.records), report)


def _at(comparison: Comparison, against: str) -> float:
    if against == "parameters":
        return comparison.parameters
    assert comparison.config is not None
    settings = {**comparison.config.to_dict(), **comparison.config.options}
    return float(settings[against])


def _fits(row: Mapping[str, Any], where: Mapping[str, Any]) -> bool:
    return all(
        row.get(key) in value if isinstance(value, tuple) else row.get(key) == value
        for key, value in where.items()
    )


def _number(row: Mapping[str, Any], of: str | Callable[[Mapping[str, Any]], float]) -> float:
    value = of(row) if callable(of) else row[of]
    return math.nan if value is None else float(value)


def _x(x: float) -> str:
    return f"{x:,.0f}" if x >= 1000 else f"{x:g}"
