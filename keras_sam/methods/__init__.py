"""The SAM family: rules that combine, one a file; `rules.py` says what a rule is.

    SAMModel(net, rho=0.05, method=gsam(alpha=0.4))
    SAMModel(net, rho=Every(0.1, 5), method=looksam(alpha=0.5), perturb="normalization")

To add one: copy a file, change the formula, and name it here.
"""

from collections.abc import Callable

from keras_sam.methods.ae_sam import WhereSharp, ae_sam
from keras_sam.methods.friendly import Friendly, friendly
from keras_sam.methods.gsam import GSAM, gsam
from keras_sam.methods.layerwise import layerwise
from keras_sam.methods.looksam import LookSAM, looksam
from keras_sam.methods.method import Method, Setting
from keras_sam.methods.mix import Mix, mix
from keras_sam.methods.msam import Momentum, msam
from keras_sam.methods.only import Only
from keras_sam.methods.rules import Descent, Direction, Radius
from keras_sam.methods.sign import sign
from keras_sam.methods.vasso import MovingAverage, vasso
from keras_sam.perturbation import Perturbation

# What names stand for, in SAMModel's arguments `method` and `geometry` and on command lines.
METHODS: dict[str, Callable[..., Method]] = {
    "sam": Method,
    "ae_sam": ae_sam,
    "friendly": friendly,
    "gsam": gsam,
    "looksam": looksam,
    "mix": mix,
    "msam": msam,
    "vasso": vasso,
}
GEOMETRIES: dict[str, Perturbation] = {"layerwise": layerwise, "sign": sign}

__all__ = [
    "GEOMETRIES",
    "GSAM",
    "METHODS",
    "Descent",
    "Direction",
    "Friendly",
    "LookSAM",
    "Method",
    "Mix",
    "Momentum",
    "MovingAverage",
    "Only",
    "Radius",
    "Setting",
    "WhereSharp",
    "ae_sam",
    "friendly",
    "gsam",
    "layerwise",
    "looksam",
    "mix",
    "msam",
    "sign",
    "vasso",
]
