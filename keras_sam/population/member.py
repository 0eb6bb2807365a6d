"""What one member of a population has for itself."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_sam.arguments import valid_method, valid_rho
from keras_sam.methods import Method
from keras_sam.validation import integer, nonnegative, positive


@dataclasses.dataclass(frozen=True, eq=False)
class Member:
    """A member of a `Population`: what it does not share with the others.

    Args:
        seed: An int >= 0, which `build(seed)` makes the member's network from, and which fixes the
            order of its batches in `fit`.
        rho: The radius, a float >= 0; 0 is the plain optimizer. Defaults to 0.0.
        learning_rate: The member's own, > 0, in place of the optimizer's; where that has a
            schedule, the learning rate at its start. Defaults to `None`, the optimizer's.
        weight_decay: The member's own, >= 0, in place of the optimizer's. Defaults to `None`, the
            optimizer's.
        method: The member's own method of `keras_sam.methods`. Defaults to `None`, the
            population's.
        masks: Pruning masks as for SAMModel. Defaults to `None`, none.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is out of range.

    Example:

    >>> Member(0, 0.05)
    Member(seed=0, rho=0.05)
    """

    seed: int
    rho: float = 0.0
    _: dataclasses.KW_ONLY
    learning_rate: float | None = None
    weight_decay: float | None = None
    method: Method | str | None = None
    masks: Mapping[str, Any] | Sequence[Any] | None = None

    def __post_init__(self) -> None:
        checked = {"seed": integer("seed", self.seed, 0), "rho": valid_rho(self.rho)}
        if callable(checked["rho"]):
            raise TypeError(
                f"`rho` of a member must be a number, not a schedule. Received: `rho={self.rho!r}`"
            )
        if self.learning_rate is not None:
            checked["learning_rate"] = positive("learning_rate", self.learning_rate)
        if self.weight_decay is not None:
            checked["weight_decay"] = nonnegative("weight_decay", self.weight_decay)
        if self.method is not None:
            checked["method"] = valid_method(self.method)
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def is_same(self, other: "Member") -> bool:
        """Whether two members are equal in everything."""
        names = [field.name for field in dataclasses.fields(self) if field.name != "masks"]
        if any(getattr(self, name) != getattr(other, name) for name in names):
            return False
        return _masks(self) == _masks(other)

    def __repr__(self) -> str:
        own = [f"seed={self.seed}", f"rho={self.rho:g}"]
        for name in ("learning_rate", "weight_decay", "method"):
            if getattr(self, name) is not None:
                own.append(f"{name}={getattr(self, name)}")
        return f"Member({', '.join(own)}{', masks=...' if self.masks is not None else ''})"


def _masks(member: Member) -> Any:
    """The masks in a form that can be compared."""
    if member.masks is None:
        return None
    named = member.masks
    pairs = named.items() if isinstance(named, Mapping) else enumerate(named)
    return {k: None if m is None else np.asarray(m).astype(bool).tobytes() for k, m in pairs}
