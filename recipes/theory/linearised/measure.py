"""Trains centred networks at many alphas and radii, those of an alpha as one population."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from recipes.running.flags import setting
from recipes.theory.linearised.centred import Centred, movement, perceptron, stability, vgg11
from recipes.theory.training import Member, train
from recipes.theory.validation import require

Array = np.ndarray

DATASETS = ("digits", "cifar10")
SCALES = ("fixed", "alpha")
_CLASSES = 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """One run: what its result depends on.

    Args:
        alpha: The scale of the output, > 0.
        rho: Radius of SAM; 0 is SGD.
        scale: "fixed", the radius is rho; "alpha", it is rho / alpha. Where that makes no
            difference it is set to "fixed".
        dataset: "digits", with a perceptron, or "cifar10", with VGG-11.
        width: Factor on the hidden units or channels.
        train_size: Training examples.
        batch_size: Examples a step.
        epochs: The learning rate is divided by 10 at half and three quarters of them.
        learning_rate: At the start; momentum is 0.9.
        normalize: Whether SAM is the normalised one.
        seed: Fixes the initial weights and the order of the examples.

    Raises:
        ValueError: If a setting is out of range.
    """

    alpha: float = setting(1.0, "scales of the output")
    rho: float = setting(0.0, "radii; 0 is SGD")
    scale: str = setting("fixed", "whether the radius is rho, or rho / alpha", SCALES)
    dataset: str = setting("digits", "digits: perceptron; cifar10: VGG-11", DATASETS)
    width: float = setting(1.0, "factor on the hidden units or channels")
    train_size: int = setting(1000, "number of training examples")
    batch_size: int = setting(50, "examples a step")
    epochs: int = setting(20, "epochs")
    learning_rate: float = setting(0.01, "learning rate at the start")
    normalize: bool = setting(True, "perturb by rho * g / ||g||, not rho * g")
    seed: int = setting(0, "fixes initial weights and batches")

    def __post_init__(self) -> None:
        for name in ("alpha", "width", "learning_rate"):
            value = getattr(self, name)
            require(name, value, math.isfinite(value) and value > 0, "finite and > 0")
        for name in ("train_size", "batch_size", "epochs"):
            require(name, getattr(self, name), getattr(self, name) >= 1, ">= 1")
        require("rho", self.rho, math.isfinite(self.rho) and self.rho >= 0, "finite and >= 0")
        require("scale", self.scale, self.scale in SCALES, f"one of {', '.join(SCALES)}")
        require("dataset", self.dataset, self.dataset in DATASETS, f"one of {', '.join(DATASETS)}")
        if self.rho == 0 or self.alpha == 1:
            object.__setattr__(self, "scale", "fixed")

    @property
    def radius(self) -> float:
        """The radius of the perturbation."""
        return self.rho / self.alpha if self.scale == "alpha" else self.rho


def load(dataset: str, train_size: int) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """(inputs, labels) for training and for the test.

    Raises:
        ValueError: If there are fewer training examples.
    """
    if dataset == "digits":
        import sklearn.datasets

        x, y = sklearn.datasets.load_digits(return_X_y=True)
        order = np.random.default_rng(0).permutation(len(x))
        x, y = (x[order] / 16).astype("float32"), y[order]
        train, test = (x[:1400], y[:1400]), (x[1400:], y[1400:])
    else:
        from recipes.datasets.prepared import load_arrays

        train, test = (
            ((x / np.float32(127.5) - 1).astype("float32"), y)
            for x, y in load_arrays("cifar10", download=True)
        )
    available = len(train[0])
    require("train_size", train_size, train_size <= available, f"at most {available}")
    return (train[0][:train_size], train[1][:train_size]), test


def measure(settings: Sequence[Setting]) -> Iterator[tuple[Setting, dict[str, Any]]]:
    """Trains all of one alpha together.

    Yields:
        Each setting with `accuracy`, on the test set; `loss`, mean 1/2 ||alpha h - y||^2 of the
        training examples at the end; `stability` of the hidden ReLUs on test examples; `movement`,
        ||w - w0|| / ||w0||. Of a run that diverged, NaN.
    """

    def shape(setting: Setting) -> tuple[Any, ...]:
        return dataclasses.astuple(dataclasses.replace(setting, rho=0.0, seed=0))

    for _, some in itertools.groupby(sorted(settings, key=shape), key=shape):
        group = list(some)
        by_member: dict[Member, list[Setting]] = {}
        for one in group:
            by_member.setdefault(Member(one.seed, one.radius), []).append(one)
        for member, values in _train(group[0], list(by_member)):
            for one in by_member[member]:
                yield one, values


def _train(shared: Setting, members: Sequence[Member]) -> Iterator[tuple[Member, dict[str, Any]]]:
    import keras
    from keras import ops

    (x, labels), (x_test, labels_test) = load(shared.dataset, shared.train_size)
    y = np.eye(_CLASSES, dtype="float32")[labels] - np.float32(0.1)
    build = perceptron if shared.dataset == "digits" else vgg11
    last: Centred | None = None  # That of the network that is yielded.

    def built(seed: int) -> Any:
        nonlocal last
        last = Centred(lambda: build(x.shape[1:], _CLASSES, shared.width, seed), shared.alpha)
        return last.model

    def optimizer() -> Any:
        steps = shared.epochs * math.ceil(len(x) / shared.batch_size)
        schedule = keras.optimizers.schedules.PiecewiseConstantDecay(
            [max(1, steps // 2), max(2, 3 * steps // 4)],
            [shared.learning_rate, shared.learning_rate / 10, shared.learning_rate / 100],
        )
        return keras.optimizers.SGD(schedule, momentum=0.9)

    def loss(y: Any, z: Any) -> Any:
        return ops.sum(ops.square(z - y), axis=-1) / (2 * shared.alpha**2)

    runs = train(
        built,
        members,
        lambda _: (x, y),
        optimizer,
        loss,
        batch_size=shared.batch_size,
        epochs=shared.epochs,
        normalize=shared.normalize,
        together=shared.dataset == "digits",
    )
    for member, model, _ in runs:
        assert last is not None
        outputs = outputs_of(model, x)
        if not np.isfinite(outputs).all():
            names = ("accuracy", "loss", "stability", "movement")
            yield member, dict.fromkeys(names, math.nan)
            continue
        predicted = outputs_of(model, x_test).argmax(axis=1)
        yield (
            member,
            {
                "accuracy": float(np.mean(predicted == labels_test)),
                "loss": float(np.mean(np.sum((outputs - y) ** 2, axis=1)) / 2),
                "stability": stability(last.network, last.initial, x_test),
                "movement": movement(last.network, last.initial),
            },
        )


def outputs_of(model: Any, x: Array, batch_size: int = 500) -> Array:
    """What a `keras.Model` puts out, in parts that fit into memory."""
    from keras import ops

    return np.concatenate(
        [
            ops.convert_to_numpy(model(x[first : first + batch_size], training=False))
            for first in range(0, len(x), batch_size)
        ]
    )
