"""Only: some of the weights are perturbed, the norm is theirs alone.

    e_l = P(w, g)_l on the set, computed as if there were no others;    none off it

With the weights of normalisation layers (SAM-ON) less than a thousandth of a network moves.

Source: Mueller et al. 2023, "Normalization Layers Are All That Sharpness-Aware Minimization Needs",
https://arxiv.org/abs/2306.04226. Reduces to P where all weights are on the set, to the plain
optimizer where none is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from keras_sam.perturbation import Perturbation
from keras_sam.vectors import Tensor, Vector


@dataclass(frozen=True)
class Only:
    """A perturbation of some of the weights.

    Args:
        flags: For each weight whether it is perturbed.
        perturbation: How they are.

    Example:

    >>> from keras import ops
    >>> from keras_sam.perturbation import normalized
    >>> g = [ops.array([3.0]), ops.array([4.0])]
    >>> _, e = Only((False, True), normalized)(g, g, 0.5)
    >>> float(e[0])
    0.5
    """

    flags: tuple[bool, ...]
    perturbation: Perturbation

    def __call__(
        self, weights: Sequence[Tensor], gradients: Sequence[Tensor | None], rho: Any
    ) -> Vector:
        chosen = [g if flag else None for flag, g in zip(self.flags, gradients, strict=True)]
        return self.perturbation(weights, chosen, rho)
