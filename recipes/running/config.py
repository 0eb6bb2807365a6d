"""What one training run is: everything that its result depends on, and nothing else."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import urllib.parse
from collections.abc import Mapping
from typing import Any

from recipes.datasets.label_noise import NOISE_KINDS
from recipes.datasets.split import Split
from recipes.running.flags import cast_fields, field_types, setting

# The longest folder name that common file systems take, less room for suffixes.
_LONGEST_NAME = 200

# Those of keras_sam.sparsity, which imports Keras: settings alone need not wait for that.
PRUNERS = ("random", "magnitude", "snip", "grasp", "synflow")

# A method as text.
_METHOD = re.compile(r"\w+(\((\w+=[-+.\w]+(, *\w+=[-+.\w]+)*)?\))?")

# Strings that read like another value, and are told from it by quotes.
_LITERAL = re.compile(r"[-+.\d].*|inf|nan|None|True|False|")


class _Missing:
    """Stands for an option that a config does not have."""

    def __repr__(self) -> str:
        return "(none)"


_MISSING = _Missing()


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """The settings of one run. Same settings, same device kind: same numbers.

    How a run is carried out (XLA, logs, number of devices) is not here: see `Runtime`.

    Args:
        recipe: What is trained: the name of a recipe, see `recipes.running.recipe.find`.
        width: Scales the network, in the recipe's own unit: a factor on hidden units, filters, a
            dimension. > 0. Defaults to 1.
        options: Settings that the recipe alone has: bools, numbers, strings or `None` by names that
            no other setting has. Defaults to none.
        rho: Radius of the SAM perturbation, >= 0; 0 is the plain optimizer. Defaults to 0.
        normalize: Whether the perturbation is `rho * g / ||g||` or `rho * g`. Defaults to `True`.
        adaptive: Whether the perturbation is ASAM's. Defaults to `False`.
        method: A method of `keras_sam.methods` by its name, with its arguments if they are not the
            defaults: "looksam", "gsam(alpha=0.4)". Defaults to "sam".
        perturb: Which weights are perturbed: "all", "normalization" or "kernels".
            Defaults to "all".
        every: A perturbation at every so many updates, >= 1. Defaults to 1.
        late: Share of the training before the first perturbation, in [0, 1). Defaults to 0.
        ascent_steps: Steps of the ascent, >= 1. Defaults to 1.
        num_batch_splits: Parts of a batch with a perturbation each; `None` is one for all of it.
        sync_perturbation: Whether replicas share one perturbation. Defaults to `False`.
        sparsity: Share of the kernels' weights that is pruned before training, in [0, 1).
        pruner: The score of `keras_sam.sparsity.prune`. Defaults to "random".
        label_noise: Share of the training labels that is wrong, in [0, 1]. Defaults to 0.
        noise_kind: Kind of label noise: "symmetric" or "pair_flip". Defaults to "symmetric".
        label_smoothing: Share of each label that is spread over all classes, in [0, 1).
        validation_split: Share of the training examples to select by, in (0, 1).
        take: Number of examples to train and validate on, `None` for all.
        seed: Fixes initial weights, order of the data, augmentation and masks.
        data_seed: Fixes the splits and the label noise; `None` stands for `seed`.
        epochs: Passes over the training data.
        batch_size: Examples a step, over all replicas together.
        optimizer: "sgd", "adam" or "adamw".
        learning_rate: The highest learning rate, > 0.
        momentum: Of SGD, in [0, 1].
        weight_decay: Coupled (`wd * w` joins the gradient before the momentum) for "sgd",
            decoupled for "adamw"; "adam" takes none. 0 switches it off.
        schedule: "constant", "step" (times `decay` at each of the `milestones`) or "cosine" to 0.
        milestones: Where "step" decays, as fractions of all steps, rising, each in (0, 1).
        decay: The factor of "step", in (0, 1].
        warmup_steps: Steps over which the learning rate first rises linearly from 0.
        patience: If not `None`, stop once validation accuracy has not risen for so many epochs.
        mixed_precision: "float16" or "bfloat16" for the computation, the weights staying float32;
            `None` for float32 throughout.

    Raises:
        TypeError: If a setting is of the wrong type.
        ValueError: If a setting is out of range.

    Example:

    >>> default = RunConfig(recipe="digits")
    >>> config = RunConfig(recipe="digits", width=4, rho=0.05, seed=1)
    >>> config.name(default)
    'width=4,rho=0.05,seed=1'
    >>> RunConfig.from_dict(config.to_dict()) == config
    True
    """

    recipe: str = setting(dataclasses.MISSING, "what is trained")
    width: float = setting(1.0, "size of the network, in the recipe's own unit")
    options: Mapping[str, Any] = setting({}, "settings of the recipe's own")
    rho: float = setting(0.0, "radius of the SAM perturbation; 0 is the plain optimizer")
    normalize: bool = setting(True, "perturb by rho * g / ||g||, not rho * g")
    adaptive: bool = setting(False, "adaptive SAM (ASAM)")
    method: str = setting("sam", "method of the SAM family, such as gsam(alpha=0.4)")
    perturb: str = setting("all", "weights that are perturbed", ("all", "normalization", "kernels"))
    every: int = setting(1, "a perturbation at every so many updates")
    late: float = setting(0.0, "share of the training before the first perturbation")
    ascent_steps: int = setting(1, "steps of the ascent")
    num_batch_splits: int | None = setting(None, "parts of a batch with a perturbation each")
    sync_perturbation: bool = setting(False, "one perturbation for all replicas")
    sparsity: float = setting(0.0, "share of the kernels' weights pruned before training")
    pruner: str = setting("random", "score by which weights are pruned", PRUNERS)
    label_noise: float = setting(0.0, "share of wrong training labels")
    noise_kind: str = setting("symmetric", "kind of label noise", NOISE_KINDS)
    label_smoothing: float = setting(0.0, "share of each label spread over all classes")
    validation_split: float = setting(0.1, "share of the training examples to select by")
    take: int | None = setting(None, "number of examples to train and validate on")
    seed: int = setting(0, "fixes initial weights, order, augmentation and masks")
    data_seed: int | None = setting(None, "fixes splits and label noise (none: as seed)")
    epochs: int = setting(100, "passes over the training data")
    batch_size: int = setting(128, "examples a step, over all replicas")
    optimizer: str = setting("sgd", "the optimizer", ("sgd", "adam", "adamw"))
    learning_rate: float = setting(0.1, "highest learning rate")
    momentum: float = setting(0.9, "momentum of SGD")
    weight_decay: float = setting(1e-4, "weight decay; 0 switches it off")
    schedule: str = setting("step", "of the learning rate", ("constant", "step", "cosine"))
    milestones: tuple[float, ...] = setting((0.5, 0.75), "where step decays, as fractions of all")
    decay: float = setting(0.1, "factor of the step schedule")
    warmup_steps: int = setting(0, "steps of linear warm-up")
    patience: int | None = setting(None, "stop after so many epochs without a better validation")
    mixed_precision: str | None = setting(None, "dtype of the computation", ("float16", "bfloat16"))

    def __post_init__(self) -> None:
        cast_fields(self)
        for name in ("width", "learning_rate", "decay"):
            self._require(name, getattr(self, name) > 0, "> 0")
        for name in ("rho", "weight_decay", "seed", "warmup_steps"):
            self._require(name, getattr(self, name) >= 0, ">= 0")
        for name in ("seed", "data_seed"):
            value = getattr(self, name)
            self._require(name, value is None or value < 2**32, "below 2^32")
        for name in ("every", "ascent_steps"):
            self._require(name, getattr(self, name) >= 1, ">= 1")
        for name in ("epochs", "batch_size", "num_batch_splits", "take", "patience"):
            value = getattr(self, name)
            self._require(name, value is None or value >= 1, ">= 1")
        for name in ("label_noise", "momentum"):
            self._require(name, 0 <= getattr(self, name) <= 1, "in [0, 1]")
        self._check_options()
        self._require("data_seed", self.data_seed is None or self.data_seed >= 0, ">= 0")
        self._require("validation_split", 0 < self.validation_split < 1, "in (0, 1)")
        for name in ("late", "label_smoothing", "sparsity"):
            self._require(name, 0 <= getattr(self, name) < 1, "in [0, 1)")
        method = _METHOD.fullmatch(self.method)
        self._require("method", method is not None, "a name, or name(argument=number, ...)")
        self._require("decay", self.decay <= 1, "in (0, 1]")
        rising = all(0 < fraction < 1 for fraction in self.milestones)
        rising = rising and list(self.milestones) == sorted(set(self.milestones))
        self._require("milestones", rising, "rising fractions in (0, 1)")
        for field in dataclasses.fields(self):
            choices, value = field.metadata["choices"], getattr(self, field.name)
            if choices is not None and value is not None:
                self._require(field.name, value in choices, f"one of {', '.join(choices)}")
        if self.optimizer == "adam" and self.weight_decay:
            raise ValueError(
                "`weight_decay` must be 0 with `optimizer='adam'`; 'adamw' has it. "
                f"Received: `weight_decay={self.weight_decay}`"
            )

    def name(self, default: RunConfig) -> str:
        """A folder name that holds every setting in which this run differs from `default`.

        Two different runs of one recipe never share a name.
        """
        changed = [f"{key}={_text(value)}" for key, (value, _) in self.differences(default).items()]
        name = ",".join(changed) or "default"
        if len(name) > _LONGEST_NAME:
            digest = hashlib.sha256(name.encode()).hexdigest()[:16]
            name = f"{name[: _LONGEST_NAME - 17]}~{digest}"
        return name

    def differences(self, other: RunConfig) -> dict[str, tuple[Any, Any]]:
        """From the name of each setting that is not the same to both values: this one's, other's.

        The recipe's own options are named like settings.
        """
        mine, others = _flat(self), _flat(other)
        pairs = {
            key: (mine.get(key, _MISSING), others.get(key, _MISSING))
            for key in [*mine, *(key for key in others if key not in mine)]
        }
        return {key: pair for key, pair in pairs.items() if not _same(*pair)}

    @property
    def split(self) -> Split:
        """How the run's data are split, batched and made noisy."""
        return Split(
            batch_size=self.batch_size,
            validation_split=self.validation_split,
            seed=self.seed,
            data_seed=self.data_seed,
            label_noise=self.label_noise,
            noise_kind=self.noise_kind,
            take=self.take,
        )

    def replace(self, **changes: Any) -> RunConfig:
        """The same run with some settings changed.

        Raises:
            ValueError: If a name is no setting, or a value is out of range.
        """
        _check_known(changes)
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain data, ready for JSON."""
        data = dataclasses.asdict(self)
        data["milestones"] = list(self.milestones)
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RunConfig:
        """The config whose `to_dict` is `data`. Settings that are missing take their default.

        Raises:
            ValueError: If a key is no setting.
        """
        _check_known(data)
        return cls(**data)

    def _check_options(self) -> None:
        for name, value in self.options.items():
            if name in field_types(RunConfig):
                raise ValueError(
                    "`options` must not have the names of other settings. "
                    f"Received: `options={dict(self.options)}`"
                )
            if not isinstance(value, bool | int | float | str | None):
                raise TypeError(
                    "`options` must be bools, numbers, strings or None. "
                    f"Received: `{name}={value!r}`"
                )

    def _require(self, name: str, holds: bool, allowed: str) -> None:
        if not holds:
            raise ValueError(
                f"`{name}` must be {allowed}. Received: `{name}={getattr(self, name)!r}`"
            )


def _check_known(names: Mapping[str, Any]) -> None:
    known = field_types(RunConfig)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(
            f"A run's settings must be among {', '.join(known)}. Received: `{unknown[0]}`"
        )


def _flat(config: RunConfig) -> dict[str, Any]:
    flat = {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(config)
        if field.name != "options"
    }
    return {**flat, **config.options}


def _same(first: Any, second: Any) -> bool:
    return first == second and isinstance(first, bool) == isinstance(second, bool)


def _text(value: Any) -> str:
    """A value in a name: nothing that a file system minds, and no other value's text."""
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    if isinstance(value, tuple | list):
        return "+".join(_text(item) for item in value)
    text = urllib.parse.quote(str(value), safe=" ")
    return f"'{text}'" if isinstance(value, str) and _LITERAL.fullmatch(text) else text
