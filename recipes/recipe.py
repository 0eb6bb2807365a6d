"""A recipe: one workload of the paper, as data."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from typing import Any

from recipes.config import RunConfig

NAMES = ("digits", "mnist", "cifar10_resnet18", "cifar10_vit", "imagenet_resnet50")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """A workload: its settings, what `--quick` changes in them, and the sizes to study it at.

    Args:
        name: The module's name in `recipes`.
        default: Settings of a full run.
        quick: What `--quick` changes: a few minutes on a CPU, the schedule in the same shape.
        widths: Widths of a study, rising.
        rhos: The grid of rho of a study, rising, without the 0 of the plain optimizer.

    Example:

    >>> find("digits").default.dataset
    'digits'
    """

    name: str
    default: RunConfig
    quick: Mapping[str, Any]
    widths: tuple[float, ...]
    rhos: tuple[float, ...] = (0.01, 0.02, 0.05, 0.1, 0.2)

    def config(self, quick: bool = False, **changes: Any) -> RunConfig:
        """The settings of a run: the default, as `--quick` changes it, then the given changes."""
        changes = {**(self.quick if quick else {}), **changes}
        options = {
            key: changes.pop(key) for key in list(changes) if key in self.default.network_options
        }
        if options:
            changes["network_options"] = {**self.default.network_options, **options}
        return self.default.replace(**changes)


def find(name: str) -> Recipe:
    """The recipe of a name.

    Raises:
        ValueError: If there is no such recipe.
    """
    if name not in NAMES:
        raise ValueError(f"`name` must be one of {', '.join(NAMES)}. Received: `name={name!r}`")
    return importlib.import_module(f"recipes.{name}").RECIPE
