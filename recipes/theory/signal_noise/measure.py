"""Trains two-layer networks on signal and noise, many at once."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from recipes.running.flags import setting
from recipes.theory.signal_noise.two_layer import Filters, Task, draw, stack
from recipes.theory.validation import require

Array = np.ndarray

# Networks that are trained as one program; new patches of noise for the test error.
_AT_ONCE, _DRAWS = 120, 10_000
# Networks that are done leave the program every so many steps.
_STEPS = 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """One run: what its result depends on.

    Args:
        dimension: d of the noise, >= 2.
        signal: ||mu||, > 0.
        width: m, filters for each class.
        rho: Radius of normalised SAM at width 10; 0 is SGD.
        rho_power: The radius is `rho (m / 10)^rho_power`; for SGD it is set to 0.
        learning_rate: The step size at width 10; it is `learning_rate m / 10`.
        epochs: Steps, each on all examples.
        until_loss: Training loss at which a second training ends, > 0.
        until_learning_rate: Its step size at width 10; with a small one SAM takes too long.
        max_epochs: Steps after which it ends at the latest.
        examples: n.
        label_noise: Probability that a label is flipped.
        seed: Fixes data and initial filters; they are the same for all signals and radii.

    Raises:
        ValueError: If a setting is out of range.
    """

    dimension: int = setting(1000, "dimensions of the noise")
    signal: float = setting(2.0, "lengths of the signal mu")
    width: int = setting(10, "filters for each class, m")
    rho: float = setting(0.0, "radii of normalised SAM at width 10; 0 is SGD")
    rho_power: float = setting(0.0, "the radius is rho (m / 10)^power")
    learning_rate: float = setting(0.01, "step size at width 10; it grows with m")
    epochs: int = setting(100, "steps of the first training")
    until_loss: float = setting(0.1, "training loss at which the second training ends")
    until_learning_rate: float = setting(0.1, "step size of the second training at width 10")
    max_epochs: int = setting(800, "steps after which the second training ends at the latest")
    examples: int = setting(20, "number of training examples")
    label_noise: float = setting(0.1, "probability that a label is flipped")
    seed: int = setting(0, "fixes data and initial filters")

    def __post_init__(self) -> None:
        for name in ("signal", "learning_rate", "until_loss", "until_learning_rate"):
            value = getattr(self, name)
            require(name, value, np.isfinite(value) and value > 0, "finite and > 0")
        require("dimension", self.dimension, self.dimension >= 2, ">= 2")
        for name in ("width", "epochs", "max_epochs", "examples"):
            require(name, getattr(self, name), getattr(self, name) >= 1, ">= 1")
        require("rho", self.rho, np.isfinite(self.rho) and self.rho >= 0, "finite and >= 0")
        require("rho_power", self.rho_power, np.isfinite(self.rho_power), "finite")
        require("label_noise", self.label_noise, 0 <= self.label_noise < 1, ">= 0 and < 1")
        if self.rho == 0:
            object.__setattr__(self, "rho_power", 0.0)

    @property
    def growth(self) -> float:
        """What step sizes are multiplied with: a filter's gradient is proportional to 1 / m."""
        return self.width / 10

    @property
    def radius(self) -> float:
        """rho of this width."""
        return self.rho * self.growth**self.rho_power


def measure(settings: Sequence[Setting]) -> Iterator[tuple[Setting, dict[str, Any]]]:
    """Trains networks of one shape at once.

    Yields:
        Each setting with:
        - `loss`, `error`: training loss and share of new examples that are missed, after `epochs`.
        - `equal_loss`, `equal_error`, `equal_epochs`: the same of the second training, at the first
          step with a loss of at most `until_loss`, or after `max_epochs`; and that step.
    """
    shapes = dict.fromkeys((s.width, s.examples, s.epochs, s.max_epochs) for s in settings)
    for shape in shapes:
        members = [s for s in settings if (s.width, s.examples, s.epochs, s.max_epochs) == shape]
        for first in range(0, len(members), _AT_ONCE):
            some = members[first : first + _AT_ONCE]
            yield from zip(some, _train(some), strict=True)


def task(setting: Setting) -> Task:
    """Data and initial filters of a setting; the filters are normal with deviation .001."""
    return draw(
        setting.signal,
        setting.dimension,
        setting.width,
        setting.examples,
        setting.label_noise,
        0.001,
        setting.seed,
    )


def _train(members: Sequence[Setting]) -> list[dict[str, Any]]:
    """Both trainings of all members."""
    whole = stack([task(member) for member in members])
    first, second = members[0].epochs, members[0].max_epochs
    growth, rho = (np.array([getattr(m, name) for m in members]) for name in ("growth", "radius"))
    rate, until_rate, goal = (
        np.array([getattr(m, name) for m in members])
        for name in ("learning_rate", "until_learning_rate", "until_loss")
    )
    never = np.full(len(members), -np.inf)
    early, loss, _ = trained(whole, growth * rate, rho, never, first)
    equal, equal_loss, reached = trained(whole, growth * until_rate, rho, goal, second)
    error, equal_error = (whole.test_error(filters, _DRAWS, seed=0) for filters in (early, equal))
    return [
        {
            "loss": float(loss[i]),
            "error": float(error[i]),
            "equal_loss": float(equal_loss[i]),
            "equal_error": float(equal_error[i]),
            "equal_epochs": int(reached[i]),
        }
        for i in range(len(members))
    ]


def trained(
    whole: Task, eta: Array, rho: Array, goal: Array, last: int
) -> tuple[Filters, Array, Array]:
    """Trains each network until its loss is at most its goal, or for `last` steps.

    Returns:
        The filters, the training losses and the numbers of steps.
    """
    end, end_loss, reached = whole.start(), np.full(len(eta), np.nan), np.full(len(eta), -1)
    left, part, here = np.arange(len(eta)), whole, whole.start()
    for step in range(last + 1):
        loss, after = part.sam_step(here, eta[left], rho[left])
        done = (reached[left] < 0) & ((loss <= goal[left]) | (step == last))
        which = left[done]
        reached[which], end_loss[which] = step, loss[done]
        end.signal[which], end.noise[which] = here.signal[done], here.noise[done]
        here = after
        if step % _STEPS == 0:
            open_ = reached[left] < 0
            left, part, here = left[open_], part.at(open_), here.at(open_)
        if not len(left):
            break
    return end, end_loss, reached
