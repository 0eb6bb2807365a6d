"""The three kinds of rule that a method is made of; the bases, as they stand, are those of SAM.

A rule is a frozen dataclass in a file of its own, a pure function of tensors: it may keep a list of
tensors from step to step, its state, which it is handed and hands back. All states start as zeros.
`g` and its like are lists that run parallel to the weights; `None` is a weight that the loss does
not use.

    class Radius:     __call__(rho, g, state) -> rho, state            how far; 0: not at all
    class Direction:  __call__(g, state) -> d, state                   where to
    class Descent:    perturbed(g, g_perturbed, state) -> h, state     what the optimizer gets
                      plain(g, state) -> h, state                      the same, where rho is 0

To add one, copy a file of this folder and name it in `__init__.py`.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
from keras import ops

Tensor = Any
Gradients = list[Tensor | None]
RuleState = list[Tensor]


class Rule:
    """What all rules share: a state that may be empty, a check, a config."""

    def state(self, weights: Sequence[Any]) -> RuleState:
        """The state before the first step, zeros: tensors of the shapes and dtypes of it.

        Args:
            weights: The weights, tensors or variables.
        """
        return []

    def check(self, setting: Any) -> None:
        """Raises a ValueError that says why if the rule makes no sense in a `Setting`."""

    def get_config(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Rule":
        return cls(**config)


@keras.saving.register_keras_serializable(package="keras_sam")
@dataclasses.dataclass(frozen=True)
class Radius(Rule):
    """How far to go at this step: SAM's `rho` itself.

    Attributes:
        switches: Whether the rule may return 0, where a step is one pass.
    """

    switches: ClassVar[bool] = False

    def __call__(self, rho: Any, g: Gradients, state: RuleState) -> tuple[Any, RuleState]:
        """The radius of this step.

        Args:
            rho: The radius that the user asks for: a number, or a scalar tensor.
            g: The gradient, without loss scale.
            state: The rule's state.
        """
        return rho, state


@keras.saving.register_keras_serializable(package="keras_sam")
@dataclasses.dataclass(frozen=True)
class Direction(Rule):
    """Where to go: SAM's is along the gradient.

    Attributes:
        needs_gradient: Whether the direction is made of this step's gradient. If not, the step is
            one pass, at `w + e`, and `after` tells the rule what came out.
    """

    needs_gradient: ClassVar[bool] = True

    def __call__(self, g: Gradients, state: RuleState) -> tuple[Gradients, RuleState]:
        """The direction, of any length; `None` where `g` is.

        Args:
            g: The gradient, without loss scale. An empty list if the rule needs none.
            state: The rule's state.
        """
        return g, state

    def after(self, g: Gradients, state: RuleState) -> RuleState:
        """The new state, from the gradient at `w + e`; for rules that need none before."""
        return state


@keras.saving.register_keras_serializable(package="keras_sam")
@dataclasses.dataclass(frozen=True)
class Descent(Rule):
    """What the optimizer gets: SAM's is the gradient at `w + e`.

    A rule of its own overrides both functions. They must be homogeneous of degree 1 in the
    gradients, which arrive with the loss scale on them.

    Attributes:
        mixes: Whether the rule is more than the gradient of the last pass. If so, it is asked; with
            `sync_perturbation` it is given gradients that are averaged over replicas, since a
            projection of each replica's own ones would not be that of the whole batch.
    """

    mixes: ClassVar[bool] = False

    def perturbed(
        self, g: Gradients, g_perturbed: Gradients, state: RuleState
    ) -> tuple[Gradients, RuleState]:
        """What the optimizer gets at a step with a perturbation.

        Args:
            g: The gradient at `w`.
            g_perturbed: The gradient at `w + e`.
            state: The rule's state.
        """
        return g_perturbed, state

    def plain(self, g: Gradients, state: RuleState) -> tuple[Gradients, RuleState]:
        """What the optimizer gets at a step without a perturbation, in one pass."""
        return g, state


def zeros_like(weights: Sequence[Any]) -> RuleState:
    """Zeros in the shapes and dtypes of tensors or variables."""
    return [ops.zeros(w.shape, keras.backend.standardize_dtype(w.dtype)) for w in weights]
