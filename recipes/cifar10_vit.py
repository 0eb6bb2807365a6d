"""SAM on CIFAR-10, a small vision transformer whose hidden dimension is `width`.

Claim:   the exception: in the paper SAM's gain over SGD grows up to about 209k parameters and fades
         beyond. Its depth, patch and heads are not stated; ours are flags.
Cost:    CIFAR-10 through tensorflow-datasets; 200 epochs are for a GPU. With --quick, a few minutes
         on two CPU cores.
Command: python -m recipes.cifar10_vit --width 48 --rho 0.05 --seed 0
"""

from typing import Any

from recipes.running import command_line
from recipes.running.config import RunConfig
from recipes.running.recipe import Option, Recipe


def data(config: RunConfig) -> Any:
    from recipes.datasets.cifar10 import cifar10

    return cifar10(config.split)


def network(config: RunConfig, data: Any) -> Any:
    from recipes.networks import vit
    from recipes.networks.width import whole

    return vit(
        whole(config.width, heads=config.options["heads"]),
        input_shape=data.input_shape,
        classes=data.classes,
        seed=config.seed,
        **config.options,
    )


RECIPE = Recipe(
    name="cifar10_vit",
    title="CIFAR-10, vision transformer",
    data=data,
    network=network,
    options={
        "depth": Option(6, "number of blocks"),
        "patch": Option(4, "edge of a patch in pixels"),
        "heads": Option(3, "attention heads"),
    },
    defaults={
        "width": 192,
        "epochs": 200,
        "batch_size": 128,
        "learning_rate": 0.1,
        "weight_decay": 5e-4,
        "schedule": "cosine",
    },
    quick={"width": 24, "epochs": 8, "take": 6_000},
    widths=(12, 24, 48, 96, 192, 384),
    labels=("cifar10", "vit"),
)

if __name__ == "__main__":
    command_line.main(RECIPE, __doc__)
