"""SAM on CIFAR-10, a ResNet-18 whose first stage has `width` filters, as in the paper.

Claim:   with SAM, wider networks gain more over SGD: in the paper 0.4 points of accuracy at 45k
         parameters (4 filters), 1.0 points at 11.2M (64 filters).
Cost:    CIFAR-10 through tensorflow-datasets; 200 epochs are for a GPU. With --quick, a few minutes
         on two CPU cores at 4 or 8 filters.
Command: python -m recipes.cifar10_resnet18 --width 64 --rho 0.1 --seed 0
"""

from typing import Any

from recipes.running import command_line
from recipes.running.config import RunConfig
from recipes.running.recipe import Paper, Recipe


def data(config: RunConfig) -> Any:
    from recipes.datasets.cifar10 import cifar10

    return cifar10(config.split)


def network(config: RunConfig, data: Any) -> Any:
    from recipes.networks import resnet18
    from recipes.networks.width import whole

    return resnet18(whole(config.width), data.input_shape, data.classes, config.seed)


RECIPE = Recipe(
    name="cifar10_resnet18",
    title="CIFAR-10, ResNet-18",
    data=data,
    network=network,
    defaults={
        "width": 64,
        "epochs": 200,
        "batch_size": 128,
        "learning_rate": 0.1,
        "weight_decay": 5e-4,
        "schedule": "step",
        "milestones": (0.5, 0.75),
    },
    quick={"width": 4, "epochs": 10, "take": 15_000},
    widths=(4, 8, 16, 32, 64, 128, 256),
    paper=Paper(
        widths=(4, 8, 16, 32, 64, 128, 256),
        parameters=(45e3, 176e3, 701e3, 2.8e6, 11.2e6, 44.7e6, 179e6),
        gains=(0.36, 0.66, 0.44, 0.85, 0.96, 1.23, 1.01),
    ),
    labels=("cifar10", "resnet18"),
)

if __name__ == "__main__":
    command_line.main(RECIPE, __doc__)
