"""SAM on CIFAR-10, a small vision transformer whose hidden dimension is `width`.

Claim:   the exception: in the paper SAM's gain over SGD grows up to about 209k parameters and fades
         beyond. Its depth, patch and heads are not stated; ours are flags.
Cost:    CIFAR-10 through tensorflow-datasets; 200 epochs are for a GPU. With --quick, a few minutes
         on two CPU cores.
Command: python -m recipes.cifar10_vit --width 48 --rho 0.05 --seed 0
"""

from recipes import command_line
from recipes.config import RunConfig
from recipes.recipe import Recipe

RECIPE = Recipe(
    name="cifar10_vit",
    default=RunConfig(
        dataset="cifar10",
        network="vit",
        width=192,
        network_options={"depth": 6, "patch": 4, "heads": 3},
        epochs=200,
        batch_size=128,
        learning_rate=0.1,
        weight_decay=5e-4,
        schedule="cosine",
    ),
    quick={"width": 24, "epochs": 8, "take": 6_000},
    widths=(12, 24, 48, 96, 192, 384),
)

if __name__ == "__main__":
    command_line.main(RECIPE, __doc__)
