"""Trains one network at many radii and seeds as one population: the only place that does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray
# Inputs and targets.
Examples = tuple[Array, Array]


class Member(NamedTuple):
    """One network to train."""

    seed: int
    rho: float


def train(
    build: Callable[[int], Any],
    members: Sequence[Member],
    data: Callable[[int], Examples],
    optimizer: Callable[[], Any],
    loss: Any,
    *,
    batch_size: int,
    epochs: int,
    normalize: bool = True,
    shuffle: bool = True,
    held_out: Mapping[str, Callable[[int], Examples]] | None = None,
    together: bool = True,
) -> Iterator[tuple[Member, Any, dict[str, list[float]]]]:
    """Trains members as one `keras_sam.Population`, whose step is that of SAMModel.

    Members of one seed start from the same weights and see the same batches, which are the same on
    every backend: an epoch is a permutation of `numpy.random.RandomState(seed)`.

    Args:
        build: From a seed to a built `keras.Model`; all of one architecture.
        members: What to train. A rho of 0 is the plain optimizer.
        data: From a seed to inputs and targets, NumPy arrays of one shape for all seeds.
        optimizer: A new Keras optimizer.
        loss: From targets and outputs to the loss of each example, or a `keras.losses.Loss`.
        batch_size: Examples a step.
        epochs: Passes over the data.
        normalize: Whether SAM is the normalised one. Defaults to `True`.
        shuffle: Whether an epoch has an order of its own, which the seed fixes. Defaults to `True`.
        held_out: By name, from a seed to examples whose loss is measured after each epoch. Defaults
            to none.
        together: Whether all are trained at once, and not one by one, which yields the first sooner
            and takes less memory. Defaults to `True`.

    Yields:
        Each member with its trained network and the curves over epochs: `loss`, of an epoch's
        batches, and those of `held_out`.
    """
    from keras_sam import Member as Trained
    from keras_sam import Population

    trained = [Trained(member.seed, member.rho) for member in members]
    groups = [list(range(len(members)))] if together else [[i] for i in range(len(members))]
    examples = _Pool(data, members)
    others = {name: _Pool(of_seed, members) for name, of_seed in (held_out or {}).items()}
    population: Any = None
    for group in groups:
        some = [trained[i] for i in group]
        if population is None:
            population = Population(build, some, normalize=normalize)
            population.compile(optimizer, loss)
        else:
            population.restart(some)
        orders = {member.seed: np.random.RandomState(member.seed) for member in some}
        curves: dict[str, list[Array]] = {}
        for _ in range(epochs):
            order = {
                seed: rng.permutation(examples.count) if shuffle else np.arange(examples.count)
                for seed, rng in orders.items()
            }
            rows = np.stack([examples.first[m.seed] + order[m.seed] for m in some])
            logs = population.train_epoch(examples.x, examples.y, rows, batch_size=batch_size)
            curves.setdefault("loss", []).append(logs["loss"])
            for name, pool in others.items():
                rows = np.stack([pool.first[m.seed] + np.arange(pool.count) for m in some])
                measured = population.evaluate(pool.x, pool.y, rows=rows)
                curves.setdefault(name, []).append(measured["loss"])
        for place, i in enumerate(group):
            own = {name: [float(v[place]) for v in values] for name, values in curves.items()}
            yield members[i], population.network(place), own


class _Pool:
    """The examples of all seeds, those of a seed from a row of its own on."""

    def __init__(self, of_seed: Callable[[int], Examples], members: Sequence[Member]) -> None:
        from keras import ops

        parts: list[Examples] = []
        rows: dict[int, int] = {}  # By the data: seeds may share them.
        self.first: dict[int, int] = {}
        for seed in dict.fromkeys(member.seed for member in members):
            part = of_seed(seed)
            if id(part[0]) not in rows:
                rows[id(part[0])] = sum(len(x) for x, _ in parts)
                parts.append(part)
            self.first[seed] = rows[id(part[0])]
        self.count = len(parts[0][0])
        self.x = ops.convert_to_tensor(np.concatenate([x for x, _ in parts]))
        self.y = ops.convert_to_tensor(np.concatenate([y for _, y in parts]))
