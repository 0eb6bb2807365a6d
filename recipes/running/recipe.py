"""A recipe: one workload, as data and a few functions. Nothing else knows its name."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.util
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import recipes
from recipes.running.config import RunConfig
from recipes.running.metric import ACCURACY, Metric

if TYPE_CHECKING:
    import keras

    from recipes.datasets.data import Data
    from recipes.running.runtime import Runtime
    from recipes.running.training import Training


@dataclasses.dataclass(frozen=True)
class Option:
    """A setting that only one recipe has; it becomes a flag.

    Args:
        default: Its value where nothing else is asked for: a bool, int, float or str.
        help: What it is, in a few words.
        choices: The values that it may have. Defaults to all of its type.
    """

    default: Any
    help: str
    choices: tuple[Any, ...] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Paper:
    """What arXiv 2311.17539 reports for a workload: its gain against size.

    Args:
        widths: As in the recipe; NaN where a width is not stated.
        parameters: Number of weights at each width, as the paper gives it.
        gains: Metric of SAM minus that of the baseline, as read off its plot; in points where the
            metric is shown in percent.
        error: By how much a gain may be misread. Defaults to 0.02.
    """

    widths: tuple[float, ...]
    parameters: tuple[float, ...]
    gains: tuple[float, ...]
    error: float = 0.02

    def gain_at(self, width: float) -> float | None:
        """The paper's gain at a width; `None` if it has none."""
        return dict(zip(self.widths, self.gains, strict=True)).get(width)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """A workload: where its data come from, its network, its loss, and the sizes to study it at.

    The functions import what they need when they are called, so that `--help` takes no time.

    Args:
        name: The module's name in `recipes`, or the dotted name of a module elsewhere.
        title: What is trained, for tables and figures: "MNIST, perceptron".
        data: From the settings of a run to its data, split and batched.
        network: From the settings of a run and its data to a new network, whose initial weights
            `config.seed` fixes. `config.width` scales it.
        defaults: Settings of a full run, where they are not those of `RunConfig`.
        quick: What `--quick` changes: a few minutes on a CPU, the schedule in the same shape.
        widths: Widths of a study, rising.
        rhos: The grid of rho of a study, rising, without the 0 of the plain optimizer.
        options: Settings that this recipe alone has, by name.
        metric: What selects and is reported. Defaults to accuracy.
        metrics: What `compile` is given to compute it. Defaults to its name.
        loss: Makes the loss. Defaults to cross-entropy of logits and integer labels.
        paper: What the paper reports. Defaults to nothing.
        labels: The two names by which records told the recipe before they had its own.
        evaluate: From the model, a dataset and a number of batches (`None` for all) to `loss` and
            the metric, where the mean over batches is not what is wanted.
            Defaults to `None`, Keras's `evaluate`.
        training: For a workload whose training is no `fit` over a dataset: from the settings and
            how to carry them out to what trains. `data` and `network` are then not called.
            Defaults to `None`, Keras's `fit`.

    Example:

    >>> find("digits").default.epochs
    40
    """

    name: str
    title: str
    data: Callable[[RunConfig], Data] | None = None
    network: Callable[[RunConfig, Data], keras.Model] | None = None
    defaults: Mapping[str, Any]
    quick: Mapping[str, Any]
    widths: tuple[float, ...]
    rhos: tuple[float, ...] = (0.01, 0.02, 0.05, 0.1, 0.2)
    options: Mapping[str, Option] = dataclasses.field(default_factory=dict)
    metric: Metric = ACCURACY
    metrics: Callable[[], Sequence[Any]] | None = None
    loss: Callable[[], keras.losses.Loss] | None = None
    paper: Paper | None = None
    labels: tuple[str, str] | None = None
    evaluate: Callable[[keras.Model, Any, int | None], dict[str, float]] | None = None
    training: Callable[[RunConfig, Runtime], Training] | None = None

    def __post_init__(self) -> None:
        if self.training is None and (self.data is None or self.network is None):
            raise ValueError(
                "`data` and `network` must be functions where there is no `training`. "
                f"Received: `data={self.data}`, `network={self.network}`"
            )

    @functools.cached_property
    def default(self) -> RunConfig:
        """The settings of a full run."""
        options = {name: option.default for name, option in self.options.items()}
        return RunConfig(recipe=self.name, options=options, **self.defaults)

    @property
    def module(self) -> str:
        """What `python -m` runs it by."""
        return f"recipes.{self.name}" if self.name in names() else self.name

    def config(self, quick: bool = False, **changes: Any) -> RunConfig:
        """The settings of a run: the default, as `--quick` changes it, then the given changes."""
        changes = {**(self.quick if quick else {}), **changes}
        options = {key: changes.pop(key) for key in list(changes) if key in self.options}
        for name, value in options.items():
            choices = self.options[name].choices
            if choices is not None and value not in choices:
                raise ValueError(
                    f"`{name}` must be one of {', '.join(map(str, choices))}. "
                    f"Received: `{name}={value!r}`"
                )
        if options:
            changes["options"] = {**self.default.options, **options}
        return self.default.replace(**changes)


@functools.cache
def names() -> tuple[str, ...]:
    """The recipes in this package's folder: its modules that have a `RECIPE`."""
    modules = [module.name for module in pkgutil.iter_modules(recipes.__path__) if not module.ispkg]
    return tuple(name for name in modules if hasattr(_module(f"recipes.{name}"), "RECIPE"))


def find(name: str) -> Recipe:
    """The recipe of a name: that of a module in `recipes`, or the dotted name of one elsewhere.

    Raises:
        ValueError: If there is no such recipe.
    """
    for module in (f"recipes.{name}", name):
        if _exists(module):
            recipe = getattr(_module(module), "RECIPE", None)
            if isinstance(recipe, Recipe):
                return recipe
    raise ValueError(
        f"`name` must be one of {', '.join(names())}, or name a module that has a RECIPE. "
        f"Received: `name={name!r}`"
    )


def read_config(data: Mapping[str, Any]) -> RunConfig:
    """The config whose `to_dict` is `data`, also if that is of before version 0.2.

    Until then a config told its recipe by the names of data and network.

    Raises:
        ValueError: If it is no config, or no recipe has these names.
    """
    if "recipe" in data or not {"dataset", "network"} <= set(data):
        return RunConfig.from_dict(data)
    data = dict(data)
    labels = (data.pop("dataset"), data.pop("network"))
    recipe = next((name for name in names() if find(name).labels == labels), None)
    if recipe is None:
        raise ValueError(
            "A config of before version 0.2 must be that of a recipe that is still there. "
            f"Received: `dataset={labels[0]!r}`, `network={labels[1]!r}`"
        )
    options = data.pop("network_options", {})
    return RunConfig.from_dict({**data, "recipe": recipe, "options": options})


def _module(name: str) -> Any:
    return importlib.import_module(name)


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # A part before the last dot is no package.
        return False
