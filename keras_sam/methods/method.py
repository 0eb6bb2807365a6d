"""A method of the SAM family: one rule of each kind."""

import dataclasses
import numbers
from collections.abc import Sequence
from typing import Any

import keras

from keras_sam.methods.rules import Descent, Direction, Radius, Rule, RuleState

State = tuple[RuleState, RuleState, RuleState]
KINDS: dict[str, type[Rule]] = {"radius": Radius, "direction": Direction, "descent": Descent}


@keras.saving.register_keras_serializable(package="keras_sam")
@dataclasses.dataclass(frozen=True)
class Method:
    """How far to go, where to, and what to make of what is found there.

        rho = radius(rho, g)             g  = dL/dw at w
        e   = perturbation(direction(g), rho)
        h   = descent(g, g')             g' = dL/dw at w + e;  the optimizer gets h

    Each is a rule with a state of its own, often none. The functions of `keras_sam.methods`, such
    as `gsam(alpha)`, return one with a single rule that is not SAM's; `|` joins two:

    >>> from keras_sam.methods import friendly, gsam
    >>> friendly(decay=0.8) | gsam(0.4)
    Method(radius=Radius(), direction=Friendly(sigma=1.0, decay=0.8), descent=GSAM(alpha=0.4))

    Args:
        radius: A `Radius`. Defaults to rho as it is.
        direction: A `Direction`. Defaults to the gradient.
        descent: A `Descent`. Defaults to the gradient at `w + e`.

    Raises:
        TypeError: If a rule is of another kind.
    """

    radius: Radius = dataclasses.field(default_factory=Radius)
    direction: Direction = dataclasses.field(default_factory=Direction)
    descent: Descent = dataclasses.field(default_factory=Descent)

    def __post_init__(self) -> None:
        for name, kind in KINDS.items():
            if not isinstance(getattr(self, name), kind):
                raise TypeError(
                    f"`{name}` must be a keras_sam.methods.{kind.__name__}. "
                    f"Received: `{name}={getattr(self, name)!r}`"
                )

    def __or__(self, other: "Method") -> "Method":
        rules = {}
        for name, kind in KINDS.items():
            ours, theirs = getattr(self, name), getattr(other, name)
            if kind() not in (ours, theirs) and ours != theirs:
                raise ValueError(
                    f"Two methods with a {name} each cannot be joined: a step has one {name}. "
                    f"Received: `{ours}` and `{theirs}`"
                )
            rules[name] = ours if theirs == kind() else theirs
        return Method(**rules)

    @property
    def rules(self) -> tuple[Radius, Direction, Descent]:
        return self.radius, self.direction, self.descent

    def state(self, weights: Sequence[Any]) -> State:
        """The states of the three rules before the first step: three lists of zeros.

        Args:
            weights: The weights, tensors or variables.
        """
        return tuple(rule.state(weights) for rule in self.rules)  # type: ignore[return-value]

    def get_config(self) -> dict[str, Any]:
        return {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in KINDS}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Method":
        return cls(**{k: keras.saving.deserialize_keras_object(v) for k, v in config.items()})


@dataclasses.dataclass(frozen=True)
class Setting:
    """What a method is asked to work in; `check` refuses what makes no sense.

    Attributes:
        method: The method.
        rho: A number or a `LearningRateSchedule`.
        ascent_steps: As for SAMModel, like the following.
        num_batch_splits: The number of splits, or `None`.
        sync_perturbation: Whether replicas share a perturbation.
        log_ascent: Whether the ascent is logged.
    """

    method: Method
    rho: Any
    ascent_steps: int = 1
    num_batch_splits: int | None = None
    sync_perturbation: bool = False
    log_ascent: bool = False

    @property
    def switches(self) -> bool:
        """Whether the perturbation may come and go from step to step."""
        return self.method.radius.switches or not isinstance(self.rho, numbers.Real)

    def check(self) -> None:
        """Raises a ValueError that says why if something does not go together."""
        if self.ascent_steps > 1 and self.sync_perturbation and self.switches:
            raise ValueError(
                "`ascent_steps` must be 1 where `sync_perturbation=True` and rho may be 0 at some "
                "steps: the gradients of the further ascent steps would have to be averaged over "
                "replicas inside a branch of the program, where no replica can wait for another. "
                f"Received: `ascent_steps={self.ascent_steps}`, `rho={self.rho!r}`, "
                f"`method={self.method!r}`"
            )
        for rule in self.method.rules:
            rule.check(self)
