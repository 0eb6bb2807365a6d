"""The table of a search on a user's own network."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from recipes.reporting.comparison import Comparison
from recipes.reporting.markdown import aligned
from recipes.reporting.outcome import standard_error

if TYPE_CHECKING:
    import keras_tuner


def table(comparison: Comparison, objective: keras_tuner.Objective, tested: bool) -> str:
    """One line a rho, in Markdown: mean and standard error over seeds, the gain paired.

    Args:
        comparison: SAM at every rho against the plain optimizer.
        objective: What rho is chosen by.
        tested: Whether there were data to test on; without, the gain is that of the objective.
    """
    sign = 1 if objective.direction == "max" else -1
    header = ["rho", objective.name, "test", "gain", "train loss", "diverged"]
    lines = [header if tested else [name for name in header if name != "test"]]
    for result in comparison.results:
        error = standard_error(result.scores.values())
        cells = {
            "rho": f"{result.rho:g}",
            objective.name: _with_error(sign * result.score, error),
            "test": _with_error(result.test, result.test_error),
            "gain": _with_error(result.gain, result.gain_error, "+") if result.rho else "",
            "train loss": f"{result.train_loss:.4f}",
            "diverged": str(result.diverged or ""),
        }
        lines.append([cells[name] for name in lines[0]])
    best, plain = comparison.best, comparison.baseline
    text = aligned(lines)
    if best is not None and plain is not None and not best.score > plain.score:
        text += f"\n\nNo rho beats the plain optimizer by {objective.name}."
    return text


def _with_error(value: float, error: float, sign: str = "") -> str:
    text = format(value, f"{sign}.4f")
    return text if math.isnan(error) else f"{text} ± {error:.4f}"
