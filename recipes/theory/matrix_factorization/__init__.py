"""When does SAM converge linearly? Matrix factorisation, with the optimum known in closed form.

`f_i = 1/2 ||W_2 W_1 x_i - A x_i||^2`, A 10 x 6, x_i normal, factors of rank k; SGD, unnormalised
SAM (`e = rho g`) and normalised SAM (`e = rho g / ||g||`) with a constant step size on batches.
Factors of rank 6 or more can fit every example; f - f* is the distance to the best of that rank.

Claim:   Appendix A and Figure 1: with a constant step size SAM converges linearly where all
         examples can be fitted (the overparameterised case), and does not where they cannot.
Shows:   Holds for SGD and unnormalised SAM: down to rounding, 1e-30, against a floor of about 1e-3
         for ranks 2 and 4. Normalised SAM, which is what is used in practice, stalls at 1e-7 to
         1e-4 at every rank: its perturbation is rho long however small the gradient (`two_cycle`).
Cost:    seconds; NumPy alone.
Command: python -m recipes.theory.matrix_factorization
"""

from recipes.theory.matrix_factorization.factorization import (
    gradient,
    loss,
    optimal_loss,
    sam_step,
    squared_norm,
    two_cycle,
)

__all__ = ["gradient", "loss", "optimal_loss", "sam_step", "squared_norm", "two_cycle"]
