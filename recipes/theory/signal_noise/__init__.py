"""Does SAM avoid harmful overfitting? A two-layer network on signal and noise (Chen et al. 2023).

Examples have a patch with the signal mu and one with noise in d dimensions; a tenth of the labels
are flipped. A two-layer convolutional network with m filters a class is trained on 20 examples, by
gradient descent and by normalised SAM, and tested on new ones: after 100 steps, and with larger
steps until both have one training loss.

Claim:   Of the literature that the paper's claim on two-layer networks rests on: where d is large
         against the signal, gradient descent fits the noise and tests badly; SAM does not fit it,
         and tests well.
Shows:   Holds, after 100 steps and (by less) at equal training loss; part of it is that SAM has not
         fitted the data after 100 steps. With the width: at one rho the benefit goes away; with rho
         that grows as sqrt(m) or m it stays. So the best rho grows with the width.
Cost:    seconds; NumPy alone. In coordinates whose cost does not depend on d.
Command: python -m recipes.theory.signal_noise
         python -m recipes.theory.signal_noise --widths 1 3 10 30 100 --rho-power 0 0.5 1
             --dimensions 2000 --signals 2
"""

from recipes.theory.signal_noise.two_layer import Filters, Task, draw, stack, vectors

__all__ = ["Filters", "Task", "draw", "stack", "vectors"]
