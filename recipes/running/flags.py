"""Command-line flags made from dataclasses: one flag a field."""

from __future__ import annotations

import argparse
import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any


def setting(default: Any, text: str, choices: Sequence[Any] | None = None) -> Any:
    """A field of a dataclass that becomes a flag.

    Args:
        default: Its default; `dataclasses.MISSING` for none.
        text: What it is, in a few words, for `--help`.
        choices: The values that it may have. Defaults to all of its type.
    """
    metadata = {"help": text, "choices": choices}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def add_flags(
    group: Any,
    kind: type,
    defaults: Any = None,
    leave_out: Sequence[str] = (),
) -> None:
    """Adds a flag for each field of a dataclass. A flag that is not given leaves no attribute.

    Args:
        group: A parser, or a group of one.
        kind: The dataclass.
        defaults: An instance of it whose values the help shows. Defaults to the fields' defaults.
        leave_out: Fields that get no flag.
    """
    kinds = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        if field.name in leave_out:
            continue
        default = field.default if defaults is None else getattr(defaults, field.name)
        add_flag(group, field.name, kinds[field.name], default, **field.metadata)


def add_flag(
    group: Any,
    name: str,
    kind: Any,
    default: Any,
    help: str,
    choices: Sequence[Any] | None = None,
) -> None:
    """Adds one flag.

    Args:
        group: A parser, or a group of one.
        name: Of the attribute; the flag has hyphens for its underscores.
        kind: The type: bool, int, float, str, a tuple of these, or one of them and `None`.
        default: What the help shows.
        help: What it is.
        choices: The values that it may have. Defaults to all of its type.
    """
    arguments: dict[str, Any] = {
        "default": argparse.SUPPRESS,
        "help": f"{help} (default: {_shown(default)})",
    }
    optional = isinstance(kind, types.UnionType)
    if optional:
        kind = next(option for option in typing.get_args(kind) if option is not types.NoneType)
    if kind is bool:
        arguments["action"] = argparse.BooleanOptionalAction
    elif typing.get_origin(kind) is tuple:
        arguments.update(type=typing.get_args(kind)[0], nargs="*")
    else:
        arguments["type"] = _or_none(kind) if optional else kind
    if choices is not None:
        known = ["none", *choices] if optional else list(choices)
        arguments["metavar"] = "{" + ",".join(map(str, known)) + "}"
    group.add_argument("--" + name.replace("_", "-"), **arguments)


def given(parsed: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The flags among some that were given, lists as tuples."""
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in parsed.items()
        if name in names
    }


def field_names(kind: type) -> list[str]:
    """The names of a dataclass's fields."""
    return [field.name for field in dataclasses.fields(kind)]


def _or_none(kind: type) -> Any:
    def parse(text: str) -> Any:
        return None if text == "none" else kind(text)

    parse.__name__ = f"{kind.__name__} or none"
    return parse


def _shown(default: Any) -> str:
    if isinstance(default, tuple):
        return " ".join(map(str, default))
    return "none" if default is None else str(default)
