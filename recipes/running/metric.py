"""The number that a workload is judged by."""

from __future__ import annotations

import dataclasses
import math
from typing import Any


@dataclasses.dataclass(frozen=True)
class Metric:
    """What selects an epoch and a rho on validation data, and is reported on test data.

    Args:
        name: As in Keras's logs, where "val_" and "test_" come before it.
        higher_is_better: Whether more of it is better. Defaults to `True`.
        percent: Whether it is a fraction that is shown in percent, and its gain in points.
            Defaults to `True`.

    Example:

    >>> Metric("mean_absolute_error", higher_is_better=False, percent=False).score(0.5)
    -0.5
    """

    name: str = "accuracy"
    higher_is_better: bool = True
    percent: bool = True

    @property
    def title(self) -> str:
        """The name for readers: "mean absolute error"."""
        return self.name.replace("_", " ")

    @property
    def factor(self) -> float:
        """From the metric to what is shown: 100 for percent."""
        return 100.0 if self.percent else 1.0

    @property
    def sign(self) -> float:
        """What turns the metric so that higher is better: 1 or -1."""
        return 1.0 if self.higher_is_better else -1.0

    def score(self, value: float) -> float:
        """The value turned so that higher is better; NaN is the worst of all."""
        return -math.inf if math.isnan(value) else self.sign * value

    def gain(self, value: float, plain: float) -> float:
        """How much better a value is than that of the plain optimizer."""
        return self.sign * (value - plain)

    @property
    def column(self) -> str:
        """The heading of its test values: "test %" for accuracy, else with its name."""
        name = "test" if self == ACCURACY else f"test {self.title}"
        return f"{name} %" if self.percent else name

    @property
    def label(self) -> str:
        """The label of an axis of its test values."""
        return f"test {self.title}" + (" (%)" if self.percent else "")

    @property
    def gain_label(self) -> str:
        """The label of an axis of gains."""
        return "gain of SAM" + (" (points)" if self.percent else "")

    def shown(self, value: float, error: float = math.nan, signed: bool = False) -> str:
        """A value, or a gain, with its error if that is known: "97.52 ± 0.10"; "-" for NaN."""
        if math.isnan(value):
            return "-"
        digits = ".2f" if self.percent else ".4f"
        text = format(self.factor * value, ("+" if signed else "") + digits)
        return text if math.isnan(error) else f"{text} ± {self.factor * error:{digits}}"

    def to_dict(self) -> dict[str, Any]:
        """The metric as plain data, ready for JSON."""
        return dataclasses.asdict(self)


ACCURACY = Metric()
