"""Command-line flags made from dataclasses: one flag a field."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import math
import numbers
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """A parser that answers a mistake by what is wrong, not by all flags that there are."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\nAll flags: {self.prog} --help\n")


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
    kinds = field_types(kind)
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


def cast_fields(instance: Any) -> None:
    """Gives the fields of a frozen dataclass the one form that equality relies on: 4 is 4.0.

    Raises:
        TypeError: If a field is of another type than it is declared to be.
        ValueError: If a number is not finite.
    """
    kinds = field_types(instance.__class__)
    for field in dataclasses.fields(instance):
        value = _cast(field.name, getattr(instance, field.name), kinds[field.name])
        object.__setattr__(instance, field.name, value)


@functools.cache
def field_types(kind: type) -> Mapping[str, Any]:
    """From each field's name to its type. Python evaluates all annotations anew at each call."""
    return typing.get_type_hints(kind)


def _cast(name: str, value: Any, kind: Any) -> Any:
    """The value in the one form that equality and names rely on: 4 as a width is 4.0."""
    if isinstance(kind, types.UnionType):
        if value is None:
            return None
        kind = next(option for option in typing.get_args(kind) if option is not types.NoneType)
    if kind is float and isinstance(value, numbers.Real) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:  # An int beyond all floats.
            number = math.inf
        if not math.isfinite(number):
            raise ValueError(f"`{name}` must be finite. Received: `{name}={value}`")
        return number
    if kind is int and isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)
    if kind in (bool, str) and isinstance(value, kind):
        return value
    if typing.get_origin(kind) is tuple and isinstance(value, tuple | list):
        return tuple(_cast(name, item, typing.get_args(kind)[0]) for item in value)
    if typing.get_origin(kind) is Mapping and isinstance(value, Mapping):
        return dict(value)
    expected = getattr(kind, "__name__", str(kind))
    raise TypeError(f"`{name}` must be of type {expected}. Received: `{name}={value!r}`")
