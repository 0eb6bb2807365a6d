"""What a run of `recipes.minima` came to."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

from recipes.minima.setting import Setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """What one run came to; all measured on the training examples but `test_accuracy`.

    Args:
        setting: The run's settings.
        environment: Versions, backend and device.
        steps: How many were taken.
        loss: Of the final weights, the mean of 1/2 ||f(x) - onehot(y)||^2; NaN if they diverged, as
            everything below then.
        test_accuracy: A fraction.
        lambda_max: The largest eigenvalue of the Hessian.
        trace: Of the Hessian, by Hutchinson's estimator.
        trace_error: Its standard error within the run.
        s_2: The non-uniformity of the examples' Hessians.
        seconds: Time for training and measuring.
    """

    setting: Setting
    environment: dict[str, Any]
    steps: int
    loss: float
    test_accuracy: float
    lambda_max: float
    trace: float
    trace_error: float
    s_2: float
    seconds: float

    @property
    def diverged(self) -> bool:
        """Whether the loss is no longer finite."""
        return not math.isfinite(self.loss)

    def to_json(self) -> str:
        """One line of strict JSON: what is not finite is null."""
        data = dataclasses.asdict(self)
        return json.dumps(
            {
                key: None if isinstance(value, float) and not math.isfinite(value) else value
                for key, value in data.items()
            },
            allow_nan=False,
        )

    @classmethod
    def from_json(cls, line: str) -> Result:
        """The result that `to_json` wrote, with NaN for null."""
        data = json.loads(line)
        data = {key: math.nan if value is None else value for key, value in data.items()}
        return cls(**{**data, "setting": Setting(**data["setting"])})
