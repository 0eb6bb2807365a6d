"""The command line that all recipes share: one flag a setting, made from the settings."""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Sequence

from recipes.running.config import RunConfig
from recipes.running.flags import Parser, add_flag, add_flags, field_names, given
from recipes.running.interrupt import command
from recipes.running.recipe import Recipe
from recipes.running.runtime import Runtime

OUTPUT = pathlib.Path("runs")


def main(recipe: Recipe, description: str | None, arguments: Sequence[str] | None = None) -> None:
    """Runs one training of a recipe as the command line asks, and prints its summary."""
    parser = Parser(
        prog=f"python -m {recipe.module}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        default=OUTPUT,
        help=f"folder of runs (default: {OUTPUT})",
    )
    add_config_flags(parser, recipe)
    add_runtime_flags(parser)
    parsed = parser.parse_args(arguments)
    try:
        config = parsed_config(parsed, recipe)
        runtime = parsed_runtime(parsed)
    except (TypeError, ValueError) as error:
        parser.error(str(error))

    # Only now: Keras takes seconds to import, which `--help` and a mistyped flag need not wait for.
    from recipes.reporting.summary import summary
    from recipes.running.records import find_record
    from recipes.running.trainer import train

    folder = parsed.output / recipe.name / config.name(recipe.default)
    print(f"{recipe.name}: {folder}")
    with command("Stopped. The same command goes on from the last finished epoch."):
        if find_record(config, folder.parent / "records.jsonl") is not None:
            print("This run was finished before; its record says:")
        record = train(config, folder, runtime=runtime)
        print(summary(record))


def add_config_flags(
    parser: argparse.ArgumentParser, recipe: Recipe, leave_out: Sequence[str] = ()
) -> None:
    """Adds `--quick` and a flag for each setting of a run, with the recipe's defaults in the help.

    Args:
        parser: The parser to add to.
        recipe: Whose defaults, and whose own options.
        leave_out: Settings that get no flag.
    """
    group = parser.add_argument_group("settings of a run")
    quick = ", ".join(f"{key} {value}" for key, value in recipe.quick.items())
    group.add_argument("--quick", action="store_true", help=f"small and fast: {quick}")
    add_flags(group, RunConfig, recipe.default, leave_out=("recipe", "options", *leave_out))
    if recipe.options:
        group = parser.add_argument_group(f"settings of {recipe.name} alone")
        for name, option in recipe.options.items():
            kind = type(option.default)
            add_flag(group, name, kind, option.default, option.help, option.choices)


def add_runtime_flags(parser: argparse.ArgumentParser, leave_out: Sequence[str] = ()) -> None:
    """Adds a flag for each field of `Runtime`, but for those to leave out."""
    add_flags(parser.add_argument_group("how to run it"), Runtime, leave_out=leave_out)


def parsed_config(parsed: argparse.Namespace, recipe: Recipe) -> RunConfig:
    """The config that the flags ask for."""
    names = [*field_names(RunConfig), *recipe.options]
    own = {name for name in ("recipe", "options") if name not in recipe.options}
    changes = given(vars(parsed), [name for name in names if name not in own])
    return recipe.config(parsed.quick, **changes)


def parsed_runtime(parsed: argparse.Namespace) -> Runtime:
    """The runtime that the flags ask for."""
    return Runtime(**given(vars(parsed), field_names(Runtime)))
