"""SAM on MNIST, a 3-layer perceptron with [300 w, 100 w] hidden units, as in the paper.

Claim:   with SAM, wider networks gain more over SGD: in the paper 0.07 points of accuracy at 61k
         parameters (w = 0.25), 0.19 points at 1.4M (w = 4).
Cost:    MNIST through tensorflow-datasets; at w = 4 on two CPU cores about an hour for the paper's
         100 epochs, a minute with --quick.
Command: python -m recipes.mnist --width 4 --rho 0.05 --seed 0
"""

from recipes import command_line
from recipes.config import RunConfig
from recipes.recipe import Recipe

RECIPE = Recipe(
    name="mnist",
    default=RunConfig(
        dataset="mnist",
        network="mlp",
        epochs=100,
        batch_size=128,
        learning_rate=0.1,
        weight_decay=1e-4,
        schedule="step",
        milestones=(0.25, 0.5, 0.75),
    ),
    quick={"epochs": 8, "take": 12_000},
    widths=(0.25, 0.5, 1.0, 4.0),
)

if __name__ == "__main__":
    command_line.main(RECIPE, __doc__)
