"""SAM on ImageNet, a ResNet-50 whose first stage has `width` filters, as in the paper.

Claim:   with SAM, wider networks gain more over SGD: in the paper 0.03 points of accuracy at 2.0M
         parameters (16 filters), 0.54 points at 25.6M (64 filters).
Cost:    ImageNet prepared by tensorflow-datasets from the archives of image-net.org; 90 epochs are
         days on one GPU. --quick keeps 5 epochs of 20,000 images.
Command: python -m recipes.imagenet_resnet50 --rho 0.05 --mixed-precision bfloat16 --seed 0
"""

import math
from typing import Any

from recipes.running import command_line
from recipes.running.config import RunConfig
from recipes.running.recipe import Paper, Recipe


def data(config: RunConfig) -> Any:
    from recipes.datasets.imagenet2012 import imagenet2012

    return imagenet2012(config.split)


def network(config: RunConfig, data: Any) -> Any:
    from recipes.networks import resnet50
    from recipes.networks.width import whole

    return resnet50(whole(config.width), data.input_shape, data.classes, config.seed)


RECIPE = Recipe(
    name="imagenet_resnet50",
    title="ImageNet, ResNet-50",
    data=data,
    network=network,
    defaults={
        "width": 64,
        "validation_split": 0.01,
        "epochs": 90,
        "batch_size": 512,
        "learning_rate": 0.2,
        "weight_decay": 1e-4,
        "schedule": "cosine",
        "warmup_steps": 5000,
    },
    quick={
        "width": 16,
        "epochs": 5,
        "take": 20_000,
        "batch_size": 128,
        "learning_rate": 0.05,
        "warmup_steps": 40,
        "validation_split": 0.1,
    },
    widths=(16, 32, 48, 64),
    paper=Paper(
        # The fourth of the paper's five sizes is not stated.
        widths=(16, 32, 48, math.nan, 64),
        parameters=(2.0e6, 6.9e6, 14.8e6, math.nan, 25.6e6),
        gains=(0.03, 0.04, 0.18, 0.36, 0.54),
    ),
    labels=("imagenet2012", "resnet50"),
)

if __name__ == "__main__":
    command_line.main(RECIPE, __doc__)
