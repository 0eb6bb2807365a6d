"""SAM on MNIST, a 3-layer perceptron with [300 w, 100 w] hidden units, as in the paper.

Claim:   with SAM, wider networks gain more over SGD: in the paper 0.07 points of accuracy at 61k
         parameters (w = 0.25), 0.19 points at 1.4M (w = 4).
Cost:    MNIST through tensorflow-datasets; at w = 4 on two CPU cores about an hour for the paper's
         100 epochs, a minute with --quick.
Command: python -m recipes.mnist --width 4 --rho 0.05 --seed 0
"""

from typing import Any

from recipes.running import command_line
from recipes.running.config import RunConfig
from recipes.running.recipe import Paper, Recipe


def data(config: RunConfig) -> Any:
    from recipes.datasets.mnist import mnist

    return mnist(config.split)


def network(config: RunConfig, data: Any) -> Any:
    from recipes.networks import mlp

    return mlp(config.width, data.input_shape, data.classes, config.seed)


RECIPE = Recipe(
    name="mnist",
    title="MNIST, perceptron",
    data=data,
    network=network,
    defaults={
        "epochs": 100,
        "batch_size": 128,
        "learning_rate": 0.1,
        "weight_decay": 1e-4,
        "schedule": "step",
        "milestones": (0.25, 0.5, 0.75),
    },
    quick={"epochs": 8, "take": 12_000},
    widths=(0.25, 0.5, 1.0, 4.0),
    paper=Paper(
        widths=(0.25, 0.5, 1.0, 4.0, 10.0),
        parameters=(61_035, 125_810, 266_610, 1_426_410, 5_366_010),
        gains=(0.07, 0.06, 0.18, 0.19, 0.19),
    ),
    labels=("mnist", "mlp"),
)

if __name__ == "__main__":
    command_line.main(RECIPE, __doc__)
