"""The command line that all recipes share: one flag a setting, made from the settings."""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from recipes.config import RunConfig
from recipes.recipe import Recipe
from recipes.runtime import Runtime

OUTPUT = pathlib.Path("runs")


def main(recipe: Recipe, description: str | None, arguments: Sequence[str] | None = None) -> None:
    """Runs one training of a recipe as the command line asks, and prints its summary."""
    parser = argparse.ArgumentParser(
        prog=f"python -m recipes.{recipe.name}",
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
    from recipes.records import find_record
    from recipes.summary import summary
    from recipes.training import train

    folder = parsed.output / recipe.name / config.name(recipe.default)
    print(f"{recipe.name}: {folder}")
    if find_record(config, folder.parent / "records.jsonl") is not None:
        print("This run was finished before; its record says:")
    try:
        record = train(config, folder, runtime=runtime)
    except KeyboardInterrupt:
        sys.exit("Stopped. The same command goes on from the last finished epoch.")
    except (RuntimeError, ValueError) as error:
        sys.exit(str(error))
    print(summary(record))


def add_config_flags(
    parser: argparse.ArgumentParser, recipe: Recipe, leave_out: Sequence[str] = ()
) -> None:
    """Adds `--quick` and a flag for each setting of a run, with the recipe's defaults in the help.

    Args:
        parser: The parser to add to.
        recipe: Whose defaults; its data and its network are no flags.
        leave_out: Settings that get no flag.
    """
    group = parser.add_argument_group("settings of a run")
    quick = ", ".join(f"{key} {value}" for key, value in recipe.quick.items())
    group.add_argument("--quick", action="store_true", help=f"small and fast: {quick}")
    kinds = typing.get_type_hints(RunConfig)
    for field in dataclasses.fields(RunConfig):
        if field.name in ("dataset", "network", "network_options", *leave_out):
            continue
        default = getattr(recipe.default, field.name)
        _add_flag(group, field, kinds[field.name], default)
    for name, default in recipe.default.network_options.items():
        group.add_argument(
            _flag(name),
            type=type(default),
            default=argparse.SUPPRESS,
            help=f"option of the network (default: {default})",
        )


def add_runtime_flags(parser: argparse.ArgumentParser, leave_out: Sequence[str] = ()) -> None:
    """Adds a flag for each field of `Runtime`, but for those to leave out."""
    group = parser.add_argument_group("how to run it")
    kinds = typing.get_type_hints(Runtime)
    for field in dataclasses.fields(Runtime):
        if field.name not in leave_out:
            _add_flag(group, field, kinds[field.name], field.default)


def parsed_config(parsed: argparse.Namespace, recipe: Recipe) -> RunConfig:
    """The config that the flags ask for."""
    names = {field.name for field in dataclasses.fields(RunConfig)}
    names |= set(recipe.default.network_options)
    return recipe.config(parsed.quick, **_given(parsed, names))


def parsed_runtime(parsed: argparse.Namespace) -> Runtime:
    """The runtime that the flags ask for."""
    return Runtime(**_given(parsed, {field.name for field in dataclasses.fields(Runtime)}))


def _given(parsed: argparse.Namespace, names: set[str]) -> Mapping[str, Any]:
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in vars(parsed).items()
        if name in names
    }


def _add_flag(group: Any, field: dataclasses.Field[Any], kind: Any, default: Any) -> None:
    text = f"{field.metadata['help']} (default: {_shown(default)})"
    arguments: dict[str, Any] = {"default": argparse.SUPPRESS, "help": text}
    if isinstance(kind, types.UnionType):
        kind = next(option for option in typing.get_args(kind) if option is not types.NoneType)
        optional = True
    else:
        optional = False
    if kind is bool:
        arguments["action"] = argparse.BooleanOptionalAction
    elif typing.get_origin(kind) is tuple:
        arguments.update(type=typing.get_args(kind)[0], nargs="*")
    else:
        arguments["type"] = _or_none(kind) if optional else kind
    group.add_argument(_flag(field.name), **arguments)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _or_none(kind: type) -> Any:
    def parse(text: str) -> Any:
        return None if text == "none" else kind(text)

    parse.__name__ = f"{kind.__name__} or none"
    return parse


def _shown(default: Any) -> str:
    if isinstance(default, tuple):
        return " ".join(map(str, default))
    return "none" if default is None else str(default)
