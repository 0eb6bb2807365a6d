"""SAM on CIFAR-10, a ResNet-18 whose first stage has `width` filters, as in the paper.

Claim:   with SAM, wider networks gain more over SGD: in the paper 0.4 points of accuracy at 45k
         parameters (4 filters), 1.0 points at 11.2M (64 filters).
Cost:    CIFAR-10 through tensorflow-datasets; 200 epochs are for a GPU. With --quick, a few minutes
         on two CPU cores at 4 or 8 filters.
Command: python -m recipes.cifar10_resnet18 --width 64 --rho 0.1 --seed 0
"""

from recipes import command_line
from recipes.config import RunConfig
from recipes.recipe import Recipe

RECIPE = Recipe(
    name="cifar10_resnet18",
    default=RunConfig(
        dataset="cifar10",
        network="resnet18",
        width=64,
        epochs=200,
        batch_size=128,
        learning_rate=0.1,
        weight_decay=5e-4,
        schedule="step",
        milestones=(0.5, 0.75),
    ),
    quick={"width": 4, "epochs": 10, "take": 15_000},
    widths=(4, 8, 16, 32, 64, 128, 256),
)

if __name__ == "__main__":
    command_line.main(RECIPE, __doc__)
