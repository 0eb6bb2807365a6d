"""From runs to one row a method: its best rho, its gain, its time."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence

from recipes.methods.variants import SGD
from recipes.reporting.comparison import compare
from recipes.reporting.outcome import Outcome, RhoResult, standard_error
from recipes.running.experiment import Result
from recipes.running.metric import Metric


@dataclasses.dataclass(frozen=True)
class Row:
    """What a method came to.

    Args:
        method: Its name.
        best: Its result at the rho with the best mean validation metric, rho in SAM's units.
        last_gain: The gain of the last epoch's test metric at that rho, mean over seeds.
        last_gain_error: Its standard error.
        epoch_time: What an epoch takes, in those of the plain optimizer: the median over runs.
        time_to_equal: The time until the validation metric is what the plain optimizer's is at its
            best, in the time that this takes the plain optimizer: the median over those seeds at
            which it gets there, NaN if there is none.
        reached: Number of seeds at which it gets there.
    """

    method: str
    best: RhoResult
    last_gain: float
    last_gain_error: float
    epoch_time: float
    time_to_equal: float
    reached: int

    @property
    def seeds(self) -> int:
        """Number of seeds."""
        return len(self.best.tests)


def metric_of(results: Sequence[Result]) -> Metric:
    """The metric of all results."""
    return Metric(**results[0]["metric"])


def rows(results: Sequence[Result]) -> list[Row]:
    """One row a method, in the order of their first results.

    Args:
        results: Of one workload; the plain optimizer's are among them.

    Raises:
        ValueError: If there is no result of the plain optimizer, or all of its runs diverged.
    """
    metric = metric_of(results)
    plain = {r.setting.seed: r for r in results if r.setting.method == SGD and not r["diverged"]}
    if not plain:
        raise ValueError(
            "`methods` must include sgd, which the others are compared with, and its runs must "
            f"end. Received: `methods={sorted({r.setting.method for r in results})}`"
        )
    found = []
    for method in dict.fromkeys(result.setting.method for result in results):
        own = [result for result in results if result.setting.method == method]
        baseline = [] if method == SGD else list(plain.values())
        compared = compare([_outcome(r, metric) for r in [*own, *baseline]], 0, metric=metric)
        best = compared.at(0.0) if method == SGD else compared.best
        if best is None:  # It diverged at every rho.
            continue
        chosen = [r for r in own if r.setting.rho == best.rho and not r["diverged"]]
        seconds = statistics.median(result["epoch_seconds"] for result in own)
        unit = statistics.median(result["epoch_seconds"] for result in plain.values())
        paired = [
            (result, plain[result.setting.seed])
            for result in chosen
            if result.setting.seed in plain
        ]
        last = [metric.gain(run["test"][-1], base["test"][-1]) for run, base in paired]
        times = []
        for run, base in paired:
            goal = max(metric.score(value) for value in base["validation"])
            at, in_base = _reaches(run, goal, metric), _reaches(base, goal, metric)
            if at is not None and in_base is not None:
                times.append(at * seconds / (in_base * unit))
        found.append(
            Row(
                method=method,
                best=best,
                last_gain=statistics.fmean(last) if last else float("nan"),
                last_gain_error=standard_error(last),
                epoch_time=seconds / unit,
                time_to_equal=statistics.median(times) if times else float("nan"),
                reached=len(times),
            )
        )
    return found


def _reaches(result: Result, goal: float, metric: Metric) -> int | None:
    """The first epoch, from 1, whose validation metric is at least `goal`."""
    scores = [metric.score(value) for value in result["validation"]]
    return next((epoch for epoch, score in enumerate(scores, 1) if score >= goal), None)


def _outcome(result: Result, metric: Metric) -> Outcome:
    if result["diverged"]:
        nan = float("nan")
        return Outcome(result.setting.rho, result.setting.seed, nan, nan, nan)
    at = int(result["selected"]) - 1
    return Outcome(
        rho=result.setting.rho,
        seed=result.setting.seed,
        score=metric.score(result["validation"][at]),
        test=result["test"][at],
        train_loss=result["train_loss"],
    )
