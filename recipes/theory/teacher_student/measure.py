"""Trains students of every width on a teacher's outputs, as populations."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from recipes.running.flags import setting
from recipes.theory.training import Member, train
from recipes.theory.validation import require

Array = np.ndarray

INPUTS, _TEACHER, _BATCH = 100, 10, 100
_VALIDATION, _TEST = 500, 2000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """One run: what its result depends on.

    Args:
        width: m, the student's neurons.
        rho: Radius of normalised SAM; 0 is SGD.
        label_noise_std: Standard deviation of the noise on training and validation targets, whose
            own is 1.
        examples: Training examples.
        learning_rate: At the start.
        epochs: Of batches of 100.
        seed: Fixes teacher, data, initial weights and the order of the examples.

    Raises:
        ValueError: If a setting is out of range.
    """

    width: int = setting(100, "neurons of the student")
    rho: float = setting(0.0, "radii; 0 is SGD")
    label_noise_std: float = setting(0.0, "standard deviation of noise on the targets")
    examples: int = setting(1000, "number of training examples")
    learning_rate: float = setting(0.005, "learning rate at the start")
    epochs: int = setting(50, "epochs of batches of 100")
    seed: int = setting(0, "fixes teacher, data, initial weights and batches")

    def __post_init__(self) -> None:
        for name in ("width", "examples", "epochs"):
            require(name, getattr(self, name), getattr(self, name) >= 1, ">= 1")
        for name in ("rho", "label_noise_std"):
            value = getattr(self, name)
            require(name, value, np.isfinite(value) and value >= 0, "finite and >= 0")
        eta = self.learning_rate
        require("learning_rate", eta, np.isfinite(eta) and eta > 0, "finite and > 0")

    @property
    def parameters(self) -> int:
        """102 m + 1."""
        return (INPUTS + 2) * self.width + 1


class Data(NamedTuple):
    """Inputs and targets of the three sets."""

    train: tuple[Array, Array]
    validation: tuple[Array, Array]
    test: tuple[Array, Array]


class Teacher(NamedTuple):
    """A two-layer ReLU network whose output has mean 0 and variance 1 over normal inputs."""

    first: Array
    second: Array
    mean: float
    deviation: float

    @classmethod
    def drawn(cls, seed: int) -> Teacher:
        """Normal weights; mean and deviation in closed form.

        For unit vectors u, v at an angle t, `E relu(u x) = 1 / sqrt(2 pi)` and `E relu(u x)
        relu(v x) = (sin t + (pi - t) cos t) / (2 pi)`.
        """
        rng = np.random.default_rng([seed, 0])
        first, second = rng.normal(size=(INPUTS, _TEACHER)), rng.normal(size=_TEACHER)
        lengths = np.linalg.norm(first, axis=0)
        scaled = second * lengths
        cosine = np.clip(first.T @ first / np.outer(lengths, lengths), -1, 1)
        angle = np.arccos(cosine)
        products = (np.sin(angle) + (np.pi - angle) * cosine) / (2 * np.pi)
        mean = scaled.sum() / np.sqrt(2 * np.pi)
        variance = scaled @ products @ scaled - mean**2
        return cls(first, second, float(mean), float(np.sqrt(variance)))

    def __call__(self, x: Array) -> Array:
        return (np.maximum(x @ self.first, 0) @ self.second - self.mean) / self.deviation


@cache
def data(seed: int, examples: int, label_noise_std: float) -> Data:
    """Draws the data of a seed: x normal; test targets have no noise."""
    rng = np.random.default_rng([seed, 1])
    teacher = Teacher.drawn(seed)

    def drawn(count: int, noise: float) -> tuple[Array, Array]:
        x = rng.normal(size=(count, INPUTS)).astype("float32")
        y = teacher(x.astype(float)) + noise * rng.normal(size=count)
        return x, y.astype("float32")[:, None]

    return Data(
        drawn(examples, label_noise_std), drawn(_VALIDATION, label_noise_std), drawn(_TEST, 0.0)
    )


def network(width: int, seed: int) -> Any:
    """The student, LeCun normal, as a `keras.Model`."""
    import keras

    def kernel(number: int) -> Any:
        return keras.initializers.LecunNormal(seed=1000 * seed + number)

    inputs = keras.Input((INPUTS,))
    hidden = keras.layers.Dense(width, "relu", kernel_initializer=kernel(0))(inputs)
    return keras.Model(inputs, keras.layers.Dense(1, kernel_initializer=kernel(1))(hidden))


def measure(settings: Sequence[Setting]) -> Iterator[tuple[Setting, dict[str, Any]]]:
    """Trains all of one width together.

    Yields:
        Each setting with `train`, `validation`, `test`: mean squared errors after each epoch, the
        first during it; `last`, the test error after the last epoch, and `selected`, after that
        with the least validation error.
    """

    def shape(setting: Setting) -> tuple[Any, ...]:
        return dataclasses.astuple(dataclasses.replace(setting, rho=0.0, seed=0))

    for _, some in itertools.groupby(sorted(settings, key=shape), key=shape):
        group = list(some)
        by_member = {Member(setting.seed, setting.rho): setting for setting in group}
        for member, curves in _train(group[0], list(by_member)):
            validation, test = curves["validation"], curves["test"]
            finite = np.isfinite(validation).all()
            yield (
                by_member[member],
                {
                    "train": curves["loss"],
                    "validation": validation,
                    "test": test,
                    "train_loss": curves["loss"][-1],
                    "last": test[-1],
                    "selected": test[int(np.argmin(validation))] if finite else np.nan,
                },
            )


def _train(
    shared: Setting, members: Sequence[Member]
) -> Iterator[tuple[Member, dict[str, list[float]]]]:
    import keras
    from keras import ops

    def of(seed: int) -> Data:
        return data(seed, shared.examples, shared.label_noise_std)

    def optimizer() -> Any:
        steps = shared.epochs * -(-shared.examples // _BATCH)
        schedule = keras.optimizers.schedules.PiecewiseConstantDecay(
            [max(1, steps // 2), max(2, 3 * steps // 4)],
            [shared.learning_rate, shared.learning_rate / 10, shared.learning_rate / 100],
        )
        return keras.optimizers.SGD(schedule, momentum=0.9)

    runs = train(
        lambda seed: network(shared.width, seed),
        members,
        lambda seed: of(seed).train,
        optimizer,
        lambda y, z: ops.mean(ops.square(z - y), axis=-1),
        batch_size=_BATCH,
        epochs=shared.epochs,
        held_out={
            "validation": lambda seed: of(seed).validation,
            "test": lambda seed: of(seed).test,
        },
    )
    for member, _, curves in runs:
        yield member, curves
