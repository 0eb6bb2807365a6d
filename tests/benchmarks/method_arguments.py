"""The methods whose steps are timed, as arguments of SAMModel."""

from collections.abc import Callable
from typing import Any

# As a row of the table is called, in the order of the README's table.
NAMES = (
    "every 10th step",
    "mix(0.5)",
    "gsam(0.4)",
    "looksam(0.7), every 5th",
    "friendly()",
    "vasso(0.4)",
    "msam()",
    "ae_sam()",
    "SAM-ON",
)


def arguments(name: str, rho: float) -> dict[str, Any]:
    """What SAMModel is called with, besides the network."""
    from keras_sam import Every, methods

    of_method: dict[str, Callable[[], dict[str, Any]]] = {
        "every 10th step": lambda: {"rho": Every(rho, 10)},
        "mix(0.5)": lambda: {"method": methods.mix(0.5)},
        "gsam(0.4)": lambda: {"method": methods.gsam(0.4)},
        "looksam(0.7), every 5th": lambda: {
            "rho": Every(rho, 5),
            "method": methods.looksam(0.7),
        },
        "friendly()": lambda: {"method": methods.friendly()},
        "vasso(0.4)": lambda: {"method": methods.vasso(0.4)},
        "msam()": lambda: {"method": methods.msam()},
        "ae_sam()": lambda: {"method": methods.ae_sam()},
        "SAM-ON": lambda: {"perturb": "normalization"},
    }
    return {"rho": rho, **of_method[name]()}
