"""What is compared: the settings of a run by a method's name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

SGD = "sgd"


@dataclasses.dataclass(frozen=True)
class Variant:
    """One method.

    Args:
        settings: Those of `RunConfig` that make it, besides rho.
        passes: Gradient passes a step, over a whole training.
        unit: What its rho is multiplied by: methods measure their perturbations differently.
            Defaults to 1.
    """

    settings: Mapping[str, Any]
    passes: float
    unit: float = 1.0


VARIANTS = {
    SGD: Variant({}, 1.0, 0.0),
    "sam": Variant({}, 2.0),
    "asam": Variant({"adaptive": True}, 2.0, 5.0),
    "every 2nd": Variant({"every": 2}, 1.5),
    "every 5th": Variant({"every": 5}, 1.2),
    "late half": Variant({"late": 0.5}, 1.5),
    "gsam": Variant({"method": "gsam(alpha=0.4)"}, 2.0),
    "mix": Variant({"method": "mix(alpha=0.5)"}, 2.0),
    "looksam": Variant({"method": "looksam(alpha=0.7)", "every": 5}, 1.2),
    "friendly": Variant({"method": "friendly"}, 2.0),
    "vasso": Variant({"method": "vasso(theta=0.4)"}, 2.0),
    "msam": Variant({"method": "msam"}, 1.0, 15.0),
    "ae_sam": Variant({"method": "ae_sam"}, float("nan")),
}
