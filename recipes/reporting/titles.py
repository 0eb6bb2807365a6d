"""What tables and figures call things: the names are the recipes' and the optimizers'."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from recipes.reporting.comparison import Comparison
from recipes.running.config import RunConfig
from recipes.running.recipe import Recipe, find

_OPTIMIZERS = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW"}


def recipe_of(config: RunConfig | None) -> Recipe | None:
    """The recipe of a config; `None` where it is not to be found, as for records from elsewhere."""
    if config is None:
        return None
    try:
        return find(config.recipe)
    except ValueError:
        return None


def subject(config: RunConfig) -> str:
    """What was trained: the recipe's title, or its name."""
    recipe = recipe_of(config)
    return config.recipe if recipe is None else recipe.title


def optimizer(config: RunConfig | None) -> str:
    """The plain optimizer's name; "SGD" for a user's network."""
    return "SGD" if config is None else _OPTIMIZERS[config.optimizer]


def baseline(found: Sequence[Comparison]) -> str:
    """The name of the plain optimizer that all comparisons share, or "plain"."""
    names = {optimizer(comparison.config) for comparison in found}
    return names.pop() if len(names) == 1 else "plain"


def count(number: int, thing: str) -> str:
    """A number of things: "1 run", "2 runs"."""
    return f"{number} {thing}" + ("" if number == 1 else "s")


def seeds(found: Sequence[Comparison]) -> str:
    """Over how many seeds the results are: "5 seeds", "2 to 5 seeds"."""
    numbers = sorted({len(result.tests) for c in found for result in c.results})
    if len(numbers) == 1:
        return count(numbers[0], "seed")
    return f"{numbers[0]} to {numbers[-1]} seeds" if numbers else "no seeds"


def settings(config: RunConfig) -> str:
    """How a run trained: its epochs, and in what it is not as its recipe does by default.

    For example "label noise 0.4, examples 10,000, epochs 30".
    """
    recipe = recipe_of(config)
    if recipe is None:
        return ""
    changed = {name: value for name, (value, _) in config.differences(recipe.default).items()}
    if "epochs" not in changed:
        changed["epochs"] = config.epochs
    left_out = ("width", "rho", "seed")
    return ", ".join(
        _setting(name, value) for name, value in changed.items() if name not in left_out
    )


def _setting(name: str, value: object) -> str:
    if name == "take" and value is not None:
        return f"examples {value:,}"
    return f"{name.replace('_', ' ')} {format(value, 'g') if isinstance(value, float) else value}"


def wrapped(title: str, width: float) -> str:
    """The title's lines broken so that they fit into a figure so many inches wide."""
    letters = int(12 * width)  # Of the font size "medium", with something to spare.
    return "\n".join(textwrap.fill(line, letters) for line in title.splitlines())


def paper_gain(comparison: Comparison) -> float | None:
    """The gain that the paper reports for this workload at this width, in the metric itself.

    `None` where it has none, or where the runs are pruned or noisy and the paper's are not.
    """
    config, recipe = comparison.config, recipe_of(comparison.config)
    if config is None or recipe is None or recipe.paper is None:
        return None
    if config.sparsity or config.label_noise:
        return None
    gain = recipe.paper.gain_at(comparison.width)
    return None if gain is None else gain / comparison.metric.factor
