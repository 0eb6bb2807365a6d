"""How members begin: what `build` makes for their seeds, and their masks."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_sam.masks import check_masks
from keras_sam.population.architecture import check_same, signature, state
from keras_sam.population.member import Member

Start = tuple[list[np.ndarray], list[np.ndarray]]


class Starts:
    """Weights, state and masks of members before the first step.

    Args:
        build: From a seed to a network.
        members: The members.
        known: The signature that the networks must have, or `None`.

    Raises:
        TypeError: If `build` returns no model.
        ValueError: If the networks are of several architectures, or masks do not fit.
    """

    def __init__(
        self, build: Callable[[int], keras.Model], members: Sequence[Member], known: Any
    ) -> None:
        self.signature = known
        self._members = members
        self._of_seed: dict[int, Start] = {}
        self._masks: dict[int, list[np.ndarray | None]] = {}
        for seed in dict.fromkeys(member.seed for member in members):
            network = new_network(build, seed)
            own = signature(network)
            self.signature = own if self.signature is None else self.signature
            check_same(self.signature, own, seed)
            self._of_seed[seed] = _numpy(network.trainable_variables), _numpy(state(network))
            for place, member in enumerate(members):
                if member.seed == seed and member.masks is not None:
                    self._masks[place] = _positions(network, member.masks)

    def __getitem__(self, place: int) -> Start:
        return self._of_seed[self._members[place].seed]

    @property
    def masked(self) -> tuple[bool, ...]:
        """For each weight whether any member has a mask of it."""
        count = len(self[0][0])
        return tuple(any(m[i] is not None for m in self._masks.values()) for i in range(count))

    def mask(self, place: int, i: int) -> np.ndarray:
        """A member's mask of its i-th weight; all is kept where it has none."""
        mask = self._masks[place][i] if place in self._masks else None
        return np.ones(self[place][0][i].shape, bool) if mask is None else mask


def new_network(build: Callable[[int], keras.Model], seed: int) -> keras.Model:
    """What `build` makes for a seed, if it can be a member."""
    network = build(seed)
    if not isinstance(network, keras.Model):
        raise TypeError(f"`build` must return a keras.Model. Received: {network!r}")
    if not network.built:
        raise ValueError(
            "`build` must return a network whose weights exist: call it on a batch first. "
            f"Received: {network.name!r}, which is not built"
        )
    constrained = [v.path for v in network.trainable_variables if v.constraint is not None]
    if constrained:
        raise ValueError(
            "`build` must make networks without constraints of weights, which would look across "
            f"members. Received: constraints of {constrained}"
        )
    return network


def _positions(network: keras.Model, masks: Any) -> list[np.ndarray | None]:
    """Masks in the order of the trainable weights."""
    weights = network.trainable_variables
    named: Mapping[str, np.ndarray] = check_masks(masks, weights, weights)
    return [named.get(v.path) for v in weights]


def _numpy(variables: Sequence[keras.Variable]) -> list[np.ndarray]:
    return [np.array(ops.convert_to_numpy(v)) for v in variables]
