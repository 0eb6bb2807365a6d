"""From runs to the question of this project: how much does SAM gain, and at which rho?"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from recipes.reporting.outcome import Outcome, RhoResult, mean
from recipes.running.config import RunConfig
from recipes.running.metric import ACCURACY, Metric
from recipes.running.records import DIVERGED, Record

REPORTS = ("selected", "last", "best_test")

# Settings that only SAM reads.
_PLAIN: dict[str, Any] = {
    "normalize": True,
    "adaptive": False,
    "method": "sam",
    "perturb": "all",
    "every": 1,
    "late": 0.0,
    "ascent_steps": 1,
    "num_batch_splits": None,
    "sync_perturbation": False,
}


@dataclasses.dataclass(frozen=True)
class Comparison:
    """SAM against the plain optimizer on one network and one dataset, at several rhos.

    Args:
        parameters: Number of weights that are kept.
        results: One entry a rho, rising.
        config: The settings that all runs share, with rho and seed 0; `None` for a user's network.
        width: Width of the network, NaN if unknown.
        metric: What is compared.
    """

    parameters: int
    results: tuple[RhoResult, ...]
    config: RunConfig | None = None
    width: float = math.nan
    metric: Metric = ACCURACY

    @property
    def baseline(self) -> RhoResult | None:
        """The plain optimizer's result, `None` as long as it has not run."""
        return self.at(0.0)

    @property
    def best(self) -> RhoResult | None:
        """SAM at the rho with the best mean validation score.

        Among equals it is the one with the lowest validation loss, and where that is equal or
        unknown the smallest.

        A rho at which a run diverged, or with fewer seeds than others, is not chosen. `None` if
        there is none to choose.
        """
        candidates = [r for r in self.results if r.rho > 0 and r.scores and not r.diverged]
        seeds = max((len(r.scores) for r in candidates), default=0)
        candidates = [r for r in candidates if len(r.scores) == seeds]
        return max(candidates, key=lambda r: r.merit, default=None)

    def at(self, rho: float) -> RhoResult | None:
        """The result at a rho, `None` if there is none."""
        return next((r for r in self.results if r.rho == rho), None)


def compare(
    outcomes: Iterable[Outcome],
    parameters: int,
    *,
    metric: Metric = ACCURACY,
    config: RunConfig | None = None,
    width: float = math.nan,
) -> Comparison:
    """Gathers outcomes by rho and pairs them by seed.

        gain(rho, seed) = test(rho, seed) - test(0, seed)       (negated for a metric to minimise)

    Args:
        outcomes: Runs that differ in rho and seed alone.
        parameters: Number of weights that are kept.
        metric: What is compared, which says whether higher is better. Defaults to accuracy.
        config: The settings that all runs share. Defaults to `None`.
        width: Width of the network. Defaults to NaN.

    Example:

    >>> runs = [Outcome(0.0, 0, 0.90, 0.88, 0.1), Outcome(0.0, 1, 0.92, 0.90, 0.1),
    ...         Outcome(0.1, 0, 0.94, 0.91, 0.2), Outcome(0.1, 1, 0.94, 0.92, 0.2)]
    >>> best = compare(runs, parameters=1000).best
    >>> round(best.gain, 4), round(best.gain_error, 4)  # of 0.03 and 0.02
    (0.025, 0.005)
    """
    by_rho: dict[float, list[Outcome]] = {}
    for outcome in outcomes:
        by_rho.setdefault(outcome.rho, []).append(outcome)
    plain = {o.seed: o.test for o in by_rho.get(0.0, []) if not _diverged(o)}
    results = []
    for rho, runs in sorted(by_rho.items()):
        ended = sorted((run for run in runs if not _diverged(run)), key=lambda run: run.seed)
        results.append(
            RhoResult(
                rho=rho,
                scores={run.seed: run.score for run in ended},
                tests={run.seed: run.test for run in ended},
                gains={
                    run.seed: metric.gain(run.test, plain[run.seed])
                    for run in ended
                    if run.seed in plain
                },
                train_losses={run.seed: run.train_loss for run in ended},
                diverged=len(runs) - len(ended),
                losses={run.seed: run.loss for run in ended},
            )
        )
    return Comparison(parameters, tuple(results), config, width, metric)


def comparisons(records: Iterable[Record], report: str = "selected") -> list[Comparison]:
    """One comparison for each set of settings, by rising number of parameters.

    Args:
        records: Runs of any settings; those that differ in rho and seed alone are compared.
        report: Which epoch's test metric counts: "selected" (best on validation), "last", or
            "best_test" (as the paper's code reports). Defaults to "selected".

    Raises:
        ValueError: If `report` is unknown.
    """
    if report not in REPORTS:
        raise ValueError(f"`report` must be one of {REPORTS}. Received: `report={report!r}`")
    plain: dict[str, list[Record]] = {}
    groups: dict[str, list[Record]] = {}
    for record in records:
        if record.config.rho == 0:
            plain.setdefault(_key(record.config, **_PLAIN), []).append(record)
        else:
            groups.setdefault(_key(record.config), []).append(record)
    # The plain optimizer's runs are the baseline of every variant of SAM on the same settings.
    for group in groups.values():
        group.extend(plain.get(_key(group[0].config, **_PLAIN), []))
    compared = {_key(group[0].config, **_PLAIN) for group in groups.values()}
    groups.update({key: runs for key, runs in plain.items() if key not in compared})
    found = [
        compare(
            [_outcome(record, report) for record in group],
            group[0].kept_parameters,
            metric=group[0].metric,
            config=group[0].config.replace(rho=0.0, seed=0),
            width=group[0].config.width,
        )
        for group in groups.values()
    ]
    return sorted(found, key=lambda c: c.parameters)


def fixed_rho(found: Sequence[Comparison]) -> float | None:
    """The one rho to take everywhere: of those run in every comparison, the best mean score.

    Among equals it is the one with the lowest mean validation loss.
    `None` if no rho > 0 was run (and ended) in all of them.
    """
    shared: set[float] | None = None
    for comparison in found:
        rhos = {r.rho for r in comparison.results if r.rho > 0 and r.scores and not r.diverged}
        shared = rhos if shared is None else shared & rhos

    def overall(rho: float) -> tuple[float, float]:
        results = [comparison.at(rho) for comparison in found]
        merits = [result.merit for result in results if result is not None]
        return round(mean(score for score, _ in merits), 12), mean(loss for _, loss in merits)

    return max(sorted(shared or []), key=overall, default=None)


def _key(config: RunConfig, **changes: Any) -> str:
    return json.dumps(config.replace(rho=0.0, seed=0, **changes).to_dict(), sort_keys=True)


def _diverged(outcome: Outcome) -> bool:
    return math.isnan(outcome.score) or math.isnan(outcome.test)


def _outcome(record: Record, report: str) -> Outcome:
    metrics: Mapping[str, Any] = getattr(record, report)
    if record.status == DIVERGED:
        return Outcome(record.config.rho, record.config.seed, math.nan, math.nan, math.nan)
    # The validation that chose the epoch also chooses rho, also where the test set chose it.
    chosen = record.selected if report == "best_test" else metrics
    name = record.metric.name
    return Outcome(
        rho=record.config.rho,
        seed=record.config.seed,
        score=record.metric.sign * chosen[f"val_{name}"],
        test=metrics[f"test_{name}"],
        train_loss=record.train["loss"],
        loss=chosen.get("val_loss", math.nan),
    )
