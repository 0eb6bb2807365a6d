"""The command line of `python -m tuning.rho_search`."""

from __future__ import annotations

import argparse
import pathlib
import sys
from collections.abc import Sequence

from recipes.reporting.comparison import REPORTS
from recipes.running.command_line import (
    OUTPUT,
    add_config_flags,
    add_runtime_flags,
    parsed_config,
    parsed_runtime,
)
from recipes.running.flags import Parser
from recipes.running.interrupt import command
from recipes.running.recipe import Recipe, find, names
from tuning.space import STRATEGIES, Space
from tuning.study import Study

# A run that a study loses by a crash is run again; shorter ones than this leave no checkpoints.
_CHECKPOINT_SECONDS = 10.0
# Workers on this machine end soon after their chief.
_LOCAL_CHIEF_TIMEOUT = 30.0


def main(description: str | None, arguments: Sequence[str] | None = None) -> None:
    """Runs the study that the command line asks for, and prints its report."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    recipe = _recipe(arguments)
    parser = _parser(description, recipe)
    parsed = parser.parse_args(arguments)
    try:
        recipe = find(parsed.recipe)
        base = parsed_config(parsed, recipe)
        space = Space(parsed.strategy, tuple(parsed.rhos or recipe.rhos), parsed.trials)
        widths = tuple(parsed.widths or recipe.widths)
        folder = parsed.output or OUTPUT / "rho_search" / recipe.name / base.name(recipe.default)
        seeds = tuple(range(parsed.seeds))
        study = Study(folder=folder, base=base, widths=widths, space=space, seeds=seeds)
        runtime = parsed_runtime(parsed)
    except (TypeError, ValueError) as error:
        parser.error(str(error))

    # Only now: Keras takes seconds to import, which `--help` and a mistyped flag need not wait for.
    from tuning.run_study import run_study

    local = ["--workers", "0", "--chief-timeout", str(_LOCAL_CHIEF_TIMEOUT)]
    with command("Stopped. The same command goes on from here."):
        text = run_study(
            study,
            runtime=runtime,
            report=parsed.report,
            update=parsed.update,
            workers=parsed.workers,
            population=parsed.population,
            command=["-m", "tuning.rho_search", *arguments, *local],
            chief_timeout=parsed.chief_timeout,
        )
        if text is not None:
            print(text)


def _recipe(arguments: Sequence[str]) -> Recipe | None:
    """The recipe whose flags the command line has: one of ours, or the first argument."""
    named = [argument for argument in arguments if argument in names()]
    named += [argument for argument in arguments[:1] if not argument.startswith("-")]
    try:
        return find(named[0]) if named else None
    except ValueError:
        return None


def _parser(description: str | None, recipe: Recipe | None) -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m tuning.rho_search",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="The settings of a run are those of the recipe: name it before --help to see them.",
    )
    parser.add_argument(
        "recipe",
        help=f"the workload: {', '.join(names())}; or, as the first argument, the dotted name of a "
        "module that has a RECIPE",
    )
    parser.add_argument("--widths", type=float, nargs="+", help="default: those of the recipe")
    parser.add_argument("--rhos", type=float, nargs="+", help="default: those of the recipe")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds (default: 5)")
    parser.add_argument(
        "--strategy",
        choices=STRATEGIES,
        default="grid",
        help="grid: each rho. Others: between the smallest and the largest (default: grid)",
    )
    parser.add_argument(
        "--trials", type=int, default=8, help="rhos a width, random and bayesian (default: 8)"
    )
    parser.add_argument(
        "--report",
        choices=REPORTS,
        default="selected",
        help="epoch whose test accuracy counts: best on validation, last, or best on test as in "
        "the paper's code (default: selected)",
    )
    parser.add_argument("--output", type=pathlib.Path, help="the study's folder")
    parser.add_argument(
        "--update", action="store_true", help="go on in a folder with changed settings"
    )
    parser.add_argument(
        "--workers", type=int, default=0, help="processes on this machine (default: this one)"
    )
    parser.add_argument(
        "--population",
        type=int,
        help="runs that are trained at once, as one model; 1: one by one (default: all seeds and "
        "rhos of a width, where the workload allows it)",
    )
    parser.add_argument(
        "--chief-timeout",
        type=float,
        default=300.0,
        help="seconds after which a worker gives up on its chief (default: 300)",
    )
    if recipe is not None:
        add_config_flags(parser, recipe, leave_out=("width", "rho", "seed"))
        add_runtime_flags(parser, leave_out=("save_model",))
        parser.set_defaults(checkpoint_seconds=_CHECKPOINT_SECONDS)
    return parser
