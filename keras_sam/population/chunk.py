"""Members that are computed together, and what belongs to them while others are."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops, tree

from keras_sam.backend import read
from keras_sam.population.member import Member
from keras_sam.population.stack import Stack


class Chunk:
    """Some of a population's members, which take turns on a stack with other chunks of their size.

    Args:
        stack: The stack. If it holds more members than these, the last one fills it up.
        places: Their places in the population.
        members: The members, with those that fill it up.
        weights: Their weights, each stacked.
        state: Their state, each stacked.

    Attributes:
        stack: The stack.
        places: Their places in the population.
        filled: The same, with those that fill up the stack.
    """

    def __init__(
        self,
        stack: Stack,
        places: Sequence[int],
        members: Sequence[Member],
        weights: Sequence[Any],
        state: Sequence[Any],
    ) -> None:
        self.stack, self.places = stack, list(places)
        self.filled = filled(places, stack.size)
        rho = np.array([member.rho for member in members], "float32")
        metrics = [np.zeros(v.shape) for v in stack.metrics]
        self._values: list[Any] | None = [*weights, *state, *metrics, rho]
        if stack.optimizer is None:
            return
        rate = float(ops.convert_to_numpy(stack.optimizer.learning_rate))
        decay = stack.base_decay
        own = {
            "factor": [(m.learning_rate or rate) / rate if rate else 1.0 for m in members],
            "decay": [decay if m.weight_decay is None else m.weight_decay for m in members],
        }
        self._values += [np.array(own[name]) for name in stack.rates]
        self._values += stack.start

    def load(self) -> Stack:
        """Gives the stack's variables the values of these members, and returns it."""
        if self.stack.holds is not self:
            if self.stack.holds is not None:
                self.stack.holds._values = [ops.copy(read(v)) for v in self.stack.variables]
            assert self._values is not None
            for variable, value in zip(self.stack.variables, self._values, strict=True):
                variable.assign(value)
            self.stack.holds, self._values = self, None
        return self.stack

    def values(self) -> list[np.ndarray]:
        """The values of all that belongs to the members."""
        present = self._values
        if present is None:
            present = [read(v) for v in self.stack.variables]
        return [np.array(self.own(ops.convert_to_numpy(value))) for value in present]

    def own(self, stacked: Any) -> Any:
        """Of a nest of stacks the members' part, without what fills it up."""
        count = len(self.places)
        return tree.map_structure(lambda t: t[:count] if len(t.shape) else t, stacked)

    def assign(self, values: Sequence[np.ndarray]) -> None:
        """Takes on what `values` returned."""
        values = [v[filled(range(len(v)), self.stack.size)] if np.ndim(v) else v for v in values]
        if self.stack.holds is self:
            for variable, value in zip(self.stack.variables, values, strict=True):
                variable.assign(value)
        else:
            self._values = values


def filled(places: Sequence[int], size: int) -> list[int]:
    """So many places: these, and the last one again."""
    return [*places, *[places[-1]] * (size - len(places))]
