"""The settings that recipes of PPO have."""

from __future__ import annotations

from typing import Any

from recipes.running.recipe import Option

_OPTIONS = {
    "game": Option("breakout", "the game"),
    "games": Option(32, "copies that are played at once"),
    "steps": Option(128, "steps of each in an iteration"),
    "passes": Option(4, "passes over an iteration's steps"),
    "discount": Option(0.99, "gamma, of rewards a step later"),
    "trace": Option(0.95, "lambda, of the advantages"),
    "clip_norm": Option(0.5, "largest norm of the gradient that is descended"),
    "evaluation_games": Option(32, "evaluation episodes, half of them to select by"),
    "evaluate_every": Option(10, "iterations from one evaluation to the next"),
    "fresh_every": Option(0, "iterations after which all games begin anew; 0: never"),
}


def options(**defaults: Any) -> dict[str, Option]:
    """The options of a recipe of PPO, some of them with other defaults."""
    return {
        name: Option(defaults.get(name, option.default), option.help)
        for name, option in _OPTIONS.items()
    }
